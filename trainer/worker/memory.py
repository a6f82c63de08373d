"""The memory that a worker may give to its runs."""

from pathlib import Path

_SHARE = 0.9  # of the machine or container; the rest is for the system and the worker
_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)  # of cgroup 2 and cgroup 1


def memory_for_runs_mb() -> int:
    """Returns nine tenths of the memory of this machine or container, in MiB; 0 if unknown."""
    limits = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                limits.append(int(line.split()[1]) << 10)
    except OSError:
        return 0
    for path in map(Path, _LIMITS):
        if path.is_file() and (limit := path.read_text().strip()).isdigit():
            limits.append(int(limit))
    return int(_SHARE * min(limits, default=0)) >> 20
