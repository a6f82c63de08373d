"""A run of several processes: its command becomes torchrun, which starts as many of that same command."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from trainer.run.options import Dataclass, FieldError

PROCESSES = "processes"  # the option of a config that asks for several


def become_team(config: Dataclass, command: Sequence[str], version: str, run_dir: Path) -> None:
    """Does not return if the run asks for several processes and this is not one of them yet.

    Args:
        config: of the run.
        command: the words after ``python -m`` that start the run.
        version, run_dir: what all have to agree on, and would choose for themselves.

    Raises:
        FieldError: torchrun was called by hand, for another number of processes.
    """
    wanted = getattr(config, PROCESSES, 1)
    if "WORLD_SIZE" in os.environ:
        size = int(os.environ["WORLD_SIZE"])
        if wanted not in (1, size):
            raise FieldError(PROCESSES, f"must be torchrun's --nproc-per-node, {size}, or 1, is {wanted}")
        return
    if wanted == 1:
        return
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(max(1, threads // wanted))
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(wanted), "-m"]
    agreed = ["--version", version, "--run-dir", str(run_dir)]
    os.execv(sys.executable, [sys.executable, *torchrun, *command, *agreed])


def leads() -> bool:
    """Whether this process tells of the run for all: it is alone, or the first."""
    return os.environ.get("RANK", "0") == "0"
