"""How much memory there is for the runs of a worker."""

from pathlib import Path

_SHARE = 0.9  # of the machine or container; the rest is the system's and the worker's own
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of cgroup 2, of 1


def memory_for_runs_mb() -> int:
    """Nine tenths of what this machine or container has, in MiB; 0 if it does not say."""
    found = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                found.append(int(line.split()[1]) << 10)
    except OSError:
        return 0
    for path in map(Path, _LIMITS):
        if path.is_file() and (limit := path.read_text().strip()).isdigit():
            found.append(int(limit))
    return int(_SHARE * min(found, default=0)) >> 20
