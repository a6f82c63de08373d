"""Imported weights: the authors' to the bit, every tensor accounted for, and nothing else taken for them.

The ImageNet files are made at 32 pixels, of random weights; the names are those of the full size.
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pytorch_pretrained_biggan import BigGAN as PackageBigGAN  # type: ignore[import-untyped]
from pytorch_pretrained_biggan import BigGANConfig
from safetensors.torch import save_file

from cgn.errors import CgnInputError
from cgn.factors import Factor, noise_of, weights_of
from cgn.families.imagenet import classes as imagenet_classes
from cgn.families.imagenet.biggan import BigGAN, BigGANSizes, calibrate
from cgn.families.imagenet.network import ImagenetCGN, ImagenetSizes
from cgn.families.imagenet.u2net import PRESETS, U2Net
from cgn.imports.authors_weights import AUTHORS_SIZES, load_cgn, load_mnist
from cgn.imports.import_weights import main
from cgn.labels import find_class, find_wordnet
from cgn.noise import Mechanism
from cgn.store import checkpoint, versions, weights
from tests.authors_mnist import Tensors, draw_mask, draw_texture, random_tensors

SIZES = ImagenetSizes(BigGANSizes.at(32, ch=8, z_dim=16), [(2, 4)] * 11)
BIGGANS = ("biggan_GT", "f_shape", "f_text", "f_bg")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def biggans() -> list[Tensors]:
    """Four BigGANs whose pictures have contrast, under the package's names."""
    actual = []
    for seed in range(len(BIGGANS)):
        torch.manual_seed(seed)
        network = BigGAN(SIZES.biggan)
        calibrate(network, seed)
        actual.append(network.state_dict())
    return actual


@pytest.fixture(scope="module")
def u2net() -> Tensors:
    torch.manual_seed(4)
    return U2Net(SIZES.u2net).state_dict()


@pytest.fixture(scope="module")
def whole(biggans: list[Tensors], u2net: Tensors) -> Tensors:
    """What a cgn.pth holds."""
    parts = {**dict(zip(BIGGANS, biggans, strict=True)), "u2net": u2net}
    return {f"{part}.{name}": tensor for part, of_part in parts.items() for name, tensor in of_part.items()}


def is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def without_counters(tensors: Tensors) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if not is_counter(name)}


def same(actual: Tensors, expected: Tensors) -> bool:
    """Whether two state dicts hold the same values, counters aside."""
    actual, expected = without_counters(actual), without_counters(expected)
    return actual.keys() == expected.keys() and all(torch.equal(t, expected[n]) for n, t in actual.items())


def stored(models: Path, name: str) -> Tensors:
    """The weights of a model's version v1."""
    return dict(weights.WeightsFile(models / name / "v1/weights.safetensors"))


def save(tensors: Tensors, path: Path) -> Path:
    torch.save(tensors, path)
    return path


def run(*options: object, models: Path) -> int:
    return main([*map(str, options), "--models-dir", str(models)], SIZES)


# The full sizes.


def test_the_full_size_has_the_authors_names() -> None:
    config = BigGANConfig(
        output_dim=256,
        z_dim=128,
        class_embed_dim=128,
        channel_width=128,
        num_classes=1000,
        # As config.json of biggan-deep-256 has them.
        layers=[
            *([False, 16, 16], [True, 16, 16], [False, 16, 16], [True, 16, 8], [False, 8, 8], [True, 8, 8]),
            *([False, 8, 8], [True, 8, 4], [False, 4, 4], [True, 4, 2], [False, 2, 2], [True, 2, 1]),
        ],
        attention_layer_position=8,
        eps=1e-4,
        n_stats=51,
    )
    with torch.device("meta"):
        network = ImagenetCGN(AUTHORS_SIZES)
        biggan = {name: t.shape for name, t in PackageBigGAN(config).state_dict().items()}
        u2net = {name: t.shape for name, t in U2Net(PRESETS["full"]).state_dict().items()}
    assert (len(biggan), len(u2net)) == (602, 798)
    expected = {f"{part}.{name}": shape for part in BIGGANS for name, shape in biggan.items()}
    expected |= {f"u2net.{name}": shape for name, shape in u2net.items()}
    assert {name: tensor.shape for name, tensor in network.state_dict().items()} == expected
    assert len(expected) == 3206


def test_classes_are_in_imagenets_order() -> None:
    names, ids = imagenet_classes.class_names(), imagenet_classes.class_ids()
    assert (len(set(names)), len(set(ids))) == (1000, 1000)
    assert ids == sorted(ids)  # which is the order of ILSVRC 2012
    known = {
        0: ("tench", "n01440764"),
        9: ("ostrich", "n01518878"),
        340: ("zebra", "n02391049"),
        817: ("sports car", "n04285008"),
        949: ("strawberry", "n07745940"),
        999: ("toilet tissue", "n15075141"),
    }
    assert {i: (names[i], ids[i]) for i in known} == known


