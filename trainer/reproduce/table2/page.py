"""Writes the gathered results of table 2 between two marks of a page.

`docs/results.md` has every number, the repository's `README.md` has the mean accuracies.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.reproduce.cell.files import Results, write_text
from trainer.reproduce.cell.markdown import between_marks
from trainer.reproduce.cell.markdown import table as markdown_table
from trainer.reproduce.table2.methods import ALL, IDEAS_SEED, METHODS, VARIANTS
from trainer.reproduce.table2.table import SUMMARY, TABLE

PAGE, README = "results.md", "README.md"  # in `docs` and in the repository
BEGIN, END = "<!-- from table2.json and summary.json, by make reproduce-table -->", "<!-- end -->"
_NONE = "–"
# The rows of the README by method, in plain words.
_README_ROWS = {
    "original": "original images",
    "cgn": "counterfactuals",
    "original_cgn": "both, one to one",
    "oracle": "digits with truly random colours or textures",
}
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

_IDEAS = (_SPLITS[0], _SPLITS[1], *_DOUBLE_COLORED[:2])


def write(results: Results, page: Path, readme: Path) -> None:
    """Writes all results into the page and the mean accuracies into the readme, where they have the marks."""
    for path, text in ((page, render(results.root)), (readme, means(results.root))):
        if path.is_file():
            write_text(path, between_marks(path.read_text(encoding="utf-8"), BEGIN, END, text))


def shown(page: Path) -> str:
    """Returns the text between the marks of a page."""
    text = page.read_text(encoding="utf-8")
    return text.split(BEGIN, 1)[1].split(END, 1)[0].strip("\n")


def render(root: Path) -> str:
    """Returns all gathered results as Markdown."""
    summary = _read(root / SUMMARY)
    parts = [
        "### Test accuracy\n",
        accuracies(root),
        "\n### Every score\n",
        markdown_table(["", "", *(heading for *_, heading in _SPLITS)], _score_rows(summary, _SPLITS)),
    ]
    if double := {variant: facts for variant, facts in summary.items() if variant == "double_colored"}:
        headings = ["", "", *(heading for *_, heading in _DOUBLE_COLORED)]
        parts += ["\n### Double-colored\n", markdown_table(headings, _score_rows(double, _DOUBLE_COLORED))]
    if ideas := summary.get("double_colored", {}).get("ideas"):
        headings = [
            "counterfactuals of the CGN of seed " + str(IDEAS_SEED),
            *(heading for *_, heading in _IDEAS),
        ]
        rows = ([ALL[name].label, *_values(scores, _IDEAS)] for name, scores in ideas.items())
        parts += ["\n### Tried on double-colored\n", markdown_table(headings, rows)]
    headings = ["", "seeds", "restarts", "minutes, median", "minutes, longest", "CPU minutes, median"]
    parts += ["\n### The CGNs\n", markdown_table(headings, _model_rows(summary))]
    return "\n".join(parts)


def means(root: Path) -> str:
    """Returns the mean test accuracy by row and variant, and how many seeds a mean has, as Markdown."""
    table = _read(root / TABLE)
    rows = [
        [label, *(_mean(table.get(variant, {}).get(method)) for variant in VARIANTS)]
        for method, label in _README_ROWS.items()
    ]
    seeds = [len(row["seeds"]) for variant in table.values() for row in variant.values()]
    headings = ["trained on", *(f"{name[0].upper()}{name[1:]} MNIST" for name in _NAMES.values())]
    if not seeds:
        return "No classifier has been trained yet."
    note = f"Each number is the mean over {min(seeds)} to {max(seeds)} seeds, in per cent."
    return f"{markdown_table(headings, rows)}\n\n{note}"


def _mean(row: Mapping[str, Any] | None) -> str:
    return _NONE if row is None else f"{row['mean']:.1f}"


def accuracies(root: Path) -> str:
    """Returns the test accuracy by row and variant as a Markdown table: mean, deviation, worst seed."""
    return markdown_table(["", *_NAMES.values()], _accuracy_rows(_read(root / TABLE), _read(root / SUMMARY)))


def _read(path: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def _accuracy_rows(table: Mapping[str, Any], summary: Mapping[str, Any]) -> Iterable[list[str]]:
    for method, about in METHODS.items():
        if about.train_on:
            yield [about.label, *(_accuracy(table.get(v, {}).get(method)) for v in VARIANTS)]
    chosen = [summary.get(v, {}).get("chosen") for v in VARIANTS]
    yield ["better row on validation", *(METHODS[method].label if method else _NONE for method in chosen)]
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
            yield [_NAMES[variant], METHODS[method].label, *_values(scores, splits)]


def _values(scores: Mapping[str, Any], splits: Sequence[tuple[str, str, str]]) -> Iterable[str]:
    values = (scores.get(images, {}).get(name) for images, name, _ in splits)
    return [_NONE if value is None else f"{value:.2f}" for value in values]


def _model_rows(summary: Mapping[str, Any]) -> Iterable[list[str]]:
    for variant, facts in summary.items():
        models = facts["models"]
        if models["seeds"]:
            lists = (", ".join(map(str, models[name])) for name in ("seeds", "restarts"))
            times = (models[name] for name in ("minutes_median", "minutes_highest", "cpu_minutes_median"))
            yield [_NAMES[variant], *lists, *(f"{minutes:.1f}" for minutes in times)]
