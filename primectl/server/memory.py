"""§ Memory of large bodies goes back to the kernel as soon as they are gone."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3
"""mallopt(3)."""
LARGE = 1 << 20


def return_large_blocks() -> None:
    """Have glibc give every large block a mapping of its own, which ends with it.

    Left to itself it takes the size of the first one freed as its new limit, up to 32 MiB, and keeps blocks below that
    for itself: after answers of 20 MB a server then held 100 MB for nothing, now 20. Other C libraries do without.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE)
