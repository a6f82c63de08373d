"""`make bench ID=imagenet` with small sizes; speed is not asserted."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import imagenet_serving
from benchmarks.__main__ import main
from cgn.device import cpu_has_bfloat16
from testing.random_model import TINY_IMAGENET


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(imagenet_serving, "ARCHITECTURE", TINY_IMAGENET)
    monkeypatch.setattr(imagenet_serving, "CLASSES", 10)
    monkeypatch.setattr(imagenet_serving, "RESOLUTION", 32)
    monkeypatch.setattr(imagenet_serving, "ROUNDS", 2)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_every_row_is_measured_and_composites_are_the_authors(tmp_path: Path) -> None:
    assert main(["--id", "imagenet", "--out", str(tmp_path / "bench.json")]) == 0
    report = json.loads((tmp_path / "bench.json").read_text())
    rows = {row["id"]: row for row in report["results"]}
    assert set(rows) == {
        *(f"11/{kind}" for kind in ("float32", "bfloat16", "equality", "bfloat16-error", "memory"))
    }
    for kind in ("float32", "bfloat16"):
        row = rows[f"11/{kind}"]
        assert row["value"] > 0 and row["baseline"] > 0
        if kind == "bfloat16" and not cpu_has_bfloat16():
            assert row["goal"] == "reported" and row["met"] is None
            continue
        beyond = row["ratio"] - float(row["goal"].strip(">= x"))
        assert row["met"] == (beyond > 0) or abs(beyond) <= 0.01  # the ratio is rounded to hundredths
    assert rows["11/equality"]["met"] and 0 <= rows["11/equality"]["value"] <= 1e-4
    assert 0 < rows["11/bfloat16-error"]["value"] < 0.1
    assert rows["11/memory"]["value"] > 0  # of real processes, each with the model of above
