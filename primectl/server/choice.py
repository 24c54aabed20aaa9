"""Step 9: which requests are recorded."""

from __future__ import annotations

from msgspec import Struct

from primectl.wire.job import RequestId
from primectl.wire.journal import BROKEN, DEAD, LEFT, TIMED_OUT

_TROUBLE = DEAD | LEFT | TIMED_OUT | BROKEN
_SCATTER = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio: multiplied by it, numbers in a row are spread evenly (Knuth, TAOCP 6.4)."""
_SCATTER_BITS = 64
_MASK = (1 << _SCATTER_BITS) - 1


def troubled(status: int, flags: int) -> bool:
    """Whether a request did not go as it should. What its client did wrong (4xx) is no trouble."""
    return status >= 500 or status == 0 or bool(flags & _TROUBLE)


class Choice(Struct, frozen=True):
    """Every troubled request is recorded, every slow one, and of the others the share `sample`."""

    sample: float = 1.0
    slow_s: float = 1.0

    def takes(self, request: RequestId, status: int, flags: int, seconds: float) -> bool:
        """By the request's number: the same whenever it is asked, and no dice that a test would have to load."""
        if self.sample >= 1.0 or seconds >= self.slow_s or troubled(status, flags):
            return True
        return (request * _SCATTER & _MASK) < self.sample * (1 << _SCATTER_BITS)
