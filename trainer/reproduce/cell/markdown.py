"""Markdown that is written by programs, within pages that are written by hand."""

from collections.abc import Iterable, Sequence


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, numbers and all else to the left."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def between_marks(page: str, begin: str, end: str, text: str) -> str:
    """A page with another text between two marks; a page without the first mark stays as it is."""
    if begin not in page:
        return page
    head, rest = page.split(begin, 1)
    _, tail = rest.split(end, 1)
    return f"{head}{begin}\n\n{text}\n{end}{tail}"
