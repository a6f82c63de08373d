"""The results as a page: `docs/results/README.md` between two marks, from the gathered files alone."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.reproduce.files import Results, write_text
from trainer.reproduce.methods import METHODS, VARIANTS
from trainer.reproduce.table import SUMMARY, TABLE

PAGE = "README.md"
BEGIN, END = "<!-- from table2.json and summary.json, by make reproduce-table -->", "<!-- end -->"
_NONE = "–"
_NAMES = {"colored": "colored", "double_colored": "double-colored", "wildlife": "Wildlife"}
# The accuracies on unbiased test images of each kind, and on sets of their own: path in the scores, heading.
_SPLITS = (
    ("validation", "accuracy", "validation"),
    ("test", "accuracy", "test"),
    ("test", "accuracy_where_a_cue_agrees", "a cue agrees"),
    ("test", "accuracy_where_none_agrees", "none agrees"),
    ("in_domain", "accuracy", "in domain"),
    ("train", "accuracy", "training"),
)
_DOUBLE_COLORED = (
    ("test", "accuracy_where_colours_are_equal", "equal colours"),
    ("test", "accuracy_where_colours_differ", "other nine tenths"),
    ("test_drifting", "accuracy", "drifting"),
    ("test_drifting", "accuracy_where_colours_differ", "drifting, other nine tenths"),
)


def write(results: Results) -> None:
    """Puts the gathered results into the page, if there is one with the marks."""
    page = results.root / PAGE
    if page.is_file() and BEGIN in (text := page.read_text(encoding="utf-8")):
        head, rest = text.split(BEGIN, 1)
        _, tail = rest.split(END, 1)
        write_text(page, f"{head}{BEGIN}\n\n{render(results.root)}\n{END}{tail}")


def shown(page: Path) -> str:
    """What a page has between the marks."""
    text = page.read_text(encoding="utf-8")
    return text.split(BEGIN, 1)[1].split(END, 1)[0].strip("\n")


def render(root: Path) -> str:
    """The gathered results as Markdown."""
    table = json.loads((root / TABLE).read_text(encoding="utf-8"))
    summary = json.loads((root / SUMMARY).read_text(encoding="utf-8"))
    parts = [
        "### Test accuracy\n",
        _markdown(["", *_NAMES.values()], _accuracy_rows(table, summary)),
        "\n### Every score\n",
        _markdown(["", "", *(heading for *_, heading in _SPLITS)], _score_rows(summary, _SPLITS)),
    ]
    if double := {variant: facts for variant, facts in summary.items() if variant == "double_colored"}:
        headings = ["", "", *(heading for *_, heading in _DOUBLE_COLORED)]
        parts += ["\n### Double-colored\n", _markdown(headings, _score_rows(double, _DOUBLE_COLORED))]
    headings = ["", "seeds", "restarts", "minutes, median", "minutes, longest", "CPU minutes, median"]
    parts += ["\n### The CGNs\n", _markdown(headings, _model_rows(summary))]
    return "\n".join(parts)


def _accuracy_rows(table: Mapping[str, Any], summary: Mapping[str, Any]) -> Iterable[list[str]]:
    for method, about in METHODS.items():
        if about.train_on:
            yield [about.label, *(_accuracy(table.get(v, {}).get(method)) for v in VARIANTS)]
    chosen = [summary.get(v, {}).get("chosen") for v in VARIANTS]
    yield ["better on validation", *(METHODS[method].label if method else _NONE for method in chosen)]
    closed = [summary.get(v, {}).get("gap_closed", {}).get(c) for v, c in zip(VARIANTS, chosen, strict=True)]
    yield ["its share of the oracle gap", *(_NONE if share is None else f"{share:.1f} %" for share in closed)]


def _accuracy(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return _NONE
    spread = "" if row["std"] is None else f" ± {row['std']:.2f}"
    seeds = len(row["seeds"])
    return f"{row['mean']:.2f}{spread} (worst of {seeds}: {min(row['seeds']):.2f})"


def _score_rows(summary: Mapping[str, Any], splits: Sequence[tuple[str, str, str]]) -> Iterable[list[str]]:
    for variant, facts in summary.items():
        for method, scores in facts["scores"].items():
            values = (scores.get(images, {}).get(name) for images, name, _ in splits)
            cells = (_NONE if value is None else f"{value:.2f}" for value in values)
            yield [_NAMES[variant], METHODS[method].label, *cells]


def _model_rows(summary: Mapping[str, Any]) -> Iterable[list[str]]:
    for variant, facts in summary.items():
        models = facts["models"]
        if models["seeds"]:
            lists = (", ".join(map(str, models[name])) for name in ("seeds", "restarts"))
            times = (models[name] for name in ("minutes_median", "minutes_highest", "cpu_minutes_median"))
            yield [_NAMES[variant], *lists, *(f"{minutes:.1f}" for minutes in times)]


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, numbers and all else to the left."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
