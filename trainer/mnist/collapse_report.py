"""`collapse_report.json` of a run: every look at its masks, class by class, and what was wrong."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cgn.families.mnist.network import MnistCGN
from cgn.metrics.collapse import (
    ClassFault,
    MaskMeasures,
    gross_bounds,
    measure_network,
    sound_bounds,
    verdict,
)
from cgn.store.files import atomic_write

_MOST_NAMES = 10


@dataclass(frozen=True)
class Look:
    """What a look at a network's masks has found; no faults: they are sound."""

    measures: list[MaskMeasures]  # by class
    faults: list[ClassFault]


class CollapseReport:
    """The report in a run directory, rewritten after every check.

    Its JSON object has one field, `checks`, in the order of time. A check has `restart` (0: the first
    attempt), `seed` of that attempt, `step`, the `bounds` of MaskBounds, and `classes`: for each its `class`,
    the measures of MaskMeasures, and `faults`, texts.

    mask_lowest, mask_highest: the interval of L_mask, which the bounds are made from.
    """

    def __init__(
        self,
        run_dir: Path,
        class_names: Sequence[str],
        mask_lowest: float,
        mask_highest: float,
        *,
        resume: bool,
    ) -> None:
        self.path = run_dir / "collapse_report.json"
        self.sound = sound_bounds(mask_lowest, mask_highest)
        self._gross = gross_bounds(mask_lowest, mask_highest)
        self._class_names = class_names
        self._checks: list[dict[str, Any]] = []
        if resume and self.path.exists():
            self._checks = json.loads(self.path.read_text())["checks"]

    def look(self, network: MnistCGN, *, restart: int, seed: int, step: int, finished: bool) -> Look:
        """Measures the network's masks and judges them, those of a run that is not finished more kindly."""
        bounds = self.sound if finished else self._gross
        measures = measure_network(network)
        lowest_variation = {} if finished else {"lowest_variation": 0.0}
        faults = verdict(self._class_names, measures, bounds, **lowest_variation)
        classes = [
            {"class": name, **asdict(found), "faults": [f.text for f in faults if f.class_name == name]}
            for name, found in zip(self._class_names, measures, strict=True)
        ]
        about = {"restart": restart, "seed": seed, "step": step, "bounds": asdict(bounds)}
        # A run that was resumed comes by here again.
        self._checks = [c for c in self._checks if (c["restart"], c["step"]) < (restart, step)]
        self._checks.append({**about, "classes": classes})
        with atomic_write(self.path) as part:
            part.write_text(json.dumps({"checks": self._checks}, indent=1, ensure_ascii=False) + "\n")
        return Look(measures, faults)


def summary(faults: Sequence[ClassFault], classes: int) -> str:
    """Faults in one line, each kind once, for all that have it. classes: how many there are."""
    by_kind: dict[tuple[str, str, str], list[ClassFault]] = {}
    for fault in faults:
        by_kind.setdefault((fault.measure, fault.bound, fault.meaning), []).append(fault)
    whose = _classes(faults, classes)
    told = []
    for (measure, bound, meaning), alike in by_kind.items():
        values = list(dict.fromkeys(f"{pick(f.value for f in alike):.3f}" for pick in (min, max)))
        of = _classes(alike, classes)
        whose_else = "" if of == whose else f" ({of})"
        told.append(f"{measure} {' to '.join(values)} is {bound}, {meaning}{whose_else}")
    return f"the masks of {whose} have collapsed: {'; '.join(told)}"


def _classes(faults: Sequence[ClassFault], classes: int) -> str:
    """The classes that have faults, in words."""
    names = list(dict.fromkeys(fault.class_name for fault in faults))
    if len(names) == 1:
        return f"class {names[0]}"
    if len(names) == classes:
        return f"all {classes} classes"
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"classes {', '.join(names[:_MOST_NAMES])}{more}"
