"""Generated Markdown inside pages that people write."""

from collections.abc import Iterable, Sequence


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a Markdown table, all columns aligned left."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def between_marks(page: str, begin: str, end: str, text: str) -> str:
    """Returns a page with new text between two marks. A page without the first mark stays unchanged."""
    if begin not in page:
        return page
    head, rest = page.split(begin, 1)
    _, tail = rest.split(end, 1)
    return f"{head}{begin}\n\n{text}\n{end}{tail}"
