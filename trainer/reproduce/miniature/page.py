"""Writes the results of the ImageNet miniature into `docs/results.md`, and draws its pictures.

The numbers and the pictures come from the files of the cells. A picture is cut into tiles.
"""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cgn.images.sheets import SheetRow, draw_sheet
from trainer.reproduce.cell.files import Results, write_text
from trainer.reproduce.cell.markdown import between_marks, table
from trainer.reproduce.miniature.config import ABLATIONS, TEACHER, MiniatureCellConfig, planned

PAGE = "results.md"
BEGIN, END = "<!-- from the cells of imagenet/miniature, by make reproduce-table -->", "<!-- end -->"
MECHANISMS, MASKS = "imagenet_miniature_mechanisms.png", "imagenet_miniature_masks.png"
SHOWN = {
    MECHANISMS: "Outputs of the mechanisms for one noise over the training (figure 5)",
    MASKS: "Masks of one noise, with one loss left out in each row (figure 33)",
}
SEED = 0  # of the pictures
CLASSES = 2  # on each picture
COLLAPSED_BELOW = 0.5  # of the mask IoU with all losses

Cells = Mapping[str, Sequence[Mapping[str, Any]]]  # results by row, in rising order of seeds

LABELS = {
    TEACHER: "BigGAN",
    "full": "all losses",
    "without_shape": "without L_shape",
    "without_text": "without L_text",
    "without_bg": "without L_bg",
    "without_rec": "without L_rec",
    "discriminator": "a discriminator in place of L_rec",
}
# Table 1 of the paper: Inception score; μ_mask, mean and deviation.
PAPER = {
    TEACHER: (202.9, None),
    "full": (130.2, (0.3, 0.2)),
    "without_shape": (85.9, (0.2, 0.2)),
    "without_text": (198.4, (0.9, 0.1)),
    "without_bg": (195.6, (0.1, 0.1)),
    "without_rec": (38.39, (0.3, 0.2)),
}
ERRORS = {  # scores by heading, see `trainer.reproduce.miniature.scores`
    "background_behind": "b behind the object",
    "background_beside": "b beside the object",
    "picture_behind": "x_gt at the object",
    "foreground_beside": "f beside the object",
    "picture_beside": "x_gt beside the object",
}
_NONE = "–"


def write(results: Results, docs: Path) -> None:
    """Writes the existing cells into the page, if the page has the marks, and draws its pictures."""
    cells = gather(results)
    page = docs / PAGE
    if not cells or not page.is_file():
        return
    text = render(cells)
    for name, sheet in pictures(results).items():
        (docs / "images").mkdir(exist_ok=True)
        sheet.save(docs / "images" / name, optimize=True)
        text += f"\n\n![{SHOWN[name]}](images/{name})"
    write_text(page, between_marks(page.read_text(encoding="utf-8"), BEGIN, END, text))


def gather(results: Results) -> Cells:
    """Returns the existing cells without trials."""
    entries: dict[str, list[Mapping[str, Any]]] = {}
    for cell in planned():
        if (result := results.read(cell)) and not result["trial"]:
            entries.setdefault(cell.row, []).append(result)
    return entries


def outdated(results: Results) -> list[str]:
    """Returns the names of the cells whose options have changed since they were made."""
    return [cell.key for cell in planned() if results.read(cell) and not results.is_done(cell)]


def render(cells: Cells) -> str:
    """Returns the tables and the comparison with the paper as Markdown."""
    parts = [
        table(
            ["", "inception score", "μ_mask", "mask IoU", "shapes read", "paper: score", "paper: μ_mask"],
            [_table1_row(row, cells[row]) for row in cells],
        ),
        "",
        table(
            ["", *ERRORS.values()],
            [_texture_row(row, cells[row]) for row in cells],
        ),
        "",
        *_verdicts(cells),
        *_costs(cells),
    ]
    return "\n".join(parts)


