"""docs/benchmarks.md and the README show the committed results, missed goals as missed."""

import json
from dataclasses import replace
from pathlib import Path

from benchmarks import cost_page, page
from benchmarks.__main__ import with_earlier
from benchmarks.results import Result

RESULT = {"id": "4", "measure": "a|b", "value": 1234.5, "unit": "images/s", "baseline": 617.25, "ratio": 2.0}
TOLD = {
    "command": "python -m benchmarks",
    "commit": "0123456789abcdef",
    "machine": {"cpu": "Some CPU", "threads": 2},
    "results": [
        RESULT | {"goal": ">= 3x", "met": False},
        RESULT | {"id": "10", "baseline": None, "ratio": None, "goal": "reported", "met": None},
    ],
}


def test_the_pages_show_the_committed_results() -> None:
    for file, expected in ((page.PAGE, page.render), (page.README, page.summary)):
        text = file.read_text(encoding="utf-8")
        assert text.split(page.BEGIN)[1].split(page.END)[0].strip("\n") == expected(page.RESULTS)


def test_the_summary_counts_the_goals_that_are_met(tmp_path: Path) -> None:
    ids = ("1/float32", "1/bfloat16", "2/float32", "2/bfloat16", "6/memory")
    rows = [RESULT | {"id": id, "goal": ">= 3x", "met": id == "6/memory"} for id in ids]
    reported = RESULT | {"id": "7", "goal": "reported", "met": None}
    (tmp_path / "bench.json").write_text(json.dumps(TOLD | {"results": [*rows, reported]}))
    summary = page.summary(tmp_path)
    assert "- The speed goals: 1 of 5 are met (Some CPU, 2 threads)." in summary
    assert (
        "New images: 1,234 images/s in bfloat16, 1,234 in float32; plain PyTorch in float32: 617." in summary
    )


def test_the_page_has_the_costs_that_were_measured(tmp_path: Path) -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    shown = text.split(cost_page.BEGIN)[1].split(cost_page.END)[0].strip("\n")
    assert shown == cost_page.render(page.RESULTS)
    (tmp_path / cost_page.BANKS).mkdir()
    size = {"mean": 91.0, "std": 0.2, "rows_cpu_seconds": 4.0, "images_cpu_seconds": 30.0}
    report = TOLD | {
        "model": {"name": "mine"},
        "images": 100_000,
        "sizes": {
            "1000": size | {"points_lost": 0.5, "times_faster": 10.0, "times_faster_with_rows": 8.8},
            "0": size | {"mean": 91.5, "rows_cpu_seconds": 0.0, "images_cpu_seconds": 300.0},
        },
    }
    (tmp_path / cost_page.BANKS / "mine.json").write_text(json.dumps(report))
    rendered = cost_page.render(tmp_path)
    assert "| 1,000 | 91.00 ± 0.20 | 4 | 30 | 0.5 | 10.0 | 8.8 |" in rendered
    assert "| fresh rows | 91.50 ± 0.20 | 0 | 300 |  |  |  |" in rendered
    assert "Some CPU, 2 threads: `python -m benchmarks` of commit 0123456789" in rendered


def test_a_missed_goal_is_shown_as_missed(tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(json.dumps(TOLD))
    missed, reported = page.render(tmp_path).splitlines()[2:4]
    assert missed == r"| 4 | a\|b | 1,234 images/s | 617.2 | 2x | >= 3x | **no** |"
    assert reported == r"| 10 | a\|b | 1,234 images/s |  |  |  |  |"
    (source,) = [line for line in page.render(tmp_path).splitlines() if line.startswith("- ")]
    assert source.endswith("Some CPU, 2 threads: `python -m benchmarks` of commit 0123456789")


def test_a_new_measurement_joins_earlier_rows_of_the_machine(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    report = {"command": "all", "commit": "a", "machine": {"cpu": "Some CPU"}}
    first, other = (
        Result(id, "", value, "", None, None, "", None) for id, value in (("4", 1.0), ("10", 2.0))
    )
    file.write_text(json.dumps(with_earlier(None, report, [first, other])))
    again = with_earlier(file, report | {"command": "one"}, [replace(first, value=3.0)])
    assert [(row["id"], row["value"]) for row in again["results"]] == [("4", 3.0), ("10", 2.0)]
    assert [(run["command"], run["ids"]) for run in again["measured"]] == [("one", ["4"]), ("all", ["10"])]
    elsewhere = with_earlier(file, report | {"machine": {"cpu": "Another"}}, [first])
    assert [row["id"] for row in elsewhere["results"]] == ["4"]
