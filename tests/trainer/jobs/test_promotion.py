"""The checks between a published version and the alias `stable`."""

from pathlib import Path
from typing import Any

from cgn.card import MaskBounds
from cgn.store import aliases
from testing.random_model import DIGITS, publish_random
from trainer.jobs.promotion import promote

BOUNDS = MaskBounds(0.07, 0.4, highest_border=0.12, highest_soft=0.2)
SOUND: dict[str, Any] = {
    "trained": True,
    "notes": [],
    "mask_bounds": [BOUNDS] * 10,
    "mask_mean": [0.2] * 10,
    "mask_border": [0.05] * 10,
    "mask_soft": [0.1] * 10,
}


def scored(validation: float) -> dict[str, Any]:
    return {"scores": {"cgn": {"validation": validation, "file": "cells/x.json"}}}


def stable(models: Path) -> str:
    return aliases.read(models, "m").get("stable", "")


def test_a_sound_version_becomes_stable(tmp_path: Path) -> None:
    publish_random(tmp_path, "m", "v1", **SOUND)
    assert promote(tmp_path, "m", "v1", token=1) == "stable is v1 now"
    publish_random(tmp_path, "m", "v2", seed=1, **SOUND)
    assert promote(tmp_path, "m", "v2", token=2) == "stable is v2 now"
    assert stable(tmp_path) == "v2"


def test_a_collapsed_version_does_not_become_stable(tmp_path: Path) -> None:
    publish_random(tmp_path, "m", "good", **SOUND)
    promote(tmp_path, "m", "good", token=1)
    cases: list[tuple[dict[str, Any], str]] = [
        (
            {"mask_mean": [0.9] + [0.2] * 9},
            f"class {DIGITS[0]} has collapsed, μ_mask 0.900 is above 0.",
        ),
        ({"mask_border": [0.05] * 9 + [0.3]}, f"class {DIGITS[9]} has collapsed, border mass 0.300"),
        ({"mask_soft": [0.5] * 10}, "soft-pixel share 0.500 is above 0.2"),
        (
            {"mask_soft": [0.5] * 10, "notes": ["the masks of all 10 classes have collapsed: soft"]},
            "stable stays at good: the masks of all 10 classes have collapsed: soft",
        ),
        ({"notes": ["the masks of class 1 have collapsed: variation 0.001"]}, "variation 0.001"),
        ({"mask_mean": [], "mask_border": [], "mask_soft": []}, "its masks have not been measured"),
        ({"trained": False}, "its weights were never trained"),
    ]
    for number, (fields, text) in enumerate(cases):
        publish_random(tmp_path, "m", f"bad{number}", **SOUND | fields)
        message = promote(tmp_path, "m", f"bad{number}", token=2)
        assert message.startswith("stable stays at good: ") and text in message
    assert "; and 7 more" in promote(tmp_path, "m", "bad2", token=2)
    assert stable(tmp_path) == "good"


def test_an_unsound_first_version_does_not_become_stable(tmp_path: Path) -> None:
    publish_random(tmp_path, "m", "v1")
    assert promote(tmp_path, "m", "v1", token=1).startswith(
        "stable is not set: its weights were never trained"
    )
    assert stable(tmp_path) == ""


def test_a_score_must_not_fall(tmp_path: Path) -> None:
    publish_random(tmp_path, "m", "v1", **SOUND)
    publish_random(tmp_path, "m", "v2", **SOUND, **scored(90.0))
    publish_random(tmp_path, "m", "worse", **SOUND, **scored(89.5))
    publish_random(tmp_path, "m", "unknown", **SOUND)
    publish_random(tmp_path, "m", "equal", **SOUND, **scored(90.0))
    promote(tmp_path, "m", "v1", token=1)
    assert promote(tmp_path, "m", "v2", token=2) == "stable is v2 now"
    worse = promote(tmp_path, "m", "worse", token=3)
    assert worse == "stable stays at v2: cgn, validation is 89.5, below the 90 of v2"
    assert "it has no such score to compare" in promote(tmp_path, "m", "unknown", token=4)
    assert promote(tmp_path, "m", "equal", token=5) == "stable is equal now"


def test_a_stable_version_without_files_is_replaced(tmp_path: Path) -> None:
    publish_random(tmp_path, "m", "v1", **SOUND, **scored(99.0))
    promote(tmp_path, "m", "v1", token=1)
    (tmp_path / "m" / "v1" / "card.json").unlink()
    publish_random(tmp_path, "m", "v2", **SOUND)
    assert promote(tmp_path, "m", "v2", token=2) == "stable is v2 now"


def test_a_worker_that_lost_its_job_moves_nothing(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        publish_random(tmp_path, "m", version, **SOUND)
    promote(tmp_path, "m", "v2", token=7)
    assert promote(tmp_path, "m", "v1", token=6) == "stable stays: a job that began later has moved it"
    assert stable(tmp_path) == "v2"


def test_unreadable_files_are_reported_and_change_nothing(tmp_path: Path) -> None:
    assert promote(tmp_path, "m", "v1", token=1).startswith("stable stays: it cannot be moved (")
    publish_random(tmp_path, "m", "v1", **SOUND)
    (tmp_path / "m" / aliases.FILE).write_text("{")
    assert "is damaged" in promote(tmp_path, "m", "v1", token=1)
