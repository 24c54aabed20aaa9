"""§ Memory of bodies that are gone goes back to the kernel, also where small survivors sit between them."""

from __future__ import annotations

import ctypes

WORTH_BYTES = 32 << 20
"""Less than this is not worth looking for: a trim walks through the whole heap, some milliseconds for 100 MB."""


class Heap:
    """The C library's heap of this process; with another library than glibc it does nothing."""

    def __init__(self) -> None:
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._height = 0

    def note(self, held_bytes: int) -> None:
        """Bodies of so many bytes are held now. To be called a few times a second: after a height it trims."""
        self._height = max(self._height, held_bytes)
        if self._height - held_bytes >= WORTH_BYTES and held_bytes <= self._height // 2:
            self._height = held_bytes
            if self._trim is not None:
                self._trim(0)
