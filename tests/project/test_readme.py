"""The README's examples work as pasted."""

import re
from pathlib import Path

import pytest
from PIL import Image

from common.settings import REPO
from deploy.local import LocalStack

README = (REPO / "README.md").read_text()


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.long
def test_the_python_examples_work_as_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CGN_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    image, job = examples("python")
    services = ("redis-jobs", "redis-cache", "generator", "trainer", "worker")
    with LocalStack(apart=tmp_path, services=services) as stack:
        # Only the addresses differ: the test's stack listens on free ports.
        client = f"Client({stack.address('generator')!r}, {stack.address('trainer')!r})"
        exec(image.replace("Client()", client), {})
        assert Image.open("three.png").size == (256, 256)
        assert "mu_mask 0." in capsys.readouterr().out
        exec(job.replace("Client()", client), {})
        said = capsys.readouterr().out
        assert ": train_cgn, model_name my_digits, dataset double_colored_mnist, steps 20" in said
        assert "step 20 of 20, mu_mask 0." in said
        assert "published my_digits, version job-" in said


def test_the_files_it_names_exist() -> None:
    for name in re.findall(r"`([a-z_]+/[a-z_/.]+)`", README):
        if not name.startswith(("var/", "out/", "mnist/", "textures/")):
            assert (REPO / name).exists(), name
