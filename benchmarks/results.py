"""What a benchmark row gives: one measure beside its baseline."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One measure, with what it is compared to in the same run.

    Attributes:
        id: name of the row, `make bench ID=...` runs it alone.
        measure: what was measured.
        value: of this project.
        unit: of value and baseline.
        baseline: the same of what it is compared to; None where the goal is absolute.
        ratio: how many times better than the baseline; None without one.
        goal: what is aimed at, as text.
        met: whether it was reached; None where nothing is aimed at or the machine cannot tell.
    """

    id: str
    measure: str
    value: float
    unit: str
    baseline: float | None
    ratio: float | None
    goal: str
    met: bool | None


def faster(id: str, measure: str, unit: str, value: float, baseline: float, goal: float | None) -> Result:
    """Rates, of which the higher is the better; goal: how many times the baseline, None to report only."""
    ratio = value / baseline
    aim, met = ("reported", None) if goal is None else (f">= {goal:g}x", ratio >= goal)
    return Result(id, measure, _rounded(value), unit, _rounded(baseline), _rounded(ratio), aim, met)


def reported(id: str, measure: str, unit: str, value: float) -> Result:
    """A value that no goal is set for."""
    return Result(id, measure, _rounded(value), unit, None, None, "reported", None)


def at_most(id: str, measure: str, unit: str, value: float, goal: float) -> Result:
    """A value that is to stay below a bound."""
    return Result(id, measure, _rounded(value), unit, None, None, f"<= {goal:g} {unit}", value <= goal)


def _rounded(value: float) -> float:
    """To four figures."""
    return float(f"{value:.4g}")
