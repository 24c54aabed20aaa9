"""§ The end of log files, for causes and for GET /logs. Bounded: however large a log is, little of it is read."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Sequence
from pathlib import Path

from primectl.config.topology import Place
from primectl.control.following import chain, joined
from primectl.control.log import printable
from primectl.wire.stats import LogLine

LAST_BYTES = 1 << 20
"""Of one log."""
ALL_BYTES = 4 << 20
"""Of all logs that one answer is made of."""
LEAST_BYTES = 16 << 10
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


def last_lines(path: str, lines: int, *, most_bytes: int = LAST_BYTES) -> list[str]:
    """The last lines of a log, of its older files too."""
    found: list[bytes] = []
    for fd, status in chain(path):
        try:
            found = joined(_end(fd, max(0, status.st_size - most_bytes), status.st_size), found, fd)
            most_bytes -= status.st_size
        finally:
            os.close(fd)
        if len(found) > lines + 1 or most_bytes <= 0:
            break
    return _cleaned(found, lines)


def lines_of_life(path: str, lines: int, since: int, *, most_bytes: int = LAST_BYTES) -> list[str]:
    """The last lines of the life that began when the log had `since` bytes; the log may have been rotated since."""
    found: list[bytes] = []
    for fd, status in chain(path):
        try:
            end = status.st_size
            # Where a life begins, a line does: else this file was begun later.
            begins_here = since <= end and (since == 0 or os.pread(fd, 1, since - 1) == b"\n")
            first = since if begins_here else 0
            found = joined(_end(fd, max(first, end - most_bytes), end, whole=first), found, fd)
            most_bytes -= end - first
        finally:
            os.close(fd)
        if begins_here or len(found) > lines + 1 or most_bytes <= 0:
            break
    return _cleaned(found, lines)


def _end(fd: int, begin: int, end: int, *, whole: int = 0) -> list[bytes]:
    """What is between the line ends from `begin` to `end`, and behind the last; a line that is cut at `begin` is left
    out, but at `whole` begins one that is not."""
    found = os.pread(fd, end - begin, begin).split(b"\n")
    return found if begin in (0, whole) or len(found) == 1 else found[1:]


def _cleaned(found: list[bytes], lines: int) -> list[str]:
    if found and not found[-1]:
        found.pop()
    return [clean(line) for line in found[-lines:]] if lines > 0 else []


def merged(place: Place, processes: Sequence[str], lines: int) -> Generator[None, None, list[LogLine]]:
    """The last lines of several logs, by their time stamps; a line without one stays behind the one above it.

    A generator, since there may be many logs: each step reads one.
    """
    lines = max(0, min(lines, MOST_LINES))
    most_bytes = min(LAST_BYTES, max(LEAST_BYTES, ALL_BYTES // max(1, len(processes))))
    entries: list[tuple[str, LogLine]] = []
    for process in processes:
        yield
        stamp = ""
        for line in last_lines(place.log_file(process), lines, most_bytes=most_bytes):
            match = _STAMP.match(line)
            stamp = match[0] if match else stamp
            entries.append((stamp, LogLine(process, line)))
    yield
    entries.sort(key=lambda entry: entry[0])
    return [line for _, line in entries[-lines:]] if lines else []


def logged(place: Place) -> list[str]:
    """The ids of all that has a log."""
    return sorted(path.name.removesuffix(".log") for path in Path(place.logs).glob("*.log"))
