"""Finds the classes on which a CGN fails (paper, appendix F): `python -m trainer find_failures --help`.

Works with any published CGN. Writes ``failures.json``, with the classes from worst to best, and
``failures.html``, the same with images. A stopped run keeps the measures of the classes so far.
"""

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cgn.composer import compose
from cgn.device import resolve_device
from cgn.factors import Factor
from cgn.images.model_sheets import mechanisms_sheet
from cgn.labels import parse_class
from cgn.metrics.collapse import measure
from cgn.metrics.failures import entanglement, realism_loss, residue
from cgn.model import CGN
from cgn.noise import MECHANISMS
from cgn.store import checkpoint
from trainer.classifier.config import FindFailuresConfig
from trainer.run.context import Published, RunContext, Stopped
from trainer.run.provenance import provenance

RESULT, REPORT, MEASURED = "failures.json", "failures.html", "measured.jsonl"
PICTURES = "pictures"
_COLUMNS = 8  # factors in a sheet

Measures = dict[str, float | None]


@dataclass(frozen=True)
class Failure:
    """A kind of failure. A higher value of its measure is worse."""

    title: str
    meaning: str


FAILURES: Mapping[str, Failure] = {
    "entanglement": Failure(
        "texture-background entanglement",
        "share of the foreground's patches beside the object that are closer to the background than to the "
        "object",
    ),
    "residue": Failure(
        "background residue",
        "share of the background's patches behind the object that are closer to the object than to the "
        "background around",
    ),
    "saliency": Failure("saliency left in b", "mean value, 0 to 1, of the mask network on the background"),
    "realism": Failure(
        "reduced realism",
        "mean absolute difference, 0 to 2, of composites from the unconstrained cGAN's x_gt",
    ),
    "size": Failure("mask size", "distance of the mean mask value from the bounds on the model's card"),
    "soft": Failure("mask softness", "share of the mask's pixels between 0.1 and 0.9"),
}


def find_failures(config: FindFailuresConfig, context: RunContext) -> Published:
    """Measures every class, ranks them, and writes RESULT and REPORT to the run directory.

    Raises:
        CgnInputError: the model or a class does not exist, or its family has no truncation.
        Stopped: a stop was requested; a resumed run continues after the measured classes.
    """
    reporter, run_dir = context.reporter, context.run_dir
    model = checkpoint.load(
        context.models_dir,
        config.model_name,
        config.model_version,
        resolve_device(context.device),
    )
    names = model.card.class_names
    requested = [text.strip() for text in config.classes.split(";") if text.strip()]
    labels = [parse_class(model.card, text) for text in requested] if requested else list(range(len(names)))
    path = run_dir / MEASURED
    if not context.resume:
        path.unlink(missing_ok=True)
    measured = _read(path)
    reporter.begin(len(measured.keys() & set(labels)), len(labels))
    for done, label in enumerate(labels, 1):
        if label in measured:
            continue
        measured[label] = measure_class(model, label, config)
        with path.open("a") as file:
            file.write(json.dumps({"label": label, "measures": measured[label]}) + "\n")
        reporter.progress(done, {k: v for k, v in measured[label].items() if v is not None})
        if context.stop.requested and done < len(labels):
            raise Stopped

    ranked = rank({label: measured[label] for label in labels})
    classes: list[dict[str, Any]] = [
        {"label": label, "class": names[label], "badness": badness, **measured[label]}
        for label, badness in ranked
    ]
    result = {
        "model": {"name": model.card.name, "version": model.card.version, "digest": model.card.digest},
        "measures": {name: {"title": f.title, "meaning": f.meaning} for name, f in FAILURES.items()},
        "classes": classes,
        **provenance("find_failures", config, context.version),
    }
    (run_dir / RESULT).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    reporter.artefact("scores", run_dir / RESULT)
    worst, best = classes[: config.shown], classes[config.shown :][-config.shown :]
    for entry in [*worst, *best]:
        _draw(model, entry["label"], config, run_dir)
    (run_dir / REPORT).write_text(report(model, worst, best, len(classes)), encoding="utf-8")
    reporter.artefact("scores", run_dir / REPORT)
    return Published()


