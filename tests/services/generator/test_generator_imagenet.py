"""The ImageNet family over gRPC, with random weights: its outputs, labels and truncation."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cgn.device import cpu_has_bfloat16
from cgn.factors import Factor as Cause
from cgn.store import checkpoint
from cgn_client import CgnError, Client, Factor, composite
from cgn_client.composites import Output
from testing.generator_process import GeneratorProcess
from testing.random_model import ANIMAL_IDS, publish_random, publish_random_imagenet

ALL: list[Output] = ["composite", "mask", "foreground", "background", "pre_mask", "reference"]


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("zoo") / "models"
    publish_random_imagenet(root, "zoo")
    publish_random(root, "digits")
    return root


@pytest.fixture(scope="module")
def generator(models_dir: Path) -> Iterator[GeneratorProcess]:
    with GeneratorProcess(models_dir) as process:
        yield process


@pytest.fixture
def client(generator: GeneratorProcess) -> Client:
    return generator.client


def test_all_outputs_equal_the_model_s_own(client: Client, models_dir: Path) -> None:
    causes = {"shape": (1, 11, 1.0), "texture": (2, 12, 0.5), "background": (3, 13, 0.25)}
    factors = {m: Factor(label, seed, truncation=t) for m, (label, seed, t) in causes.items()}
    asked = composite(factors["shape"], factors["texture"], factors["background"])
    (result,) = client.generate("zoo", [asked], ALL, encoding="raw_float32")
    model = checkpoint.load(models_dir, "zoo")

    def row(mechanism: Any, cause: str) -> Any:
        label, seed, truncation = causes[cause]
        factor = Cause(label, seed, truncation=truncation)
        return model.rows(mechanism, [factor])[0].permute(1, 2, 0).numpy()

    shape = row("shape", "shape")
    expected = {
        "mask": shape[:, :, :1],
        "pre_mask": shape[:, :, 1:],
        "foreground": row("texture", "texture"),
        "background": row("background", "background"),
        "reference": row("reference", "shape"),
    }
    torch.set_num_threads(1)
    for output, pixels in expected.items():
        np.testing.assert_allclose(result[output], pixels, atol=1e-5)
    m = expected["mask"]
    created = m * expected["foreground"] + (1 - m) * expected["background"]
    np.testing.assert_allclose(result["composite"], created, atol=1e-5)
    assert result.mu_mask == pytest.approx(float(m.mean()), abs=1e-4)
    assert result.texture and result.texture.truncation == 0.5


def test_only_requested_outputs_are_computed(models_dir: Path) -> None:
    with GeneratorProcess(models_dir, CGN_ROW_CACHE_MB="0") as process:
        before = process.settled_metrics()
        process.client.generate("zoo", [composite(texture=0, seed=1)], ["foreground"])
        after = process.settled_metrics()
    grown = {name: after.get(name, 0) - before.get(name, 0) for name in after}
    assert grown["cgn_batch_rows_sum"] == grown["cgn_batch_rows_sum{texture}"] == 1


def test_bfloat16_is_nearly_the_same_and_warns_where_the_processor_lacks_it(
    client: Client, models_dir: Path
) -> None:
    asked = [composite(1, 2, 3, seed=4)]
    (exact,) = client.generate("zoo", asked, encoding="raw_float32")
    with GeneratorProcess(models_dir, CGN_PRECISION="bfloat16") as generator:
        (near,) = generator.client.generate("zoo", asked, encoding="raw_float32")
        log = generator.log()
    difference = np.abs(near["composite"] - exact["composite"])
    assert 0 < difference.mean() < 0.02
    assert ("CGN_PRECISION=bfloat16: this processor" in log) == (not cpu_has_bfloat16())


def test_the_model_is_described(client: Client) -> None:
    model = client.get_model("zoo")
    assert (model.family, model.has_truncation, list(model.class_ids)) == ("imagenet", True, ANIMAL_IDS)
    assert [mechanism.name for mechanism in model.mechanisms][-1] == "reference"
    assert len(model.outputs) == len(ALL)
    digits = client.get_model("digits")
    assert not digits.has_truncation and len(digits.mechanisms) == 3


def test_labels_are_index_name_prefix_wordnet_id_or_mixture(client: Client) -> None:
    labels: list[Any] = [1, "ostrich", "OSTR", "n01518878", {"ostrich": 1.0}, {1: 0.4, "owl": 0.6}]
    results = client.generate("zoo", [composite(texture=label, seed=5) for label in labels], ["foreground"])
    pixels = [result["foreground"].tobytes() for result in results]
    assert len(set(pixels[:5])) == 1 and pixels[5] != pixels[0]
    mixed = results[5].texture
    assert mixed and mixed.mixture == {1: pytest.approx(0.4), 3: pytest.approx(0.6)}
    assert (mixed.label, mixed.label_name) == (None, "")


def test_a_hard_mask_is_thresholded_at_one_half(client: Client) -> None:
    asked = [composite(1, 2, 3, seed=4)]
    for encoding, highest in (("raw_float32", 1.0), ("raw_uint8", 255)):
        outputs: list[Output] = ["mask", "composite", "foreground", "background"]
        (soft,) = client.generate("zoo", asked, outputs, encoding=encoding)  # type: ignore[arg-type]
        (hard,) = client.generate("zoo", asked, outputs, encoding=encoding, hard_mask=True)  # type: ignore[arg-type]
        cut = hard["mask"]
        assert set(np.unique(cut)) <= {0, highest}
        assert np.array_equal(cut > 0, 2 * soft["mask"].astype(float) >= highest)
        assert np.array_equal(hard["composite"], np.where(cut > 0, hard["foreground"], hard["background"]))
        assert hard.mu_mask == soft.mu_mask


@pytest.mark.parametrize(
    ("factor", "says"),
    [
        (Factor(0, 1, truncation=0.0), r"composites\[0\].texture.truncation: 0.0 must be above 0, at most 1"),
        (Factor(0, 1, truncation=1.5), "truncation: 1.5 must be above 0"),
        (Factor({}, 1), r"texture.mixture: has no classes"),
        (Factor({0: 0.5, 1: 0.4}, 1), "the weights sum to 0.9"),
        (Factor({0: 1.5, 1: -0.5}, 1), "the weight of class 1 is -0.5"),
        (Factor({0: 0.5, "otter": 0.5}, 1), "otter has two entries"),
        (Factor("ostritch", 1), "no class name begins with 'ostritch'; give one of ostrich$"),
        (Factor("o", 1), "4 class names begin with 'o'; give one of otter, ostrich, oyster, owl"),
        (Factor("n00000001", 1), "'n00000001' is not a class; ids look like n02444819"),
        (Factor(4, 1), "4 is out of range"),
    ],
)
def test_unusable_factors_are_refused_and_named(client: Client, factor: Factor, says: str) -> None:
    with pytest.raises(CgnError, match=says) as refused:
        client.generate("zoo", [composite(texture=factor)], ["foreground"])
    assert refused.value.code == "INVALID_ARGUMENT"
    assert client.generate("zoo", [composite(texture="owl")], ["foreground"])


def test_digits_have_neither_truncation_nor_a_reference(client: Client) -> None:
    with pytest.raises(CgnError, match="not supported by models of family mnist"):
        client.generate("digits", [composite(texture=Factor(0, 1, truncation=0.5))], ["foreground"])
    with pytest.raises(CgnError, match="OUTPUT_REFERENCE is not an output of family mnist"):
        client.generate("digits", [composite(0, 0, 0)], ["reference"])
    with pytest.raises(CgnError, match="this model's classes have no ids"):
        client.generate("digits", [composite(texture="n01518878")], ["foreground"])


def test_a_reference_is_drawn_for_the_factor_of_the_shape(client: Client) -> None:
    (alone,) = client.generate("zoo", [composite("owl", seed=9)], ["reference"])
    (beside,) = client.generate("zoo", [composite("owl", "otter", "otter", seed=9)], ALL)
    assert np.array_equal(alone["reference"], beside["reference"])
    drawn = client.generate("zoo", [composite("owl")], ["reference", "pre_mask"])[0]
    (again,) = client.generate("zoo", [composite("owl", seed=drawn.shape.seed)], ["reference"])  # type: ignore[union-attr]
    assert np.array_equal(again["reference"], drawn["reference"])
    for factor in (drawn.shape, drawn.reference):
        assert factor and (factor.label_name, factor.seed) == ("owl", again.reference.seed)  # type: ignore[union-attr]
