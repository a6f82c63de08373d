"""How a process gets its memory from the system."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def keep_memory(block_bytes: int = 1 << 30, free_bytes: int = (1 << 31) - 1) -> None:
    """Lets glibc keep freed blocks for the next step or request; elsewhere it does nothing.

    By default large tensors come from the system anew in every step of a CPU, cleared page by page.

    Args:
        block_bytes: blocks that are larger go back to the system all the same.
        free_bytes: that may be kept at the end of the heap.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, block_bytes)
    mallopt(_M_TRIM_THRESHOLD, free_bytes)