def measure_class(model: CGN, label: int, config: FindFailuresConfig) -> Measures:
    """Returns the measures of one class, means over its factors.

    The keys are those of FAILURES, and "mean" for the mean mask value. A measure is None if the family lacks
    the necessary network, or if the masks leave nothing to compare.
    """
    factors = _factors(label, config.causes, config)
    network = model.network
    m, f, b = (model.rows(mechanism, factors) for mechanism in MECHANISMS)
    m = m[:, :1]
    masks = measure(m[:, 0].numpy())
    bounds = model.card.mask_bounds[label]
    measures: Measures = {
        "mean": masks.mean,
        "entanglement": _mean(entanglement(f, b, m)),
        "residue": _mean(residue(b, f, m)),
        "saliency": None,
        "realism": None,
        "size": max(0.0, bounds.lowest - masks.mean, masks.mean - bounds.highest),
        "soft": masks.soft,
    }
    if (saliency := network.find_saliency(b)) is not None:
        measures["saliency"] = _mean(saliency.mean((1, 2, 3)))
    if "reference" in network.mechanisms:
        measures["realism"] = _mean(realism_loss(compose(m, f, b), model.rows("reference", factors)))
    return {name: value if value is None else round(value, 5) for name, value in measures.items()}


def rank(measured: Mapping[int, Measures]) -> list[tuple[int, float]]:
    """Returns the labels from worst to best, each with its badness in [0, 1].

    For one measure, badness is the share of classes that are better, with equal classes counted half. The
    badness of a label is the mean over its measures that are not None.
    """
    badness = {}
    for label, measures in measured.items():
        shares = []
        for name in FAILURES:
            value = measures[name]
            others = [m[name] for other, m in measured.items() if other != label]
            known = [other for other in others if other is not None]
            if value is not None and known:
                better = sum((other < value) + 0.5 * (other == value) for other in known)
                shares.append(better / len(known))
        badness[label] = round(sum(shares) / len(shares), 4) if shares else 0.0
    return sorted(badness.items(), key=lambda entry: (-entry[1], entry[0]))


def report(
    model: CGN, worst: Sequence[Mapping[str, Any]], best: Sequence[Mapping[str, Any]], count: int
) -> str:
    """Returns the report, a page of HTML that shows the images beside it."""
    card = model.card
    meanings = "".join(f"<li><b>{f.title}</b>: {html.escape(f.meaning)}</li>" for f in FAILURES.values())
    heads = "".join(f"<th>{f.title}</th>" for f in FAILURES.values())
    sections = []
    for title, entries in (("Worst", worst), ("Best", best)):
        if not entries:
            continue
        rows = "".join(
            f"<tr><td>{html.escape(entry['class'])}</td><td>{entry['badness']:.3f}</td>"
            + "".join(f"<td>{_shown(entry[name])}</td>" for name in FAILURES)
            + f"<td>{entry['mean']:.3f}</td></tr>"
            for entry in entries
        )
        pictures = "".join(
            f"<h3>{html.escape(entry['class'])}</h3>"
            f'<img alt="{html.escape(entry["class"])}" src="{PICTURES}/{entry["label"]}.png">'
            for entry in entries
        )
        sections.append(
            f"<h2>{title} classes</h2><table><tr><th>class</th><th>badness</th>{heads}<th>μ_mask</th></tr>"
            f"{rows}</table>{pictures}"
        )
    name = html.escape(f"{card.name} {card.version}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Failures of {name}</title>'
        "<style>body{font:15px sans-serif;margin:2em;max-width:75em}td,th{padding:.3em .7em;text-align:left}"
        "tr:nth-child(even){background:#f2f2f2}img{max-width:100%}</style>"
        f"<h1>Failures of {name}</h1><p>{count} classes, worst first by badness: the mean over all measures "
        f"of the share of classes that do better.</p><ul>{meanings}</ul>{''.join(sections)}</html>\n"
    )


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _factors(label: int, count: int, config: FindFailuresConfig) -> list[Factor]:
    return [Factor(label, seed=config.seed + i, truncation=config.truncation) for i in range(count)]


def _draw(model: CGN, label: int, config: FindFailuresConfig, run_dir: Path) -> None:
    folder = run_dir / PICTURES
    folder.mkdir(exist_ok=True)
    seeds = range(config.seed, config.seed + min(_COLUMNS, config.causes))
    reference = "reference" in model.network.mechanisms
    sheet = mechanisms_sheet(model, label, seeds, config.truncation, reference=reference)
    sheet.save(folder / f"{label}.png", optimize=True)


def _mean(value_N: torch.Tensor) -> float | None:
    mean = float(value_N.nanmean())
    return None if math.isnan(mean) else mean


def _read(path: Path) -> dict[int, Measures]:
    """Returns the measures of earlier attempts by label. Ignores a line that was only partly written."""
    measured: dict[int, Measures] = {}
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        measured[entry["label"]] = entry["measures"]
    return measured
