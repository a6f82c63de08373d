"""The result of a benchmark row: one measure beside its baseline."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One measure, with its baseline from the same run.

    Attributes:
        id: id of the row; `make bench ID=...` runs it alone.
        measure: what was measured, in words.
        value: result of this project.
        unit: of value and baseline.
        baseline: result of the compared implementation; None if the goal is absolute.
        ratio: improvement over the baseline; None without a baseline.
        goal: the goal, as text.
        met: whether the goal was met; None without a goal, or if the machine cannot measure it.
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
    """Compares a rate with its baseline; higher is better.

    Args:
        goal: required ratio of value and baseline; None: the result has no goal.
    """
    ratio = value / baseline
    goal_text, met = ("reported", None) if goal is None else (f">= {goal:g}x", ratio >= goal)
    return Result(id, measure, _rounded(value), unit, _rounded(baseline), _rounded(ratio), goal_text, met)


def reported(id: str, measure: str, unit: str, value: float) -> Result:
    """Returns the result for a value without a goal."""
    return Result(id, measure, _rounded(value), unit, None, None, "reported", None)


def at_most(id: str, measure: str, unit: str, value: float, goal: float) -> Result:
    """Returns the result for a value with an upper bound."""
    return Result(id, measure, _rounded(value), unit, None, None, f"<= {goal:g} {unit}", value <= goal)


def _rounded(value: float) -> float:
    """Rounds to four significant digits."""
    return float(f"{value:.4g}")
