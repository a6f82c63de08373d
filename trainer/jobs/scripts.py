"""Loads the Lua scripts in trainer/jobs/lua.

Each script is sent to Redis behind common.lua and the tables and limits that Python owns.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from trainer.jobs import limits
from trainer.jobs.states import TRANSITIONS, JobState
from trainer.jobs.totals import RUN_SECONDS, WAIT_SECONDS

_FOLDER = Path(__file__).with_name("lua")
_LIMITS = (
    "REQUEST_SECONDS",
    "LOG_SECONDS",
    "DEFAULT_KEEP_DAYS",
    "MAX_EVENTS",
    "MAX_ARTEFACTS",
    "MAX_LOSSES",
    "WORKER_SECONDS",
)


@cache
def load(name: str) -> str:
    """Returns the source of a script, ready to be registered with Redis. name: its file without .lua."""
    return "\n".join(
        [_generated(), (_FOLDER / "common.lua").read_text(), (_FOLDER / f"{name}.lua").read_text()]
    )


def _generated() -> str:
    """Returns the Lua locals that Python owns; .luacheckrc lists their names."""
    values = {name: str(getattr(limits, name)) for name in _LIMITS}
    values["WAIT_SECONDS"] = _list(WAIT_SECONDS)
    values["RUN_SECONDS"] = _list(RUN_SECONDS)
    values["ENDED"] = _set(state for state in JobState if state.ended)
    values["HELD"] = _set(state for state in JobState if state.held)
    moves = (f"{state} = {_set(targets)}" for state, targets in TRANSITIONS.items())
    values["TRANSITIONS"] = f"{{{', '.join(moves)}}}"
    return "\n".join(f"local {name} = {value}" for name, value in values.items())


def _list(numbers: Iterable[int]) -> str:
    return f"{{{', '.join(map(str, numbers))}}}"


def _set(states: Iterable[JobState]) -> str:
    return f"{{{', '.join(f'{state} = true' for state in sorted(states))}}}"
