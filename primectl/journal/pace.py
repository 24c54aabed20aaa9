"""When each step of a replay is due, against one absolute clock.

What is due is never counted from when the step before it was sent: the time that sending takes would add up, and a
replay of an hour would take an hour and a quarter. A step that is late is sent late, and its lag is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import inf

from primectl.errors import ConfigError

MAX = inf
"""The speed at which everything is due at once."""
_SPEED = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)x?")


def due_times(times: Iterable[float], speed: float = 1.0, rate: float = 0.0, repeat: int = 1) -> list[float]:
    """Seconds after the run's start at which each step is due, in the order of sending.

    `times` are when the requests came, in seconds of any clock and any order. Of n of them, number i of the result is
    for number i mod n in the order of time (equal ones in the order given). They come `speed` times as fast as they
    did. `repeat` sends the whole so often, each time shifted by its length. With `rate` above 0 no more than so many
    are due a second: what would be due too early is due later, nothing is dropped.

    Raises ValueError where speed is not above 0, rate below 0 or repeat below 1.
    """
    if not speed > 0 or not rate >= 0 or repeat < 1:
        raise ValueError(f"no pace: speed {speed}, rate {rate}, repeat {repeat}")
    ordered = sorted(times)
    if not ordered:
        return []
    offsets = [0.0 if speed == MAX else (time - ordered[0]) / speed for time in ordered]
    length = offsets[-1]
    due = [turn * length + offset for turn in range(repeat) for offset in offsets]
    return _delayed(due, rate) if rate else due


def parse_speed(text: str) -> float:
    """The speed in `text`: "max", or a factor such as "1", "0.5" or "2x". Raises ConfigError."""
    if text == "max":
        return MAX
    match = _SPEED.fullmatch(text)
    if match is None or not float(match[1]) > 0:
        raise ConfigError(
            f'expected "max" or a factor above 0, got "{text}"',
            "--speed",
            "1 is as fast as the requests came, 2 twice as fast",
        )
    return float(match[1])


def _delayed(due: list[float], rate: float) -> list[float]:
    """The same, `rate` a second at most. A run of those that had to wait is counted from its first one, so that no
    rounding adds up."""
    delayed: list[float] = []
    first, number = due[0], 0
    for time in due:
        allowed = first + number / rate
        if time >= allowed:
            first, number, allowed = time, 0, time
        number += 1
        delayed.append(allowed)
    return delayed
