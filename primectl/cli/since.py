"""`--since`, `--until`: a time ago, or a time."""

from __future__ import annotations

from datetime import UTC, datetime

from primectl.config.units import parse_duration
from primectl.errors import ConfigError


def since(text: str, now: float, option: str = "--since") -> float:
    """Unix seconds of "5m" (before `now`), "2026-01-31T12:00:00Z", "2026-01-31 12:00" (here) or "12:00" (today).

    Raises ConfigError for anything else.
    """
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    today = datetime.fromtimestamp(now).astimezone().date().isoformat()
    for whole in (text, f"{today}T{text}") if text else ():
        try:
            return datetime.fromisoformat(whole).timestamp()
        except ValueError:
            continue
    what = f'expected a time ago such as 5m, or a time such as {stamp(now)[:19]}Z, got "{text}"'
    raise ConfigError(what, option)


def stamp(unix_s: float) -> str:
    """The time as logs have it: "2026-01-31T12:00:00.123Z"."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
