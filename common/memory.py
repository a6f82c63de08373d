"""Settings of the C library's memory allocator."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def keep_memory(block_bytes: int = 1 << 30, free_bytes: int = (1 << 31) - 1) -> None:
    """Makes glibc keep freed blocks for reuse; without glibc it does nothing.

    By default, glibc returns large tensors to the system. The system then zeroes new pages in every step.

    Args:
        block_bytes: larger blocks are still returned to the system.
        free_bytes: free bytes at the end of the heap that are kept.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, block_bytes)
    mallopt(_M_TRIM_THRESHOLD, free_bytes)
