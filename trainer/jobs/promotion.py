"""Decides whether the alias `stable` moves to a version that a job has published.

The checks read model cards only, without torch: the worker's own process does not import it.
"""

from collections.abc import Iterator
from pathlib import Path

from cgn.card import ModelCard
from cgn.errors import CgnInputError
from cgn.store import aliases
from cgn.store.aliases import STABLE, StaleToken
from cgn.store.versions import read_card

_MOST_REASONS = 3


def promote(models_dir: Path, name: str, version: str, token: int) -> str:
    """Points `stable` at a version if the version passes all checks. Returns the result as one line.

    Checks: the weights are trained. The masks of every class have been measured and are within the card's
    bounds. Every score of the present stable version exists in the new version, and is not lower there.

    token: the job's fencing token; a worker that has lost the job to another one moves nothing.
    """
    try:
        stable = aliases.read(models_dir, name).get(STABLE, "")
        if reasons := _against(models_dir, name, version, stable):
            return _stays(stable, reasons)
        aliases.move(models_dir, name, STABLE, version, token)
    except StaleToken:
        return "stable stays: a job that began later has moved it"
    except (OSError, CgnInputError) as error:
        return f"stable stays: it cannot be moved ({error})"
    return f"stable is {version} now"


def _against(models_dir: Path, name: str, version: str, stable: str) -> list[str]:
    """Returns the reasons against a version. stable: the present stable version; empty if there is none."""
    card = read_card(models_dir, name, version)
    reasons = list(_collapse(card))
    if stable and stable != version:
        try:
            before = read_card(models_dir, name, stable)
        except (OSError, CgnInputError):
            return reasons  # the stable version cannot be served, so there are no scores to keep
        reasons += _worse(card, before)
    return reasons


def _stays(stable: str, reasons: list[str]) -> str:
    more = f"; and {len(reasons) - _MOST_REASONS} more" if len(reasons) > _MOST_REASONS else ""
    where = f"stays at {stable}" if stable else "is not set"
    return f"stable {where}: " + "; ".join(reasons[:_MOST_REASONS]) + more


def _collapse(card: ModelCard) -> Iterator[str]:
    """Yields the reasons against a version that its own card gives."""
    if not card.trained:
        yield "its weights were never trained"
    measured = (card.mask_mean, card.mask_border, card.mask_soft)
    if not all(measured):
        yield "its masks have not been measured"
        return
    # The run's own note on collapse covers all classes. It also covers masks that ignore their noise, which
    # the bounds do not show.
    if notes := [note for note in card.notes if "collapsed" in note]:
        yield from notes
        return
    for name, bounds, *measures in zip(card.class_names, card.mask_bounds, *measured, strict=True):
        if faults := bounds.faults(*measures):
            yield f"class {name} has collapsed, {faults[0].text}"


def _worse(card: ModelCard, before: ModelCard) -> Iterator[str]:
    """Yields the scores that have fallen or are missing.

    Scores are accuracies; other entries are no numbers.
    """
    for row, scores in before.scores.items():
        for name, old in scores.items():
            new = card.scores.get(row, {}).get(name)
            if not _is_number(old) or (new is not None and not _is_number(new)):
                continue
            if new is None:
                yield f"{row}, {name} of {before.version} is {old:g}, it has no such score to compare"
            elif new < old:
                yield f"{row}, {name} is {new:g}, below the {old:g} of {before.version}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