# cgn.pth.


@pytest.mark.parametrize("file", ["cgn.pth", "legacy.pth", "parallel.pth", "cgn.safetensors"])
def test_a_cgn_is_imported_to_the_bit(tmp_path: Path, whole: Tensors, file: str) -> None:
    path = tmp_path / file
    if file == "cgn.safetensors":
        save_file(without_counters(whole), path)
    elif file == "parallel.pth":
        torch.save({f"module.{name}": tensor for name, tensor in whole.items()}, path)
    else:
        torch.save(whole, path, _use_new_zipfile_serialization=file != "legacy.pth")
    assert run("cgn", path, models=tmp_path) == 0
    assert same(stored(tmp_path, "imagenet"), whole)
    card = versions.read_card(tmp_path, "imagenet", "v1")
    assert card.trained and card.architecture == SIZES.architecture
    assert (card.family, card.resolution, card.latent_size) == ("imagenet", 32, 16)
    assert (find_class(card, "ostrich"), find_wordnet(card, "n07745940")) == (9, 949)
    assert card.mask_mean == [] and any("no masks have been measured" in note for note in card.notes)
    assert str(path) in card.training["command"] and list(card.training["imported"]) == [str(path)]


def test_an_imported_cgn_draws_what_the_authors_networks_draw(
    tmp_path: Path, whole: Tensors, biggans: list[Tensors], u2net: Tensors
) -> None:
    assert run("cgn", save(whole, tmp_path / "cgn.pth"), models=tmp_path) == 0
    model = checkpoint.load(tmp_path, "imagenet")
    factor = Factor(9, 5, truncation=0.5)
    u_NL = torch.from_numpy(noise_of([factor], 16, truncated=True))
    y_NC = torch.from_numpy(weights_of([9], 1000))
    finder = U2Net(SIZES.u2net, align_corners=True).eval()
    finder.load_state_dict(u2net)
    mechanisms: tuple[Mechanism, ...] = ("reference", "shape", "texture", "background")
    for mechanism, tensors in zip(mechanisms, biggans, strict=True):
        drawer = PackageBigGAN(
            BigGANConfig(
                output_dim=32,
                z_dim=16,
                class_embed_dim=16,
                channel_width=8,
                num_classes=1000,
                layers=list(SIZES.biggan.layers),
                attention_layer_position=SIZES.biggan.attention,
                eps=1e-4,
                n_stats=51,
            )
        ).eval()
        drawer.load_state_dict(tensors)
        with torch.no_grad():
            expected = drawer(u_NL, y_NC, 0.5)
            if mechanism == "shape":
                expected = torch.cat([finder(expected).clamp(0.0001, 0.9999), expected], dim=1)
        row = model.rows(mechanism, [factor])
        torch.testing.assert_close(row, expected, rtol=0, atol=1e-4)
        assert float(row.std()) > 0.1  # else the comparison says nothing


def test_a_cgn_without_the_unconstrained_cgan_has_no_reference(tmp_path: Path, whole: Tensors) -> None:
    rest = {name: tensor for name, tensor in whole.items() if not name.startswith("biggan_GT.")}
    assert run("cgn", save(rest, tmp_path / "cgn.pth"), "--name", "bare", models=tmp_path) == 0
    assert versions.read_card(tmp_path, "bare", "v1").architecture["reference"] == 0
    assert checkpoint.load(tmp_path, "bare").network.mechanisms == ("shape", "texture", "background")


# A BigGAN and a U²-Net.


def test_a_biggan_becomes_every_mechanism(
    tmp_path: Path, biggans: list[Tensors], u2net: Tensors, capsys
) -> None:
    biggan = save(biggans[0], tmp_path / "pytorch_model.bin")
    # The original U²-Net's file has the same tensors, though its maps are scaled up in another way.
    options = ["biggan", biggan, "--u2net", save(u2net, tmp_path / "u2net.pth")]
    assert run(*options, models=tmp_path) == 0
    expected = {f"{part}.{name}": tensor for part in BIGGANS for name, tensor in biggans[0].items()}
    expected |= {f"u2net.{name}": tensor for name, tensor in u2net.items()}
    assert same(stored(tmp_path, "imagenet_biggan"), expected)
    card = versions.read_card(tmp_path, "imagenet_biggan", "v1")
    untrained = "the mechanisms are the pretrained BigGAN, not yet trained as a CGN"
    assert untrained in card.notes and f"note: {untrained}" in capsys.readouterr().out
    model = checkpoint.load(tmp_path, "imagenet_biggan")
    factor = [Factor(3, 1)]
    assert torch.equal(model.rows("texture", factor), model.rows("reference", factor))


