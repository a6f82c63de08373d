"""The files that jobs have written: find them, read them in parts, and remove them with their job."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from common.settings import Paths
from trainer.jobs.events import Artefact
from trainer.jobs.record import Job
from trainer.run.directories import artefact_file

PART_BYTES = 1024 * 1024
_MAX_NAMES = 10


class NoArtefact(LookupError):
    """No such file exists. The message is one line: the cause, and the names that exist."""


@dataclass(frozen=True)
class JobFile:
    """A file of a job."""

    artefact: Artefact  # its entry in the record; for a file in a directory, the directory's entry
    path: Path


def find(job: Job, path: str, paths: Paths) -> JobFile:
    """Returns the file of an artefact, or a file in an artefact that is a directory. Raises NoArtefact."""
    for artefact in job.artefacts:
        if path == artefact.path or path.startswith(f"{artefact.path}/"):
            break
    else:
        known = [artefact.path for artefact in job.artefacts]
        raise NoArtefact(f"{path!r:.200} is no artefact of job {job.job_id}; it has {_listed(known)}")
    try:
        file = _model_file(paths.models_dir, path) if artefact.kind == "model" else _run_file(paths, path)
    except OSError as error:  # such as a name that is too long
        raise NoArtefact(f"{path!r:.200} cannot be looked for ({error.strerror})") from None
    if file and file.is_dir():
        below = [entry.relative_to(file).as_posix() for entry in sorted(file.rglob("*")) if entry.is_file()]
        names = [f"{path.rstrip('/')}/{name}" for name in below]
        raise NoArtefact(f"{path!r:.200} is a directory; name a file in it: {_listed(names)}")
    if file is None or not file.is_file():
        raise NoArtefact(
            f"{path!r:.200} no longer exists: only the last two checkpoints are kept, and files are removed "
            "with their job"
        )
    return JobFile(artefact, file)


def _run_file(paths: Paths, path: str) -> Path | None:
    return None if ".." in PurePosixPath(path).parts else artefact_file(paths.runs_dir, path)


def _model_file(models_dir: Path, path: str) -> Path | None:
    root = models_dir.resolve()
    file = (root / path).resolve()
    inside = ".." not in PurePosixPath(path).parts and file.is_relative_to(root)
    return file if inside and file.exists() else None


def digest(path: Path) -> tuple[int, str]:
    """Returns the size in bytes, and sha256 in the form of Artefact.digest. Raises OSError."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), f"sha256:{sha256}"


def parts(path: Path, offset: int, size: int) -> Iterator[bytes]:
    """Yields the bytes from offset to size in parts of at most PART_BYTES.

    Raises OSError, also if the file has become shorter.
    """
    with path.open("rb") as file:
        file.seek(offset)
        while offset < size:
            part = file.read(min(PART_BYTES, size - offset))
            if not part:
                raise OSError(f"{path.name} has become shorter")
            offset += len(part)
            yield part


def remove(job_id: str, paths: Paths) -> None:
    """Removes all files of a job except its models. Raises OSError."""
    directory = paths.runs_dir / job_id
    if directory.is_symlink():
        directory.unlink()
    elif directory.exists():
        shutil.rmtree(directory)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return (", ".join(names[:_MAX_NAMES]) or "none") + more
