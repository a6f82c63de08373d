"""`make bench`: every row gives a valid result. Speed is not asserted here."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import servers
from benchmarks.__main__ import GROUPS, main
from benchmarks.process_life import slope_with_interval


def measured(row: str, out: Path) -> list[dict[str, Any]]:
    """Runs a row with minimal sizes, checks the form of its results and returns them."""
    assert main(["--tiny", "--id", row, "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert (
        report["command"].startswith(f"python -m benchmarks --tiny --id {row}") and report["machine"]["cpu"]
    )
    results: list[dict[str, Any]] = report["results"]
    assert results
    for result in results:
        assert set(result) == {"id", "measure", "value", "unit", "baseline", "ratio", "goal", "met"}
        assert result["id"].split("/")[0] == row and result["measure"] and result["unit"]
        if result["goal"].endswith("x") and result["goal"].startswith(">= "):
            assert result["ratio"] == pytest.approx(result["value"] / result["baseline"], rel=0.01)
            assert result["met"] == (result["ratio"] >= float(result["goal"][3:-1]))
    return results


def ids(results: list[dict[str, Any]]) -> list[str]:
    return [result["id"] for result in results]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_fresh_composites_are_compared_and_equal(tmp_path: Path) -> None:
    results = measured("1", tmp_path / "bench.json")
    kinds = ["float32", "bfloat16", "equality", "bfloat16-error"]
    both = [f"1/{networks}{kind}" for networks in ("", "authors-") for kind in kinds]
    assert ids(results) == [*both, "1/instead-float32", "1/instead-bfloat16"]
    for equality, error in (results[2:4], results[6:8]):
        assert equality["met"] and equality["value"] > 0
        assert 0 < error["value"] < 0.02


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("row", "some"),
    [
        ("2", "2/bfloat16"),
        ("3", "3"),
        ("4", "4/single"),
        ("6", "6/cold-redis"),
        ("7", "7/goodput"),
        ("8", "8"),
        ("9", "9"),
        ("10", "10"),
    ],
)
def test_every_row_is_measured(tmp_path: Path, row: str, some: str) -> None:
    assert some in ids(measured(row, tmp_path / "bench.json"))


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not servers.BENCH_PYTHON.exists(), reason="make bench installs the other servers")
def test_other_servers_are_measured(tmp_path: Path) -> None:
    results = measured("5", tmp_path / "bench.json")
    kinds = ("fresh", "repeats", "single", "failed")
    assert ids(results) == [f"5/{other}-{kind}" for other in ("litserve", "bentoml") for kind in kinds]
    timed = [result for result in results if not result["id"].endswith("-failed")]
    assert all(result["value"] > 0 and result["baseline"] > 0 for result in timed)


def test_growth_is_distinguished_from_noise() -> None:
    draw = np.random.default_rng(0)
    seconds = np.arange(0, 120, 0.05)
    noise = 500 + draw.normal(0, 2, len(seconds))
    slope, margin = slope_with_interval(list(zip(seconds, noise, strict=True)))
    assert abs(slope) <= margin
    slope, margin = slope_with_interval(list(zip(seconds, noise + seconds / 60, strict=True)))
    assert slope - margin > 0 and slope == pytest.approx(1, abs=0.3)
    assert slope_with_interval([(at, 500.0) for at in seconds]) == (0, 0)


@pytest.mark.parametrize("wrong", ["12", "0", "imagenets", "1/nothing"])
def test_an_unknown_row_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setitem(GROUPS, "1", lambda sizes: [])
    with pytest.raises(SystemExit) as ended:
        main(["--tiny", "--id", wrong, "--out", str(tmp_path / "bench.json")])
    assert ended.value.code == 2 and "--id" in capsys.readouterr().err
    assert not (tmp_path / "bench.json").exists()
