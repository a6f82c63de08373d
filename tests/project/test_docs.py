"""The documentation: its pages, their links, and how long its sentences are."""

import json
import statistics
from pathlib import Path

import pytest

from common.settings import REPO
from tests.project.markdown import DOCS, PAGES, anchors, links, sentences
from tests.shipped import SHIPPED

NAMES = (
    "README", "quickstart", "own_images", "imagenet", "serving", "jobs", "operations",
    "settings", "security", "architecture", "extending", "benchmarks", "results",
)  # fmt: skip
LONGEST_README = 150  # lines
MOST_WORDS = 35  # in a sentence


def test_the_pages_are_those_of_the_index() -> None:
    assert {path.stem for path in DOCS.glob("*.md")} == set(NAMES)
    index = links((DOCS / "README.md").read_text(encoding="utf-8"))
    assert {f"{name}.md" for name in NAMES} - {"README.md"} <= set(index)


def test_the_readme_is_short() -> None:
    assert len((REPO / "README.md").read_text(encoding="utf-8").splitlines()) <= LONGEST_README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    broken = []
    for link in links(page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_no_sentence_is_long(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [result for result in sentences(text) if len(result.split()) > MOST_WORDS] == []


def test_a_long_sentence_is_found() -> None:
    words = "word " * MOST_WORDS
    assert [len(result.split()) for result in sentences(f"# A title\n\n{words}end. Short one.\n")] == [36, 2]
    assert sentences("- one\n- two `a b c` three\n\n| a table |\n```\ncode\n```\n") == [
        "one",
        "two CODE three",
    ]


def test_the_shipped_models_are_described_as_their_cards_say() -> None:
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    for name, version in SHIPPED.items():
        card = json.loads((REPO / "models" / name / version / "card.json").read_text(encoding="utf-8"))
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        masks = card["mask_mean"]
        mean = f"{statistics.fmean(masks):.3f} ({min(masks):.3f} to {max(masks):.3f})"
        minutes = f"{card['training']['cpu_seconds'] / 60:.0f} min"
        steps = f"{card['training']['config']['steps']:,}"
        accuracy = f"{card['scores']['cgn']['test']:.2f} %"
        assert row.split("|")[2:6] == [f" {cell} " for cell in (mean, steps, minutes, accuracy)]


def test_numbers_of_other_machines_are_those_of_their_files() -> None:
    page = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    avx2, xeon = (
        {row["id"]: row["ratio"] for row in json.loads((DOCS / "results" / name).read_text())["results"]}
        for name in ("bench_avx2.json", "bench_xeon.json")
    )
    for text in (
        f"| 11, float32 | {avx2['11/float32']:.2f} times",
        f"| 5, repeats beside LitServe | {avx2['5/litserve-repeats']:.1f} times",
        f"| 6, memory | {avx2['6/memory']:.1f} times",
        f"keeps {avx2['6/cold-memory']:.2f} of the speed in memory, {avx2['6/cold-redis']:.2f} in Redis",
        f"{xeon['11/float32']:.1f} times (float32) and {xeon['11/bfloat16']:.1f} times (bfloat16)",
    ):
        assert text in page
