"""Counts of durations in buckets each a twelfth wider than the last: percentiles within 4 % from one short list.

The list form travels in samples: totals since the process began, trailing zeros left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

FIRST_S = 1e-5
GROWTH = 1.0 + 1.0 / 12.0
BUCKETS = 232
"""The last bucket begins at about 1000 s and has no end."""

_SCALE = 1.0 / log(GROWTH)


class Histogram:
    """Durations counted by size; bucket 0 holds everything below 10 µs."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS

    def add(self, duration_s: float, count: int = 1) -> None:
        if duration_s < FIRST_S:
            self.counts[0] += count
            return
        index = int(log(duration_s / FIRST_S) * _SCALE) + 1
        self.counts[index if index < BUCKETS else BUCKETS - 1] += count

    def to_list(self) -> list[int]:
        counts = self.counts
        end = BUCKETS
        while end and not counts[end - 1]:
            end -= 1
        return counts[:end]


def difference(newer: Sequence[int], older: Sequence[int]) -> list[int]:
    """What was counted between two totals of one process; a restart (older larger than newer) counts from zero."""
    padded = [*older, *([0] * (len(newer) - len(older)))]
    counts = [new - old for new, old in zip(newer, padded, strict=False)]
    return list(newer) if any(count < 0 for count in counts) or len(older) > len(newer) else counts


def add(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """Both counts together, bucket by bucket."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    return [count + (shorter[index] if index < len(shorter) else 0) for index, count in enumerate(longer)]


def percentile_s(counts: Sequence[int], fraction: float) -> float:
    """Seconds below which `fraction` (0 to 1) of the durations lie: the geometric middle of the bucket, 0 if empty."""
    total = sum(counts)
    if not total:
        return 0.0
    wanted = fraction * total
    seen = 0
    for index, count in enumerate(counts):
        seen += count
        if count and seen >= wanted:
            return FIRST_S / 2 if index == 0 else float(FIRST_S * GROWTH ** (index - 0.5))
    raise AssertionError("unreachable: the counts add up to their total")
