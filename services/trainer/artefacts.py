"""The files that jobs have made: found, read in parts, and removed with their job."""

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
_NAMES_TOLD = 10


class NoArtefact(LookupError):
    """There is no such file; the message is one line that says why and what there is."""


@dataclass(frozen=True)
class Found:
    """A file of a job."""

    artefact: Artefact  # what the record says, of the directory if the file is below one
    path: Path


def find(job: Job, path: str, paths: Paths) -> Found:
    """The file of an artefact, or one below an artefact that is a directory. Raises NoArtefact."""
    for artefact in job.artefacts:
        if path == artefact.path or path.startswith(f"{artefact.path}/"):
            break
    else:
        known = [artefact.path for artefact in job.artefacts]
        raise NoArtefact(f"{path!r:.200} is no artefact of job {job.job_id}; it has {_told(known)}")
    try:
        file = _model_file(paths.models_dir, path) if artefact.kind == "model" else _run_file(paths, path)
    except OSError as error:  # a name that no file can have
        raise NoArtefact(f"{path!r:.200} cannot be looked for ({error.strerror})") from None
    if file and file.is_dir():
        below = [entry.relative_to(file).as_posix() for entry in sorted(file.rglob("*")) if entry.is_file()]
        names = [f"{path.rstrip('/')}/{name}" for name in below]
        raise NoArtefact(f"{path!r:.200} is a directory; name a file in it: {_told(names)}")
    if file is None or not file.is_file():
        raise NoArtefact(
            f"{path!r:.200} is not there any more: of checkpoints the last two are kept, and files go with "
            "their job"
        )
    return Found(artefact, file)


def _run_file(paths: Paths, path: str) -> Path | None:
    return None if ".." in PurePosixPath(path).parts else artefact_file(paths.runs_dir, path)


def _model_file(models_dir: Path, path: str) -> Path | None:
    root = models_dir.resolve()
    file = (root / path).resolve()
    inside = ".." not in PurePosixPath(path).parts and file.is_relative_to(root)
    return file if inside and file.exists() else None


def digest(path: Path) -> tuple[int, str]:
    """Size in bytes, and sha256 as an artefact has it. Raises OSError."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), f"sha256:{found}"


def parts(path: Path, offset: int, size: int) -> Iterator[bytes]:
    """The bytes from offset to size, PART_BYTES at most at once. Raises OSError, also if there are fewer."""
    with path.open("rb") as file:
        file.seek(offset)
        while offset < size:
            part = file.read(min(PART_BYTES, size - offset))
            if not part:
                raise OSError(f"{path.name} has become shorter")
            offset += len(part)
            yield part


def remove(job_id: str, paths: Paths) -> None:
    """Removes what a job has made, but for its models. Raises OSError."""
    directory = paths.runs_dir / job_id
    if directory.is_symlink():
        directory.unlink()
    elif directory.exists():
        shutil.rmtree(directory)


def _told(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_TOLD} more" if len(names) > _NAMES_TOLD else ""
    return (", ".join(names[:_NAMES_TOLD]) or "none") + more
