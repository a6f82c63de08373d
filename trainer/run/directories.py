"""The directories of jobs: ``<runs>/<job id>/attempt-<token>/`` holds the files of the latest attempt.

A new attempt renames the directory of the attempt before it. If a worker has lost the job and still writes,
its path no longer exists, and the file system refuses the write. So only `take_over` may create parent
directories. If a run created them, the directory of a stalled attempt would come back.
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
UNFINISHED = "*.part"  # the temporary files of `atomic_write`


class Superseded(Exception):
    """A later attempt at the same job has started, so this attempt must not touch the job's directory."""


def artefact_file(runs_dir: Path, path: str) -> Path | None:
    """Returns the file of an artefact's path, ``<job id>/<name>``.

    Returns None if there is no such file, or if it lies outside the job's directory.
    """
    job_id, _, name = path.partition("/")
    latest = latest_attempt(runs_dir, job_id)
    if not name or latest is None:
        return None
    directory = latest.resolve()
    file = (directory / name).resolve()
    return file if file.is_relative_to(directory) and file.exists() else None


def latest_attempt(runs_dir: Path, job_id: str) -> Path | None:
    """Returns the directory of a job's latest attempt; None if there is none."""
    attempts = _attempts(runs_dir / job_id)
    return attempts[max(attempts)] if attempts else None


def take_over(runs_dir: Path, job_id: str, token: int) -> Path:
    """Returns the directory of a new attempt, with all files of the attempts before it.

    Raises:
        Superseded: a later attempt has started.
        OSError: the directory cannot be created, for example because the disk is full.
    """
    job_dir = runs_dir / job_id
    job_dir.mkdir(parents=True, exist_ok=True)
    directory = job_dir / f"attempt-{token}"
    attempts = _attempts(job_dir)
    if attempts and max(attempts) > token:
        raise Superseded(job_id)
    for earlier in sorted(attempts, reverse=True):
        with contextlib.suppress(FileNotFoundError):  # another attempt has renamed it first
            attempts[earlier].rename(directory)
            break
    directory.mkdir(exist_ok=True)
    for earlier, path in attempts.items():
        if earlier < token:  # of a worker that started after it had lost the job
            shutil.rmtree(path, ignore_errors=True)
    remove_unfinished(directory)
    log = directory / LOG
    if log.is_file():  # copied, as the worker before may still have the file open
        with atomic_write(log) as copy:
            shutil.copy(log, copy)
    return directory


def leave_to_successor(runs_dir: Path, job_id: str, token: int) -> None:
    """Removes the directory of an attempt that has lost its job, if a later attempt has a directory."""
    attempts = _attempts(runs_dir / job_id)
    if token in attempts and max(attempts) > token:
        shutil.rmtree(attempts[token], ignore_errors=True)


def remove_unpublished(models_dir: Path, version: str, token: int) -> None:
    """Removes the unpublished versions of this attempt and of earlier ones.

    Those of later attempts stay: a stalled worker may call this function at any time.
    """
    for path in models_dir.glob(f"*/{UNPUBLISHED}{version}-attempt-*"):
        name = path.name.removeprefix(f"{UNPUBLISHED}{version}-")
        if (match := _ATTEMPT.match(name)) and int(match[1]) <= token:
            shutil.rmtree(path, ignore_errors=True)


def remove_unfinished(directory: Path) -> None:
    """Removes the temporary files of killed processes."""
    for path in directory.rglob(UNFINISHED):
        path.unlink(missing_ok=True)


def _attempts(job_dir: Path) -> dict[int, Path]:
    try:
        entries = list(job_dir.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    matches = {path: _ATTEMPT.fullmatch(path.name) for path in entries}
    return {int(match[1]): path for path, match in matches.items() if match}
