"""The one place that reads the time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where a shell gets its `now` from; tests hand in one that they move themselves."""

    def monotonic(self) -> float:
        """Seconds that never step back, comparable between processes of one host (CLOCK_MONOTONIC)."""
        ...

    def wall(self) -> float:
        """Seconds since the Unix epoch, for showing to people and writing to files."""
        ...


class SystemClock:
    """The clock of the machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()
