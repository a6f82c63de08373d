"""A run of several processes: its command is replaced by torchrun, which starts the same command in each."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from trainer.run.options import Dataclass, FieldError

PROCESSES = "processes"  # the config field that asks for several processes


def exec_torchrun(config: Dataclass, command: Sequence[str], version: str, run_dir: Path) -> None:
    """Replaces this process by torchrun if the config asks for several processes; then it does not return.

    Returns at once in a run of one process, and in a process that torchrun has started.

    Args:
        config: options of the run.
        command: the words after ``python -m`` that start the run.
        version, run_dir: version and directory that all processes share; each would choose its own.

    Raises:
        FieldError: torchrun was started by hand with another number of processes.
    """
    processes = getattr(config, PROCESSES, 1)
    if "WORLD_SIZE" in os.environ:
        size = int(os.environ["WORLD_SIZE"])
        if processes not in (1, size):
            raise FieldError(PROCESSES, f"must be torchrun's --nproc-per-node, {size}, or 1, is {processes}")
        return
    if processes == 1:
        return
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(max(1, threads // processes))
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    shared = ["--version", version, "--run-dir", str(run_dir)]
    os.execv(sys.executable, [sys.executable, *torchrun, *command, *shared])


def is_main_process() -> bool:
    """Whether this process reports and writes files: it is the only process, or has rank 0."""
    return os.environ.get("RANK", "0") == "0"
