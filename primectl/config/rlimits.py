"""The limits of setrlimit(2) as a config names them, and their values: pure, the kernel is asked elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Literal

from primectl.config.units import parse_duration, parse_size, show_duration, show_size

Unit = Literal["count", "bytes", "seconds"]

RLIMITS: Mapping[str, Unit] = {
    "as": "bytes",
    "core": "bytes",
    "cpu": "seconds",
    "data": "bytes",
    "fsize": "bytes",
    "memlock": "bytes",
    "nofile": "count",
    "nproc": "count",
    "rss": "bytes",
    "stack": "bytes",
}
"""Names without RLIMIT_, in lower case, and what their values count."""

UNLIMITED = -1
"""As a value: no limit (RLIM_INFINITY)."""
WORD = "unlimited"

_EXPECTED: Mapping[Unit, str] = {
    "count": f'a whole number or "{WORD}"',
    "bytes": f'a size such as "64MiB", a whole number of bytes or "{WORD}"',
    "seconds": f'a duration such as "10m", a whole number of seconds or "{WORD}"',
}


def parse_limit(name: str, value: int | str) -> int:
    """A limit's value in its own unit, or UNLIMITED. Raises ValueError, which says what is expected."""
    unit = RLIMITS[name]
    if isinstance(value, int):
        return value
    if value == WORD:
        return UNLIMITED
    try:
        if unit == "bytes":
            return parse_size(value)
        if unit == "seconds":
            return ceil(parse_duration(value))
    except ValueError:
        raise ValueError(_EXPECTED[unit]) from None
    raise ValueError(_EXPECTED[unit])


def show_limit(name: str, value: int) -> str:
    """A value as a config would write it."""
    if value == UNLIMITED:
        return f'"{WORD}"'
    unit = RLIMITS[name]
    if unit == "count":
        return str(value)
    return f'"{show_size(value) if unit == "bytes" else show_duration(float(value))}"'
