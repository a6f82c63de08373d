"""The model of random weights: its card says so, and its images differ."""

import subprocess
import sys
from pathlib import Path

import pytest

from cgn.factors import Factor
from cgn.families.imagenet.biggan import BigGANSizes
from cgn.families.imagenet.network import ImagenetSizes
from cgn.imports.import_weights import main
from cgn.labels import find_class
from cgn.store import checkpoint

SIZES = ImagenetSizes(BigGANSizes.at(32, ch=8, z_dim=16), [(2, 4)] * 11)


def test_a_random_model_is_labelled_so_and_its_images_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["random", "--models-dir", str(tmp_path)], SIZES) == 0
    assert 'client.generate("imagenet_random", ...)' in capsys.readouterr().out
    model = checkpoint.load(tmp_path, "imagenet_random")
    assert not model.card.trained
    assert model.card.notes[0] == "random weights, never trained: its pictures show nothing"
    causes = [Factor(find_class(model.card, "jay"), 1), Factor(find_class(model.card, "barn"), 2)]
    images = model.generate(causes, causes, causes)
    for pictures in (images.foreground, images.background, images.composite):
        assert float(pictures.std()) > 0.1
        assert float((pictures[0] - pictures[1]).abs().mean()) > 0.1
    assert main(["random", "--models-dir", str(tmp_path)], SIZES) == 2
    assert "exists and never changes" in capsys.readouterr().err


def test_the_old_command_works_and_names_the_new_one() -> None:
    command = [sys.executable, "-m", "cgn.import_weights", "--help"]
    process = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "is now `python -m cgn.imports.import_weights`" in process.stderr
    assert "usage: python -m cgn.imports.import_weights" in process.stdout
