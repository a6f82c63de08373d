"""Measures of pictures and masks, against values that can be worked out by hand."""

import math

import numpy as np
import pytest
import torch

from cgn.data import load_textures, make_variant
from cgn.data.painting import PADDING
from cgn.errors import CgnInputError
from cgn.metrics.inception_score import inception_score
from cgn.metrics.masks import border_mass, coverage, mask_iou, mean_values, mu_mask, soft_share
from cgn.metrics.textures import PATCH, texture_error


@pytest.fixture(autouse=True)
def bundled_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CGN_DATA_DIR", raising=False)
    torch.set_num_threads(1)


def test_sure_and_varied_images_score_as_many_as_there_are_classes() -> None:
    assert inception_score(torch.eye(10).repeat(5, 1)).mean == pytest.approx(10)
    assert inception_score(torch.eye(10)[:3].repeat(5, 1)).mean == pytest.approx(3)


def test_unsure_or_uniform_images_score_1() -> None:
    assert inception_score(torch.full((20, 10), 0.1)).mean == pytest.approx(1)
    assert inception_score(torch.eye(10)[:1].repeat(20, 1)).mean == pytest.approx(1)


def test_a_score_by_hand() -> None:
    # p(y) is (1/2, 1/2); each divergence is 0.75 ln 1.5 + 0.25 ln 0.5.
    p_NC = torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    assert inception_score(p_NC).mean == pytest.approx(math.exp(0.75 * math.log(1.5) + 0.25 * math.log(0.5)))


def test_splits_have_a_marginal_of_their_own() -> None:
    sorted_by_class = torch.eye(2).repeat_interleave(4, dim=0)
    score = inception_score(sorted_by_class, splits=2)
    assert score == pytest.approx((1, 0))
    mixed = torch.cat([sorted_by_class[::4], sorted_by_class[:2], torch.eye(2)[:1]])
    score = inception_score(mixed, splits=2)  # the last one is left out; a part of two classes, a part of one
    assert score == pytest.approx((1.5, 0.5))


@pytest.mark.parametrize(
    ("p_NC", "splits", "says"),
    [
        (torch.randn(5, 3), 1, "apply softmax"),
        (torch.full((5, 3), math.nan), 1, "apply softmax"),
        (torch.full((5, 2), 0.5), 6, "splits: 6 of"),
        (torch.full((5, 2), 0.5), 0, "splits: 0 of"),
        (torch.full((5,), 0.5), 1, r"give \(images, classes\)"),
    ],
)
def test_what_is_no_probability_is_refused(p_NC: torch.Tensor, splits: int, says: str) -> None:
    with pytest.raises(CgnInputError, match=says):
        inception_score(p_NC, splits)


def test_arrays_and_tensors_have_the_same_measures() -> None:
    m_NHW = np.random.default_rng(0).random((5, 32, 32), np.float32)
    m_NHW[0] = 0
    as_tensor = torch.from_numpy(m_NHW)
    assert float(mu_mask(as_tensor)) == pytest.approx(mu_mask(m_NHW))
    for measure in (mean_values, border_mass, soft_share):
        np.testing.assert_allclose(measure(as_tensor).numpy(), measure(m_NHW), atol=1e-6)
    assert border_mass(m_NHW)[0] == 0


def test_coverage_is_of_masks_and_varies_between_them() -> None:
    m_N1HW = torch.zeros(2, 1, 4, 4)
    m_N1HW[0, :, :2] = 1
    assert coverage(mean_values(m_N1HW)[:, 0]) == pytest.approx((0.25, 0.25))


def test_overlap_is_of_soft_masks_cut_at_a_half() -> None:
    true = torch.zeros(4, 1, 4, 4, dtype=torch.bool)
    true[:3, :, :2] = True
    m = torch.full((4, 1, 4, 4), 0.4)
    m[0, :, :2] = 0.6  # the same eight pixels
    m[1, :, 1:3] = 0.6  # four of twelve
    m[2, :, 2:] = 0.6  # none
    assert mask_iou(m, true).tolist() == pytest.approx([1, 1 / 3, 0, 1])
    with pytest.raises(CgnInputError, match="must have one shape"):
        mask_iou(m, true[:, 0])


def textures(kind: str) -> torch.Tensor:
    """All that crops are taken from: (10, 3, 156, 156) in [-1, 1]."""
    margin = (PADDING, PADDING)
    padded = np.pad(getattr(load_textures(), kind), ((0, 0), margin, margin, (0, 0)), mode="reflect")
    return torch.from_numpy(padded).movedim(-1, 1) / 127.5 - 1


def test_real_backgrounds_have_no_error_and_the_object_has_one() -> None:
    data = make_variant("wildlife_mnist", "train", limit=20)
    veins = textures("background")
    beside = ~torch.nn.functional.max_pool2d(data.masks[:, None].float(), PATCH, 1, PATCH // 2).bool()[:, 0]
    error = texture_error(data.images, data.labels, veins, beside)
    assert float(error.max()) < 1e-4
    behind = texture_error(data.images, data.labels, veins, data.masks)
    assert float(behind.min()) > 0.1
    of_another_class = texture_error(data.images, (data.labels + 1) % 10, veins, beside)
    assert float(of_another_class.min()) > 0.05


def test_a_background_is_worse_the_more_of_the_object_it_shows() -> None:
    data = make_variant("wildlife_mnist", "train", limit=20)
    veins = textures("background")
    behind = veins[data.labels][:, :, 40:72, 60:92]
    errors = [
        float(texture_error(torch.lerp(behind, data.images, shown), data.labels, veins, data.masks).mean())
        for shown in (0.0, 0.5, 1.0)
    ]
    assert errors[0] < 1e-4
    assert errors[0] + 0.05 < errors[1] < errors[2] - 0.05


def test_an_empty_region_has_no_error_and_a_wrong_one_is_refused() -> None:
    x_N3HW, label_N = torch.zeros(2, 3, 8, 8), torch.tensor([0, 1])
    where = torch.zeros(2, 8, 8, dtype=torch.bool)
    where[1, 4, 4] = True
    black = -torch.ones(2, 3, 8, 8)
    error = texture_error(x_N3HW, label_N, black, where)
    assert math.isnan(error[0]) and error[1] == 1
    with pytest.raises(CgnInputError, match="where"):
        texture_error(x_N3HW, label_N, black, where[:, None])
    with pytest.raises(CgnInputError, match="5 pixels"):
        texture_error(x_N3HW, label_N, black[..., :4], where)
