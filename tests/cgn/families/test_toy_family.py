"""A new family takes a folder and a line of the table (docs/extending.md): a toy one, from card to row."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cgn.card import MaskBounds
from cgn.engine import Engine, Row
from cgn.errors import CgnInputError
from cgn.factors import Factor, noise_of, shifts_of, weights_of
from cgn.families.family import Architecture, Family, served_from_trained
from cgn.families.network import Network
from cgn.families.table import FAMILIES
from cgn.metrics.collapse import measure_network
from cgn.noise import MECHANISMS, Mechanism
from cgn.store import checkpoint

CLASSES, RESOLUTION = 3, 8


class ToyCGN(Network):
    """One linear layer per mechanism: (u, y) -> pixels."""

    latent = 4

    def __init__(self, classes: int, resolution: int, *, inverted: bool) -> None:
        super().__init__(classes, resolution)
        self.inverted = inverted
        inputs, pixels = self.latent + classes, resolution**2
        self.shape = nn.Linear(inputs, pixels)
        self.texture, self.background = nn.Linear(inputs, 3 * pixels), nn.Linear(inputs, 3 * pixels)

    def draw(
        self,
        mechanism: Mechanism,
        u_NL: torch.Tensor,
        y_NC: torch.Tensor,
        shift_N2: torch.Tensor,
        truncation: float,
    ) -> torch.Tensor:
        flat: torch.Tensor = getattr(self, mechanism)(torch.cat([u_NL, y_NC], dim=1))
        x_NCHW = flat.unflatten(1, (-1, self.resolution, self.resolution))
        if mechanism != "shape":
            return torch.tanh(x_NCHW)
        return torch.sigmoid(-x_NCHW if self.inverted else x_NCHW)


def build(architecture: Architecture, classes: int, resolution: int) -> ToyCGN:
    if set(architecture) != {"inverted"}:
        raise CgnInputError("architecture", f"{dict(architecture)} must be {{'inverted': 0 or 1}}")
    return ToyCGN(classes, resolution, inverted=bool(architecture["inverted"]))


FAMILY = Family(
    name="toy",
    outputs=("composite", "mask", "foreground", "background"),
    build=build,
    serve=served_from_trained(build, lambda trained, dtype: trained),
    row_switches=("inverted",),
)


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line of the table."""
    monkeypatch.setitem(FAMILIES, FAMILY.name, FAMILY)


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(threads=1)
    yield engine
    engine.close()


def publish(root: Path, name: str, inverted: int = 0) -> ToyCGN:
    torch.manual_seed(0)
    network = build({"inverted": inverted}, CLASSES, RESOLUTION)
    checkpoint.publish(
        root,
        network,
        dtype=torch.float32,
        name=name,
        version="v1",
        family=FAMILY.name,
        architecture={"inverted": inverted},
        class_names=["a", "b", "c"],
        resolution=RESOLUTION,
        latent_size=network.latent,
        mask_bounds=[MaskBounds(0.1, 0.9, highest_border=1.0, highest_soft=1.0)] * CLASSES,
        mask_mean=[],
        mask_border=[],
        mask_soft=[],
        trained=False,
    )
    return network.eval()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_engine_serves_the_rows_of_the_trained_network(
    tmp_path: Path, engine: Engine, mechanism: Mechanism
) -> None:
    network = publish(tmp_path, "tiny_toy")
    model = checkpoint.load(tmp_path, "tiny_toy")
    engine.add(model)
    (pixels,) = engine.submit([Row(model.card.digest, mechanism, 2, 7)]).future.result(60)
    factors = [Factor(2, 7)]
    with torch.no_grad():
        (expected,) = network.draw(
            mechanism,
            torch.from_numpy(noise_of(factors, network.latent)),
            torch.from_numpy(weights_of([2], CLASSES)),
            torch.from_numpy(shifts_of(factors, mechanism, RESOLUTION)),
            1.0,
        )
    np.testing.assert_allclose(pixels, expected.permute(1, 2, 0), atol=1e-6)


def test_the_trained_form_is_loaded_measured_and_typed(tmp_path: Path) -> None:
    network = publish(tmp_path, "tiny_toy")
    trained, card = checkpoint.load_trained_of(FAMILY, tmp_path, "tiny_toy")
    assert torch.equal(trained.shape.weight, network.shape.weight)
    measures = measure_network(trained, rows=8)
    assert len(measures) == len(card.class_names) == CLASSES
    assert all(0 < of_class.mean < 1 for of_class in measures)


def test_a_row_switch_changes_the_digest(tmp_path: Path) -> None:
    plain, inverted = publish(tmp_path, "plain"), publish(tmp_path, "inverted", inverted=1)
    assert torch.equal(plain.shape.weight, inverted.shape.weight)
    models = [checkpoint.load(tmp_path, name) for name in ("plain", "inverted")]
    assert models[0].card.digest != models[1].card.digest
    masks, others = (model.rows("shape", [Factor(0, 1)]) for model in models)
    torch.testing.assert_close(masks, 1 - others)


def test_the_declaration_agrees_with_the_network() -> None:
    sizes = {
        "mnist": ({"width": 2}, 10, 32),
        "mnist_authors": ({}, 10, 32),
        "imagenet": (
            {"ch": 8, "z_dim": 16, "u2net_inner": 2, "u2net_outer": 4, "reference": 1, "mend_truncation": 0},
            4,
            32,
        ),
        "toy": ({"inverted": 0}, 3, 8),
    }
    for name, (architecture, classes, resolution) in sizes.items():
        family = FAMILIES[name]
        with torch.device("meta"):
            network = family.build(architecture, classes, resolution)
        assert network.truncated == family.truncated
        assert family.name == name
        assert ("reference" in family.outputs) == ("reference" in network.mechanisms)
