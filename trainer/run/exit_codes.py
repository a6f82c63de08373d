"""The exit codes of a run. No torch in here: the worker reads them."""

import errno

SUCCEEDED = 0  # the run ended well
FAILED = 1  # the run failed; the last line on stderr is `error: <why>`, and so for all that follow
BAD_OPTIONS = 2  # the options are wrong
STOPPED = 3  # SIGTERM or Ctrl-C stopped it, with a checkpoint that --resume continues from
OUT_OF_MEMORY = 4  # memory ran out
DISK_FULL = 5  # the disk is full
DEFECT = 6  # an exception that no run expects


def disk_is_full(error: OSError) -> bool:
    """Whether an error says that the device is full, or that a quota or a size limit is reached."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
