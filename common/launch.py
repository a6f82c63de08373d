"""Becomes a command that dies with the process that launched it: launch.py PARENT_PID COMMAND...

A file of its own, run as a script, because the wish has to be made in the new process, and between
fork and exec of a threaded one only C code is safe. Linux only; elsewhere just the command.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the wish was made
        sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
