"""The exit codes of a run. No torch in here: the worker reads them."""

import errno

SUCCEEDED = 0  # the run has succeeded
FAILED = 1  # the run has failed; the last line on stderr is `error: <reason>`, as for all codes but 0 and 3
BAD_OPTIONS = 2  # the options are wrong
STOPPED = 3  # SIGTERM or Ctrl-C has stopped the run; --resume continues from its checkpoint
OUT_OF_MEMORY = 4  # memory ran out
DISK_FULL = 5  # the disk is full
DEFECT = 6  # an exception that no run expects


def disk_is_full(error: OSError) -> bool:
    """Whether the cause of an error is a full device, a quota or a file size limit."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
