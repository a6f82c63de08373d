"""A run that continues from the checkpoints of another run: it works on copies and changes no file there."""

import shutil
from pathlib import Path

_COPIED = "resumed_from.txt"  # holds the directory of the other run; exists once everything is copied
_SCRATCH = ".inheriting"  # for the copies, until all are complete
_NOT_COPIED = {
    "config.json",
    "log.txt",
    _COPIED,
    _SCRATCH,
}  # every run has files of these names from its start


def fork_run(parent: Path, run_dir: Path) -> None:
    """Copies the files of another run into the directory of a new run.

    Does nothing if they are copied already. Copies again if an earlier attempt was killed while copying.

    Raises:
        OSError: the files cannot be copied, for example because the disk is full.
    """
    if (run_dir / _COPIED).exists():
        return
    scratch = run_dir / _SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)

    def ignored(folder: str, names: list[str]) -> set[str]:
        unfinished = {name for name in names if name.endswith(".part")}
        return unfinished | (_NOT_COPIED & set(names) if Path(folder) == parent else set())

    shutil.copytree(parent, scratch, ignore=ignored)
    for path in scratch.iterdir():
        target = run_dir / path.name
        if target.is_dir():
            shutil.rmtree(target)
        path.rename(target)
    scratch.rmdir()
    (run_dir / _COPIED).write_text(f"{parent}\n")
