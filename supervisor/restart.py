"""When a process that ended by itself starts again, and when it no longer does.

The first crash costs nothing: the process starts again at once. Each further one within `crash_window` doubles the
wait; at `crash_limit` of them within the window the process is a crash loop, which only an operator ends.
"""

from __future__ import annotations

from primectl.config.model import SupervisorConfig

OUTSIDE_LIFE_S = 0.2
"""A process that was READY for so long and then got SIGKILL was killed from outside (an operator's `kill -9`, the
kernel short of memory): no fault that another start would repeat, so it does not count."""


def was_killed_from_outside(status: int | None, ready_s: float | None) -> bool:
    """Whether an end says nothing about the process itself. `ready_s` is None for one that was never READY."""
    return status == -9 and ready_s is not None and ready_s >= OUTSIDE_LIFE_S


def backoff_s(crashes: int, policy: SupervisorConfig, jitter: float) -> float:
    """Seconds to wait after crash number `crashes` of a row, the first being 1.

    `jitter` (0 to 1) takes up to a quarter off, so that workers that fell together do not get up together.
    Raises ValueError for crashes < 1.
    """
    if crashes < 1:
        raise ValueError(f"the first crash is number 1, not {crashes}")
    if crashes == 1:
        return 0.0
    # 2.0**64 is beyond any longest wait and far from overflow.
    whole = min(policy.backoff_longest, policy.backoff_first * 2.0 ** min(crashes - 2, 64))
    return whole * (1.0 - 0.25 * jitter)


class CrashRecord:
    """The crashes of one process that still count."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: list[float] = []

    def add(self, now: float, policy: SupervisorConfig) -> int:
        """Take in a crash; how many there were within the window, this one included."""
        self._times = [time for time in self._times if now - time < policy.crash_window]
        self._times.append(now)
        return len(self._times)

    def clear(self) -> None:
        """An operator has started the process: what was before no longer counts."""
        self._times.clear()


def is_spent(crashes: int, policy: SupervisorConfig) -> bool:
    """Whether so many crashes within the window make a crash loop."""
    return crashes >= policy.crash_limit