def test_a_cgn_whose_tensors_are_one_memory_is_imported_too(
    tmp_path: Path, biggans: list[Tensors], u2net: Tensors
) -> None:
    tied = {f"{part}.{name}": tensor for part in BIGGANS for name, tensor in biggans[0].items()}
    tied |= {f"u2net.{name}": tensor for name, tensor in u2net.items()}
    assert run("cgn", save(tied, tmp_path / "cgn.pth"), models=tmp_path) == 0
    assert same(stored(tmp_path, "imagenet"), tied)


# ckp.pth.


def test_an_mnist_cgn_is_imported_to_the_bit_and_served(tmp_path: Path, capsys) -> None:
    tensors = random_tensors()
    path = save(tensors, tmp_path / "ckp.pth")
    assert run("mnist", path, "--dataset", "wildlife_mnist", models=tmp_path) == 0
    output = capsys.readouterr().out
    assert f"published {tmp_path}/wildlife_mnist_authors/v1" in output
    assert f"CGN_MODELS_DIR={tmp_path} make up" in output
    assert same(stored(tmp_path, "wildlife_mnist_authors"), tensors)
    model = checkpoint.load(tmp_path, "wildlife_mnist_authors")
    card = model.card
    assert card.trained and card.class_names == [str(digit) for digit in range(10)]
    assert len(card.terms) == 2  # of the digits and of the textures
    factors = [Factor(label, label) for label in range(10)]
    u_NL, y_NC = (torch.from_numpy(a) for a in (noise_of(factors, 32), weights_of(range(10), 10)))
    expected = draw_mask(tensors, u_NL, y_NC)
    torch.testing.assert_close(model.rows("shape", factors), expected, rtol=0, atol=1e-5)
    still = draw_texture(tensors, "f_text1", u_NL, y_NC)
    for factor, row, x in zip(factors, model.rows("texture", factors), still, strict=True):
        shifted = x.roll(factor.shift("texture", 32), dims=(1, 2))
        torch.testing.assert_close(row, shifted, rtol=0, atol=1e-5)


def test_an_mnist_cards_masks_are_measured_and_what_is_wrong_with_them_is_noted(tmp_path: Path) -> None:
    tensors = random_tensors()
    # Without the embedding and the noise every mask is the same: what the linear layer's bias makes.
    tensors["f_shape.0.weight"] = torch.zeros_like(tensors["f_shape.0.weight"])
    path = save(tensors, tmp_path / "ckp.pth")
    assert run("mnist", path, "--dataset", "colored_mnist", models=tmp_path) == 0
    card = versions.read_card(tmp_path, "colored_mnist_authors", "v1")
    mask = draw_mask(tensors, torch.zeros(1, 32), torch.zeros(1, 10))
    assert card.mask_mean == [pytest.approx(float(mask.mean()), abs=1e-4)] * 10
    for digit in range(10):
        assert any(note.startswith(f"class {digit}: variation 0.000") for note in card.notes)


# What is refused.


W, B = "f_text2.7.weight", "f_text2.10.bias"
WRONG: dict[str, tuple[Callable[[Tensors], object], str]] = {
    "missing": (lambda s: {n: t for n, t in s.items() if n != B}, f"lacks {B}; give one of the authors'"),
    "many missing": (
        lambda s: {n: t for n, t in s.items() if n.startswith("f_text1.")},
        "lacks label_emb.weight, f_shape.0.weight, f_shape.0.bias and 28 more",
    ),
    "unknown": (lambda s: {**s, "f_text3.0.bias": s[B]}, "has unknown f_text3.0.bias"),
    "shape": (lambda s: {**s, W: s[W][:4]}, f"in another shape {W} (4, 64, 3, 3) instead of (32, 64, 3, 3)"),
    "not finite": (lambda s: {**s, W: s[W] / 0}, f"has non-finite {W}"),
    "complex": (lambda s: {**s, W: s[W].to(torch.complex64)}, "is no state dict"),
    "a training state": (lambda s: {"cgn": s, "epoch": 3}, "is no state dict; save net.state_dict() alone"),
    "nothing": (lambda s: {}, "lacks label_emb.weight"),
}


@pytest.mark.parametrize("way", WRONG)
def test_wrong_weights_are_named_in_one_line(tmp_path: Path, capsys, way: str) -> None:
    change, says = WRONG[way]
    torch.save(change(random_tensors()), tmp_path / "ckp.pth")
    assert run("mnist", tmp_path / "ckp.pth", "--dataset", "colored_mnist", models=tmp_path / "m") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: weights: {tmp_path}/ckp.pth ") and says in error
    assert error.count("\n") == 1 and not (tmp_path / "m").exists()


