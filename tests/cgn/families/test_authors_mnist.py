"""The authors' MNIST networks: the same function as theirs, drawn row by row."""

import pytest
import torch

from cgn.card import MaskBounds, ModelCard
from cgn.errors import CgnInputError
from cgn.factors import Factor, mixture, noise_of, weights_of
from cgn.families.mnist_authors.network import AuthorsMnistCGN
from cgn.families.mnist_authors.served import ServedAuthorsMnist
from cgn.model import CGN
from cgn.noise import MECHANISMS, Mechanism
from tests.authors_mnist import Tensors, draw_mask, draw_texture, random_tensors

LABELS = [*range(10), mixture({3: 0.25, 8: 0.75})]
NO_ROLL = torch.zeros(len(LABELS), 2, dtype=torch.int64)


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return random_tensors()


@pytest.fixture(scope="module")
def network(tensors: Tensors) -> AuthorsMnistCGN:
    model = AuthorsMnistCGN().eval().requires_grad_(False)
    model.load_state_dict(tensors)
    return model


@pytest.fixture(scope="module")
def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    """Noise, and a plain label or a mixture, of each row."""
    random = torch.Generator().manual_seed(1)
    return torch.randn(len(LABELS), 32, generator=random), torch.from_numpy(weights_of(LABELS, 10))


def expected(tensors: Tensors, mechanism: Mechanism, *inputs: torch.Tensor) -> torch.Tensor:
    if mechanism == "shape":
        return draw_mask(tensors, *inputs)
    return draw_texture(tensors, {"texture": "f_text1", "background": "f_text2"}[mechanism], *inputs)


@pytest.mark.parametrize("mechanism", ["shape", "texture", "background"])
def test_a_mechanism_is_the_authors_function(network, tensors, inputs, mechanism) -> None:
    drawn = network.draw(mechanism, *inputs, NO_ROLL, 1.0)
    assert float((drawn - expected(tensors, mechanism, *inputs)).abs().max()) < 1e-6
    # Else the comparison says nothing.
    assert float(drawn.std()) > 0.2 and float((drawn[0] - drawn[1]).abs().mean()) > 0.1


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_it_is_served_in_a_form_that_draws_the_same(network, inputs, mechanism) -> None:
    u_NL, y_NC = inputs
    rolls = torch.randint(32, (len(LABELS), 2), generator=torch.Generator().manual_seed(2))
    exact = network.draw(mechanism, u_NL, y_NC, rolls, 1.0)
    served = ServedAuthorsMnist(network).draw(mechanism, u_NL, y_NC, rolls, 1.0)
    assert served.shape == exact.shape and served.dtype == torch.float32
    assert float((served - exact).abs().max()) <= 1e-4
    rough = ServedAuthorsMnist(network, torch.bfloat16).draw(mechanism, u_NL, y_NC, rolls, 1.0)
    assert rough.dtype == torch.float32
    assert 0 < float((rough - exact).square().mean().sqrt()) < 0.02


def test_serving_leaves_the_imported_form_as_it_is(tensors) -> None:
    network = AuthorsMnistCGN().eval()
    network.load_state_dict(tensors)
    for tensor in ServedAuthorsMnist(network).state_dict().values():
        if tensor.is_floating_point():
            tensor.zero_()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in network.state_dict().items())


def test_a_mask_is_cut_off_short_of_0_and_1(network, inputs) -> None:
    m = network.draw("shape", *inputs, NO_ROLL, 1.0)
    assert m.shape == (len(LABELS), 1, 32, 32)
    assert float(m.min()) == pytest.approx(1e-4) and float(m.max()) == pytest.approx(1 - 1e-4)


@pytest.mark.parametrize("mechanism", ["texture", "background"])
def test_a_roll_is_one_of_the_authors_cuts(network, tensors, inputs, mechanism) -> None:
    # They set four of a texture side by side, and cut one out that begins anywhere.
    still = expected(tensors, mechanism, *inputs)
    roll_N2 = torch.stack([torch.arange(len(LABELS)), 31 - torch.arange(len(LABELS))], dim=1)
    rolled = network.draw(mechanism, *inputs, roll_N2, 1.0)
    for x, four, (down, right) in zip(rolled, still.repeat(1, 1, 2, 2), roll_N2.tolist(), strict=True):
        cut = four[:, 32 - down : 64 - down, 32 - right : 64 - right]
        assert float((x - cut).abs().max()) < 1e-6


@pytest.mark.parametrize("mechanism", ["shape", "texture"])
def test_rows_of_a_model_are_the_authors_and_the_same_to_the_bit_alone(network, tensors, mechanism) -> None:
    model = CGN(network, card())
    factors = [Factor(label, seed) for seed, label in enumerate(LABELS)]
    rows = model.rows(mechanism, factors)
    for factor, row in zip(factors, rows, strict=True):
        assert torch.equal(model.rows(mechanism, [factor])[0], row)
    u_NL, y_NC = noise_of(factors, 32), weights_of(LABELS, 10)
    still = expected(tensors, mechanism, torch.from_numpy(u_NL), torch.from_numpy(y_NC))
    for factor, row, unrolled in zip(factors, rows, still, strict=True):
        shift = (0, 0) if mechanism == "shape" else factor.shift(mechanism, 32)
        torch.testing.assert_close(row, unrolled.roll(shift, dims=(1, 2)), rtol=0, atol=1e-5)


def card() -> ModelCard:
    return ModelCard(
        name="digits",
        version="v1",
        digest=f"blake2b:{'0' * 32}",
        family="mnist_authors",
        architecture={},
        class_names=[str(digit) for digit in range(10)],
        resolution=32,
        latent_size=32,
        mask_bounds=[MaskBounds(0.01, 0.9, highest_border=1.0, highest_soft=1.0)] * 10,
        mask_mean=[],
        mask_border=[],
        mask_soft=[],
        trained=False,
    )


def test_every_mechanism_tells_its_size(network) -> None:
    sizes = [network.resident_bytes(mechanism) for mechanism in ("shape", "texture", "background")]
    # 0.Linear, the convolutions, batch norm's four values a channel, and its counters.
    linear = 4096 * 43
    shape = 4 * (linear + 9 * (64 * 32 + 32) + 4 * 33) + 2 * 8
    texture = 4 * (linear + 9 * (64 * 64 + 64 * 32 + 32 * 3) + 3 + 4 * 99) + 3 * 8
    assert sizes == [shape, texture, texture]


@pytest.mark.parametrize("sizes", [({"width": 32}, 10, 32), ({}, 9, 32), ({}, 10, 64)])
def test_there_is_one_size(sizes) -> None:
    assert isinstance(AuthorsMnistCGN.of({}, 10, 32), AuthorsMnistCGN)
    with pytest.raises(CgnInputError, match=r"architecture: .* must be \{\} with 10 at 32"):
        AuthorsMnistCGN.of(*sizes)