def _mean(cells: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [cell["scores"][name] for cell in cells if cell["scores"][name] is not None]
    return statistics.fmean(values) if values else None


def _number(value: float | None, digits: int) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"


def _table1_row(row: str, cells: Sequence[Mapping[str, Any]]) -> list[str]:
    score, mu_mask = PAPER.get(row, (None, None))
    mean, deviation = (_number(_mean(cells, name), 3) for name in ("mu_mask", "mu_mask_deviation"))
    return [
        LABELS[row],
        _number(_mean(cells, "inception_score"), 2),
        f"{mean} ± {deviation}",
        _number(_mean(cells, "mask_iou"), 3),
        _number(_mean(cells, "counterfactual_accuracy"), 3),
        _NONE if score is None else f"{score:g}",
        _NONE if mu_mask is None else f"{mu_mask[0]:g} ± {mu_mask[1]:g}",
    ]


def _texture_row(row: str, cells: Sequence[Mapping[str, Any]]) -> list[str]:
    names = (
        "background_behind",
        "background_beside",
        "picture_behind",
        "foreground_beside",
        "picture_beside",
    )
    return [LABELS[row], *(_number(_mean(cells, name), 3) for name in names)]


def _verdicts(cells: Cells) -> list[str]:
    """Returns for each row whether masks collapsed here and in the paper; nothing without the full row."""
    if "full" not in cells or (full := _mean(cells["full"], "mask_iou")) is None:
        return []
    lines = []
    for row in cells:
        if row in (TEACHER, "full"):
            continue
        iou, mu_mask = _mean(cells[row], "mask_iou") or 0.0, _mean(cells[row], "mu_mask") or 0.0
        collapsed = iou < COLLAPSED_BELOW * full
        paper_mean = {"without_text": 0.9, "without_bg": 0.1}.get(row)
        theirs = f"in the paper they collapse (μ_mask {paper_mean})" if paper_mean else "nor in the paper"
        if collapsed and not paper_mean:
            theirs = "in the paper they do not"
        if row not in PAPER:
            theirs = "the paper has no such row"
        ours = "masks collapse" if collapsed else "masks do not collapse"
        differs = row in PAPER and collapsed != bool(paper_mean)
        lines.append(
            f"- {LABELS[row]}: {ours} (μ_mask {mu_mask:.3f}, IoU {iou:.3f}); {theirs}"
            + (". **This differs from the paper.**" if differs else ".")
        )
    return [
        f"Masks count as collapsed if their IoU is below {COLLAPSED_BELOW:g} times the IoU with all losses."
        + _seeds(cells),
        "",
        *lines,
        "",
    ]


def _seeds(cells: Cells) -> str:
    fewest = min(map(len, cells.values()))
    return " Each row has one seed, so small differences may be chance." if fewest == 1 else ""


def _costs(cells: Cells) -> list[str]:
    """Returns the CPU minutes of one seed, and the accuracy of the networks that do the measuring."""
    last = [cell for some in cells.values() for cell in some][-1]
    minutes = {
        LABELS[row]: sum(c["cpu_seconds"] for c in some) / len(some) / 60 for row, some in cells.items()
    }
    marks = last["yardsticks"]
    return [
        "CPU minutes: "
        + ", ".join(f"{label} {value:.0f}" for label, value in minutes.items())
        + f"; together {sum(minutes.values()):.0f}. "
        + ("With" if last["machine"]["bfloat16"] else "Without")
        + f" bfloat16 ({last['machine']['cpu']}). Source of the digits: {last['data']['digits']}; of the "
        + f"textures: {last['data']['textures']}.",
        "",
        f"The judge of masks reaches IoU {marks['judge_iou']:.3f} on real images that it has not seen. The "
        f"saliency network reaches {marks['saliency_iou']['objects']['mean']:.3f} on drawn objects and "
        f"{marks['saliency_iou']['digits']['mean']:.3f} on digits, which it was not trained on. The "
        f"classifier reads {100 * marks['classifier_test_accuracy']:.1f} % of the test digits, "
        "with any texture.",
    ]


def pictures(results: Results) -> dict[str, Image.Image]:
    """Draws the mechanisms over the training (figure 5) and the masks by row (figure 33), by file name."""
    rows = {row: _tiles(results, MiniatureCellConfig(row=row, seed=SEED)) for row in ABLATIONS}
    known = {row: result for row, result in rows.items() if result}
    sheets = {}
    if "full" in known:
        tiles, about = known["full"]
        sheet_rows = [
            SheetRow(
                f"{about['classes'][i]}: {part.replace('_', '-')}",
                list(tiles[i, j]),
                _steps(about) if i == j == 0 else (),
            )
            for i in _chosen(about)
            for j, part in enumerate(about["parts"])
        ]
        sheets[MECHANISMS] = draw_sheet("Miniature: what the mechanisms draw of one noise", sheet_rows)
    if known:
        sheet_rows = []
        for i in _chosen(next(iter(known.values()))[1]):
            for row, (tiles, about) in known.items():
                title = f"{about['classes'][i]}: {'discriminator' if row == 'discriminator' else LABELS[row]}"
                captions = () if sheet_rows else _steps(about)
                sheet_rows.append(SheetRow(title, list(tiles[i, about["parts"].index("mask")]), captions))
        sheets[MASKS] = draw_sheet("Miniature: masks of one noise, losses left out one at a time", sheet_rows)
    return sheets


def _chosen(about: Mapping[str, Any]) -> list[int]:
    """Returns the indices of CLASSES classes, spread evenly over all."""
    count = len(about["classes"])
    return [i * count // CLASSES for i in range(CLASSES)] if count > CLASSES else list(range(count))


def _steps(about: Mapping[str, Any]) -> list[str]:
    return [f"step {step:,}" for step in about["steps"]]


def _tiles(results: Results, cell: MiniatureCellConfig) -> tuple[NDArray[np.uint8], Mapping[str, Any]] | None:
    """Returns a cell's pictures by (class, part, step) and their description; None if there are none."""
    result, path = results.read(cell), results.path(cell).with_suffix(".png")
    if not result or result["trial"] or not path.is_file():
        return None
    about = result["picture"]
    side, parts, steps = about["tile"], len(about["parts"]), len(about["steps"])
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    grid = pixels.reshape(-1, parts, side, steps, side, 3)
    return grid.transpose(0, 1, 3, 2, 4, 5), about
