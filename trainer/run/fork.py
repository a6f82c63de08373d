"""A run that goes on from another run's checkpoints: it works on copies, and the other one stays as it is."""

import shutil
from pathlib import Path

_MARK = "resumed_from.txt"  # the other run's directory; there when all has been copied
_SCRATCH = ".inheriting"
_OWN = {"config.json", "log.txt", _MARK, _SCRATCH}  # what a run has of its own from the first moment


def inherit(parent: Path, run_dir: Path) -> None:
    """Copies another run's files into a new run's directory, once; a run killed meanwhile begins again.

    Raises:
        OSError: they cannot be copied, as on a full disk.
    """
    if (run_dir / _MARK).exists():
        return
    scratch = run_dir / _SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)

    def left_out(folder: str, names: list[str]) -> set[str]:
        half_written = {name for name in names if name.endswith(".part")}
        return half_written | (_OWN & set(names) if Path(folder) == parent else set())

    shutil.copytree(parent, scratch, ignore=left_out)
    for path in scratch.iterdir():
        target = run_dir / path.name
        if target.is_dir():
            shutil.rmtree(target)
        path.rename(target)
    scratch.rmdir()
    (run_dir / _MARK).write_text(f"{parent}\n")
