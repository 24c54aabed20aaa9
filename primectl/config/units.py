"""Durations and sizes as a config file writes them: "250ms", "1.5h", "10MiB". One number, one unit, no space."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import chain

DURATION_UNITS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86_400)}
SIZE_UNITS = {
    "B": 1,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}

LONGEST_DURATION_S = 36_500 * 86_400.0
"""A hundred years: what is longer is a slip, and would overflow somebody's timer."""
LARGEST_SIZE = (1 << 63) - 1

DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"
SIZE_PATTERN = r"^[0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)$"

_NUMBER = re.compile(r"([0-9]{1,24}(?:\.[0-9]{1,24})?)([A-Za-z]*)")


def parse_duration(text: str) -> float:
    """Seconds. Raises ValueError for anything but a number with one of the units, and beyond a hundred years."""
    number, unit = _split(text)
    if unit not in DURATION_UNITS:
        raise ValueError(f"{text!r} has no unit of time")
    seconds = float(number * DURATION_UNITS[unit])
    if seconds > LONGEST_DURATION_S:
        raise ValueError(f"{text!r} is longer than a hundred years")
    return seconds


def parse_size(text: str) -> int:
    """Bytes, a fraction of one left out. Raises ValueError for anything but a number with one of the units."""
    number, unit = _split(text)
    if unit not in SIZE_UNITS:
        raise ValueError(f"{text!r} has no unit of size")
    size = int(number * SIZE_UNITS[unit])
    if size > LARGEST_SIZE:
        raise ValueError(f"{text!r} is more than 63 bits can count")
    return size


def show_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads as the same number: 0.25 as "250ms", a day as "24h"."""
    exact = Decimal(repr(seconds))
    for unit, least in (("d", 2), ("h", 1), ("m", 1)):
        amount = exact / DURATION_UNITS[unit]
        if amount >= least and amount == amount.to_integral_value():
            return f"{int(amount)}{unit}"
    if exact >= 1 or exact == 0:
        return f"{_plain(exact)}s"
    return f"{_plain(exact * 1000)}ms"


def show_size(size: int) -> str:
    """The shortest text that `parse_size` reads as the same number, in binary units before decimal ones."""
    binary = [(unit, worth) for unit, worth in SIZE_UNITS.items() if unit.endswith("iB")]
    decimal = [(unit, worth) for unit, worth in SIZE_UNITS.items() if len(unit) == 2]
    for unit, worth in chain(reversed(binary), reversed(decimal)):
        if size >= worth and size % worth == 0:
            return f"{size // worth}{unit}"
    return f"{size}B"


def _split(text: str) -> tuple[Decimal, str]:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no number with a unit")
    return Decimal(match[1]), match[2]


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
