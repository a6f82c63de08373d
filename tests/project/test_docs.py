"""The documentation: its pages, their links, and how long its sentences are."""

from pathlib import Path

import pytest

from common.settings import REPO
from tests.project.markdown import DOCS, PAGES, anchors, links, sentences

NAMES = (
    "README", "quickstart", "own_images", "imagenet", "serving", "jobs", "operations",
    "settings", "security", "architecture", "benchmarks", "results",
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
    assert [found for found in sentences(text) if len(found.split()) > MOST_WORDS] == []


def test_a_long_sentence_is_found() -> None:
    words = "word " * MOST_WORDS
    assert [len(found.split()) for found in sentences(f"# A title\n\n{words}end. Short one.\n")] == [36, 2]
    assert sentences("- one\n- two `a b c` three\n\n| a table |\n```\ncode\n```\n") == [
        "one",
        "two CODE three",
    ]