def test_missing_tensors_of_an_imagenet_file_are_named(tmp_path: Path, whole: Tensors) -> None:
    gone = "f_bg.generator.conv_to_rgb.weight_u"
    path = save({name: t for name, t in whole.items() if name != gone}, tmp_path / "cgn.pth")
    with pytest.raises(CgnInputError, match=f"cgn.pth lacks {gone}; give the cgn.pth"):
        load_cgn(path, SIZES)
    # Some of the unconstrained cGAN is not a file without it.
    first = next(iter(whole))
    part = {n: t for n, t in whole.items() if n == first or not n.startswith("biggan_GT.")}
    with pytest.raises(CgnInputError, match="lacks biggan_GT.* and [0-9]+ more"):
        load_cgn(save(part, path), SIZES)
    # One size is not another.
    wide = dataclasses.replace(SIZES, biggan=BigGANSizes.at(32, ch=16, z_dim=16))
    with pytest.raises(CgnInputError, match="has in another shape .* instead of .* more; give"):
        load_cgn(save(whole, path), wide)


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.9, 0.9999])
def test_a_truncated_file_is_refused(tmp_path: Path, legacy: bool, part: float) -> None:
    path = tmp_path / "ckp.pth"
    torch.save(random_tensors(), path, _use_new_zipfile_serialization=not legacy)
    load_mnist(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(CgnInputError, match=r"^weights: .*ckp\.pth is damaged, cut short or no file"):
        load_mnist(path)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    class Surprise:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"f_text1.0.bias": Surprise()}, tmp_path / "ckp.pth")
    with pytest.raises(CgnInputError, match="no file of weights"):
        load_mnist(tmp_path / "ckp.pth")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("kind", "file_kind", "says"),
    [
        ("cgn", "mnist", "is an MNIST CGN; import it as kind mnist"),
        ("cgn", "biggan", "is a BigGAN alone; import it as kind biggan, with a U²-Net beside it"),
        ("cgn", "u2net", "is a U²-Net alone; give it as --u2net, beside the BigGAN of kind biggan"),
        ("biggan", "cgn", "is an ImageNet CGN; import it as kind cgn"),
        ("biggan", "u2net", "is a U²-Net alone; give it as --u2net"),
        ("mnist", "cgn", "is an ImageNet CGN; import it as kind cgn"),
    ],
)
def test_a_file_of_another_kind_is_recognised(
    tmp_path: Path, capsys, whole: Tensors, kind: str, file_kind: str, says: str
) -> None:
    files = {
        "cgn": whole,
        "biggan": {n.removeprefix("f_bg."): t for n, t in whole.items() if n.startswith("f_bg.")},
        "u2net": {n.removeprefix("u2net."): t for n, t in whole.items() if n.startswith("u2net.")},
        "mnist": random_tensors(),
    }
    paths = {name: save(tensors, tmp_path / f"{name}.pth") for name, tensors in files.items()}
    more: dict[str, tuple[object, ...]] = {
        "cgn": (),
        "biggan": ("--u2net", paths["u2net"]),
        "mnist": ("--dataset", "colored_mnist"),
    }
    assert run(kind, paths[file_kind], *more[kind], models=tmp_path / "models") == 2
    assert f"{paths[file_kind]} {says}" in capsys.readouterr().err


def test_a_version_is_not_imported_twice(tmp_path: Path, capsys) -> None:
    options = ["mnist", save(random_tensors(), tmp_path / "ckp.pth"), "--dataset", "colored_mnist"]
    assert run(*options, "--version", "v2", models=tmp_path) == 0
    assert run(*options, "--version", "v2", models=tmp_path) == 2
    assert "v2 exists and never changes; give another --version or --name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["mnist", "ckp.pth", "--dataset", "colored_mnist", "--name", "../x"], "name: '../x' must be"),
        (["mnist", "ckp.pth", "--dataset", "colored_mnist", "--version", ".x"], "version: '.x' must be"),
        (
            ["mnist", "none.pth", "--dataset", "colored_mnist"],
            "none.pth; docs/imagenet.md has the addresses",
        ),
        (["biggan", "b.bin", "--u2net", "u.pth"], "no file b.bin and none u.pth; docs/imagenet.md has"),
        (["cgn", "cgn.pth", "--name", ""], "name: '' must be"),
        (["cgn", __file__], "test_import_weights.py must be a .safetensors or a .pth file, or a .bin one"),
    ],
)
def test_bad_options_are_refused_in_one_line(tmp_path: Path, capsys, options: list[str], says: str) -> None:
    assert run(*options, models=tmp_path) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "options", [[], ["gan", "x.pth"], ["mnist", "x.pth"], ["biggan", "x.bin"], ["mnist", "x", "--data", "y"]]
)
def test_options_that_are_missing_or_unknown_are_refused(tmp_path: Path, options: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert ended.value.code == 2
