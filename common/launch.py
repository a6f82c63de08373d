"""Becomes a command that dies with the process that launched it: launch.py PARENT_PID COMMAND...

This is a script that runs by itself, because the request must come from the new process: between fork and
exec of a process with threads only C code is safe. On systems other than Linux it just becomes the command.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def prctl(option: int, value: int) -> None:
    """Sets an attribute of this process by Linux's prctl(2). Does nothing on other systems."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def die_with_parent() -> None:
    """Asks the kernel to kill this process when its parent ends. The request survives exec."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    die_with_parent()
    if os.getppid() != parent:  # the parent ended before the request was made
        sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
