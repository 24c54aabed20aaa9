"""§ The end of log files, for causes and for GET /logs. Bounded: however large a log is, little of it is read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from primectl.config.topology import Place
from primectl.control.log import printable
from primectl.wire.stats import LogLine

LAST_BYTES = 1 << 20
LINE_BYTES = 16 << 10
"""A longer line is cut."""
MOST_LINES = 10_000

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def clean(line: bytes) -> str:
    """A line as text of one line, whatever was in it; of a handler's print too."""
    text = line[:LINE_BYTES].decode("utf-8", "replace").rstrip("\r")
    return text if text.isprintable() else "".join(char if char.isprintable() else printable(char) for char in text)


def size(path: str) -> int:
    """Bytes in a file, 0 if there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def last_lines(path: str, lines: int, since: int = 0, *, most_bytes: int = LAST_BYTES) -> list[str]:
    """The last lines of a file, none from before byte `since` (0 if the file was rotated after)."""
    try:
        with open(path, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            begin = max(since if since <= end else 0, end - most_bytes)
            file.seek(begin)
            found = file.read(end - begin).split(b"\n")
    except OSError:
        return []
    if found[-1] == b"":
        found.pop()
    if begin and begin != since:
        found = found[1:]
    return [clean(line) for line in found[-lines:]] if lines else []


def merged(place: Place, processes: Iterable[str], lines: int) -> list[LogLine]:
    """The last lines of several logs, by their time stamps; a line without one stays behind the one above it."""
    lines = max(0, min(lines, MOST_LINES))
    entries: list[tuple[str, LogLine]] = []
    for process in processes:
        path = place.log_file(process)
        found = last_lines(path, lines)
        if len(found) < lines:
            found = last_lines(f"{path}.1", lines - len(found)) + found
        stamp = ""
        for line in found:
            match = _STAMP.match(line)
            stamp = match[0] if match else stamp
            entries.append((stamp, LogLine(process, line)))
    entries.sort(key=lambda entry: entry[0])
    return [line for _, line in entries[-lines:]] if lines else []


def logged(place: Place) -> list[str]:
    """The ids of all that has a log."""
    return sorted(path.name.removesuffix(".log") for path in Path(place.logs).glob("*.log"))
