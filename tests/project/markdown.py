"""Reads the project's Markdown pages: sentences, links, headings, code blocks."""

import re
from pathlib import Path

from common.settings import REPO

DOCS = REPO / "docs"
PAGES = [
    REPO / "README.md",
    REPO / "CONTRIBUTING.md",
    *sorted(DOCS.glob("*.md")),
    DOCS / "results" / "README.md",
]
_CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def without_code(text: str) -> str:
    """Returns a page without its fenced code blocks."""
    return _CODE.sub("", text)


def code_blocks(page: Path, language: str) -> list[str]:
    """Returns the fenced code blocks of one language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def sentences(text: str) -> list[str]:
    """Returns the sentences of a page outside tables, code blocks and headings.

    A list item starts a new sentence. Inline code counts as one word, as it is read as one name.
    """
    lines = []
    for line in without_code(text).splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith(("|", "#", "<!--")):
            lines.append("\0")
        elif re.match(r"([-*]|\d+\.) ", stripped):
            lines.append("\0" + re.sub(r"^([-*]|\d+\.) ", "", stripped))
        else:
            lines.append(stripped)
    plain = re.sub(r"`[^`]*`", "CODE", " ".join(lines))
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", plain)
    return [part.strip() for part in re.split(r"\0|(?<=[.!?])[*)\"]*\s+", plain) if part.strip()]


def links(text: str) -> list[str]:
    """Returns the targets of the links and pictures of a page that are no web addresses."""
    targets = re.findall(r"\]\(([^)\s]+)\)", without_code(text))
    return [target for target in targets if not target.startswith(("http://", "https://", "mailto:"))]


def anchors(text: str) -> set[str]:
    """Returns the anchors that GitHub makes of the headings of a page."""
    result: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        result.add(anchor)
    return result
