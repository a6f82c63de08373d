"""The README and the quickstart: their examples work as pasted, and the files that they name exist."""

import re
from pathlib import Path

import pytest
from PIL import Image

from common.settings import REPO
from deploy.local import LocalStack
from tests.project.markdown import DOCS, PAGES, code_blocks

README = REPO / "README.md"


@pytest.mark.long
def test_the_python_examples_work_as_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CGN_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    (in_readme,) = code_blocks(README, "python")
    image, job = code_blocks(DOCS / "quickstart.md", "python")
    assert in_readme == image
    calls = [
        block for block in code_blocks(DOCS / "serving.md", "python") if not block.startswith("import torch")
    ]
    assert len(calls) >= 3
    services = ("redis-jobs", "redis-cache", "generator", "trainer", "worker")
    with LocalStack(apart=tmp_path, services=services) as stack:
        # Only the addresses differ: the test's stack listens on free ports.
        client = f"Client({stack.address('generator')!r}, {stack.address('trainer')!r})"
        exec(image.replace("Client()", client), {})
        assert Image.open("three.png").size == (256, 256)
        assert "mu_mask 0." in capsys.readouterr().out
        exec(job.replace("Client()", client), {})
        output = capsys.readouterr().out
        assert ": train_cgn, model_name my_digits, dataset double_colored_mnist, steps 20" in output
        assert "step 20 of 20, mu_mask 0." in output
        assert "published my_digits, version job-" in output
        for call in calls:
            exec(call.replace("Client()", client), {})
            assert capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_the_files_it_names_exist(page: Path) -> None:
    # Folders that a run, a download or the results have.
    elsewhere = (
        "var/", "out/", "mnist/", "textures/", "runs/", "results/", "samples/", "dataset/", "cells/",
        "recombination/", "models/my_",
    )  # fmt: skip
    for name in re.findall(r"`([a-z_]+/[a-z_/.]+)`", page.read_text(encoding="utf-8")):
        if not name.startswith(elsewhere):
            assert (REPO / name).exists(), name
