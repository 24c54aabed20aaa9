"""Figures as short text of a steady width. Zero is "0", not "0.0": most cells of a calm table are."""

from __future__ import annotations

from datetime import datetime

SPARK = "▁▂▃▄▅▆▇█"


def duration(seconds: float) -> str:
    """Seconds in at most six characters: 0, 340µs, 12ms, 1.9s, 42s, 5m03, 4d02h."""
    if seconds <= 0:
        return "0"
    if seconds < 0.000_999_5:
        return f"{max(1, round(seconds * 1e6))}µs"
    if seconds < 0.009_95:
        return f"{seconds * 1e3:.1f}ms"
    if seconds < 0.999_5:
        return f"{round(seconds * 1e3)}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    if seconds < 99.5:
        return f"{round(seconds)}s"
    return uptime(seconds)


def milliseconds(value_ms: float) -> str:
    """As `duration`, from milliseconds."""
    return duration(value_ms / 1e3)


def uptime(seconds: float) -> str:
    """Whole seconds, two units at most: 42s, 5m03, 3h07, 4d02h."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}"
    days = whole // 86_400
    return f"{days}d{whole % 86_400 // 3600:02}h" if days < 100 else f"{days}d"


def count(number: float) -> str:
    """A whole number in at most five characters: 198, 9999, 12.3k, 4.1M."""
    number = round(number)
    if abs(number) < 10_000:
        return str(number)
    for unit in "kMGT":
        number /= 1000
        if abs(number) < 99.95:
            return f"{number:.1f}{unit}"
        if abs(number) < 999.5:
            return f"{number:.0f}{unit}"
    return f"{number:.0f}P"


def rate(per_second: float) -> str:
    """A rate without its "/s": 0, 0.2, 9.7, 104, 45.0k."""
    if abs(per_second) < 0.05:
        return "0"
    return f"{per_second:.1f}" if abs(per_second) < 9.95 else count(per_second)


def growth(per_second: float) -> str:
    """As `rate`, with its sign: 0, +14, -3."""
    text = rate(per_second)
    return text if text == "0" or per_second < 0 else f"+{text}"


def share(fraction: float) -> str:
    """0 to 1 as a percentage: 0%, 27%, 100%. Above 1 (an estimate may be) it goes on."""
    return f"{round(fraction * 100)}%"


def size(number_bytes: float) -> str:
    """Bytes in binary units, at most five characters: 512B, 21M, 3.1G."""
    if number_bytes < 1024:
        return f"{round(number_bytes)}B"
    for unit in "KMGT":
        number_bytes /= 1024
        if number_bytes < 9.95:
            return f"{number_bytes:.1f}{unit}"
        if number_bytes < 1023.5:
            return f"{number_bytes:.0f}{unit}"
    return f"{number_bytes:.0f}P"


def bar(fraction: float, width: int) -> tuple[str, str]:
    """A bar of `width` cells as its full and its empty part; anything above nothing shows at least one cell."""
    full = min(width, round(fraction * width))
    full = max(full, 1) if fraction > 0.005 else full
    return "█" * full, "░" * (width - full)


def clock(unix_s: float) -> str:
    """The local time of day, 12:04:31."""
    return datetime.fromtimestamp(unix_s).strftime("%H:%M:%S")


def plural(number: int, noun: str, nouns: str = "") -> str:
    """1 worker, 2 workers."""
    return f"{number} {noun if number == 1 else nouns or noun + 's'}"
