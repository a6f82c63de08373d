"""Where the files of a job lie: ``<runs>/<job id>/attempt-<token>/``, of its latest attempt.

A new attempt takes the directory of the one before over by renaming it. What a worker that has lost the job
still writes then goes to a path that is no more, and the file system refuses it. Nothing in here makes a
directory's parents but `take_over`, and no run may, or a stalled one would have its directory back.
"""

import contextlib
import re
import shutil
from pathlib import Path

from cgn.card import UNPUBLISHED
from cgn.store.files import atomic_write

CONFIG = "config.json"  # the options of the run
LOG = "log.txt"
_ATTEMPT = re.compile(r"attempt-(\d{1,19})")
UNFINISHED = "*.part"  # names of files that are being written


class Superseded(Exception):
    """A later attempt at the same job has begun: this one must leave the job's directory alone."""


def artefact_file(runs_dir: Path, path: str) -> Path | None:
    """The file of an artefact's path, ``<job id>/<name>``; None if there is none, or it lies elsewhere."""
    job_id, _, name = path.partition("/")
    latest = latest_attempt(runs_dir, job_id)
    if not name or latest is None:
        return None
    directory = latest.resolve()
    file = (directory / name).resolve()
    return file if file.is_relative_to(directory) and file.exists() else None


def latest_attempt(runs_dir: Path, job_id: str) -> Path | None:
    """The directory of a job's latest attempt; None if there is none."""
    attempts = _attempts(runs_dir / job_id)
    return attempts[max(attempts)] if attempts else None


def take_over(runs_dir: Path, job_id: str, token: int) -> Path:
    """The directory of an attempt that begins, with all that earlier ones have left in it.

    Raises:
        Superseded: a later attempt has begun.
        OSError: the directory cannot be made, as on a full disk.
    """
    job_dir = runs_dir / job_id
    job_dir.mkdir(parents=True, exist_ok=True)
    mine = job_dir / f"attempt-{token}"
    attempts = _attempts(job_dir)
    if attempts and max(attempts) > token:
        raise Superseded(job_id)
    for earlier in sorted(attempts, reverse=True):
        with contextlib.suppress(FileNotFoundError):  # another attempt was quicker
            attempts[earlier].rename(mine)
            break
    mine.mkdir(exist_ok=True)
    for earlier, path in attempts.items():
        if earlier < token:  # of a worker that began after it had lost the job
            shutil.rmtree(path, ignore_errors=True)
    remove_unfinished(mine)
    log = mine / LOG
    if log.is_file():  # a file of its own: the worker before may have it open still
        with atomic_write(log) as copy:
            shutil.copy(log, copy)
    return mine


def leave_to_successor(runs_dir: Path, job_id: str, token: int) -> None:
    """Removes the directory of an attempt that has lost its job, if a later attempt has no use for it."""
    attempts = _attempts(runs_dir / job_id)
    if token in attempts and max(attempts) > token:
        shutil.rmtree(attempts[token], ignore_errors=True)


def remove_unpublished(models_dir: Path, version: str, token: int) -> None:
    """Removes what this attempt and earlier ones were about to publish as a version.

    What later ones are about to stays: a worker that was stalled may come here at any time.
    """
    for path in models_dir.glob(f"*/{UNPUBLISHED}{version}-attempt-*"):
        name = path.name.removeprefix(f"{UNPUBLISHED}{version}-")
        if (match := _ATTEMPT.match(name)) and int(match[1]) <= token:
            shutil.rmtree(path, ignore_errors=True)


def remove_unfinished(directory: Path) -> None:
    """Removes what a killed run was about to write."""
    for path in directory.rglob(UNFINISHED):
        path.unlink(missing_ok=True)


def _attempts(job_dir: Path) -> dict[int, Path]:
    try:
        entries = list(job_dir.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found = {path: _ATTEMPT.fullmatch(path.name) for path in entries}
    return {int(match[1]): path for path, match in found.items() if match}
