"""Runs a command and leaves none of its processes behind: guard.py MEMORY_MB COMMAND...

Standard input is a pipe whose other end the worker holds. The pipe closes when the worker ends, for whatever
reason. Then the guard kills all processes that the command has started. The guard does the same when the
command has ended, or uses more memory than its limit. Processes that left the group or lost their parent are
included: Linux makes them children of the guard.

The guard ends as the command did, by its exit code or its signal, or with OVER_MEMORY after that limit was
exceeded. MEMORY_MB 0 is no limit. The guard runs as a script, isolated and without site-packages: it starts
faster this way.
"""

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys

if __name__ == "__main__":  # an isolated script has no path to the packages of this repository
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from common.launch import die_with_parent, prctl

OVER_MEMORY = 41  # not among trainer.run.exit_codes

_PR_SET_CHILD_SUBREAPER = 36
_SECONDS_BETWEEN_LOOKS = 0.5
_OOM_SCORE = b"500"  # of 1000: when memory runs out, the system kills the run before its worker


def main() -> None:
    limit, command = int(sys.argv[1]) << 20, sys.argv[2:]
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for signum in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):  # the command gets and handles its own
        signal.signal(signum, lambda *_: None)
    run = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_prepare)
    status, over = None, False
    while status is None and not over:
        ready, _, _ = select.select([0, woken], [], [], _SECONDS_BETWEEN_LOOKS if limit else None)
        if woken in ready:
            os.read(woken, 4096)
        status = _reap(run.pid)
        if 0 in ready and not os.read(0, 1):
            break
        over = bool(limit) and status is None and _memory(limit) > limit
    if status is None:
        _kill(run.pid)
        while status is None:
            status = _reap(run.pid, wait=True)
    while children := _children().get(os.getpid()):  # a killed child's children become this process's
        for pid in children:
            _kill(pid)
        _reap(run.pid, wait=True)
    _end_as(OVER_MEMORY << 8 if over else status)


def _prepare() -> None:
    """Prepares the new process before it becomes the command."""
    die_with_parent()
    try:
        with open("/proc/self/oom_score_adj", "wb", buffering=0) as file:
            file.write(_OOM_SCORE)
    except OSError:
        pass


def _reap(run: int, *, wait: bool = False) -> int | None:
    """Reaps the children that have ended. Returns the run's status if the run is among them.

    wait: block until at least one child has ended.
    """
    status = None
    try:
        pid, child_status = os.waitpid(-1, 0 if wait else os.WNOHANG)
        while pid:
            status = child_status if pid == run else status
            pid, child_status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        pass
    return status


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _children() -> dict[int, list[int]]:
    """Returns the ids of this machine's processes by the ids of their parents."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(name))
    return children


def _memory(limit: int) -> int:
    """Returns the bytes of memory of all descendants; exact only if they may exceed the limit."""
    children, waiting, descendants = _children(), [os.getpid()], []
    while waiting:
        below = children.get(waiting.pop(), [])
        waiting += below
        descendants += below
    resident = sum(_number(f"/proc/{pid}/statm", b"", 1) for pid in descendants) * resource.getpagesize()
    if resident <= limit:  # this sum counts shared pages more than once
        return resident
    return sum(_number(f"/proc/{pid}/smaps_rollup", b"Pss:", 1) for pid in descendants) << 10


def _number(path: str, beginning: bytes, field: int) -> int:
    """Returns a number of the line with this beginning; 0 if the process has ended."""
    try:
        with open(path, "rb") as file:
            for line in file:
                if line.startswith(beginning):
                    return int(line.split()[field])
    except OSError:
        pass
    return 0


def _end_as(status: int) -> None:
    if os.WIFSIGNALED(status):
        signum = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # only the run's core dump is of use
        if signum != signal.SIGKILL:
            signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
    os._exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main()
