"""`collapse_report.json` of a run: every check of its masks, with the measures and faults of each class."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cgn.families.mnist.network import MnistCGN
from cgn.metrics.collapse import (
    ClassFault,
    MaskMeasures,
    find_faults,
    gross_bounds,
    measure_network,
    sound_bounds,
)
from cgn.store.files import atomic_write

_MOST_NAMES = 10  # of classes in a message


@dataclass(frozen=True)
class MaskCheck:
    """The result of a check of a network's masks.

    Attributes:
        measures: measures of the masks of each class.
        faults: measures out of bounds; empty if the masks are sound.
    """

    measures: list[MaskMeasures]
    faults: list[ClassFault]


class CollapseReport:
    """The report in a run directory, rewritten after every check.

    Its JSON object has one field, `checks`, a list in the order of time. A check has `restart` (0: the first
    attempt), the `seed` of the attempt, `step`, `bounds` (MaskBounds) and `classes`. Each class has its name
    in `class`, the measures of MaskMeasures, and `faults`, a list of texts.

    Args:
        run_dir: directory of the run.
        class_names: names of the classes, in the order of the labels.
        mask_lowest, mask_highest: the interval of L_mask, from which the bounds are derived.
        resume: keep the checks of earlier attempts.

    Attributes:
        path: the file.
        sound: the bounds of a finished run.
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

    def check(self, network: MnistCGN, *, restart: int, seed: int, step: int, finished: bool) -> MaskCheck:
        """Measures the masks of a network, and adds the check to the report.

        Args:
            network: the network to check.
            restart: number of restarts before this attempt.
            seed: seed of this attempt.
            step: steps done.
            finished: apply the bounds of a finished run; otherwise only gross faults count.
        """
        bounds = self.sound if finished else self._gross
        measures = measure_network(network)
        lowest_variation = {} if finished else {"lowest_variation": 0.0}
        faults = find_faults(self._class_names, measures, bounds, **lowest_variation)
        classes = [
            {"class": name, **asdict(m), "faults": [f.text for f in faults if f.class_name == name]}
            for name, m in zip(self._class_names, measures, strict=True)
        ]
        check = {"restart": restart, "seed": seed, "step": step, "bounds": asdict(bounds)}
        # A resumed run repeats the checks after its checkpoint.
        self._checks = [c for c in self._checks if (c["restart"], c["step"]) < (restart, step)]
        self._checks.append({**check, "classes": classes})
        with atomic_write(self.path) as part:
            part.write_text(json.dumps({"checks": self._checks}, indent=1, ensure_ascii=False) + "\n")
        return MaskCheck(measures, faults)


def summary(faults: Sequence[ClassFault], classes: int) -> str:
    """Returns the faults in one line, each kind of fault once for all its classes.

    Args:
        faults: one or more faults.
        classes: number of classes of the network.
    """
    by_kind: dict[tuple[str, str, str], list[ClassFault]] = {}
    for fault in faults:
        by_kind.setdefault((fault.measure, fault.bound, fault.meaning), []).append(fault)
    faulty_classes = _classes(faults, classes)
    texts = []
    for (measure, bound, meaning), alike in by_kind.items():
        values = list(dict.fromkeys(f"{pick(f.value for f in alike):.3f}" for pick in (min, max)))
        with_fault = _classes(alike, classes)
        suffix = "" if with_fault == faulty_classes else f" ({with_fault})"
        texts.append(f"{measure} {' to '.join(values)} is {bound}, {meaning}{suffix}")
    return f"the masks of {faulty_classes} have collapsed: {'; '.join(texts)}"


def _classes(faults: Sequence[ClassFault], classes: int) -> str:
    """Returns the classes with faults, in words."""
    names = list(dict.fromkeys(fault.class_name for fault in faults))
    if len(names) == 1:
        return f"class {names[0]}"
    if len(names) == classes:
        return f"all {classes} classes"
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"classes {', '.join(names[:_MOST_NAMES])}{more}"
