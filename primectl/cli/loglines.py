"""Lines of several logs to one: told apart, put in order of time, narrowed to the processes that are meant.

A line that begins with a time (RFC 3339, UTC) begins an entry; lines without one (a traceback, a handler's print)
belong to the entry before them and stay with it.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from primectl.wire.stats import LogLine
from tui.present.clean import cells, clean, fit
from tui.present.tables import natural
from tui.present.tail import names

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
LINE_LIMIT = 8192
"""Characters of a line that are kept: what is longer is no line for a person."""
_HUES = ("36", "33", "32", "35", "34", "96", "93", "92", "95", "94")


def processes_of(target: str, known: Iterable[str]) -> list[str]:
    """The processes that `target` (`all`, a pool, a process id, "") names, in natural order; a pool has its proxy and
    its zygotes with it."""
    also = (f"proxy.{target}", f"zygote.{target}", f"zygote.{target}.next")
    return sorted((process for process in known if names(target, process) or process in also), key=natural)


def merge(logs: Mapping[str, Sequence[str]], last: int) -> list[LogLine]:
    """The last lines of all logs in order of time; entries of one time, and of one process, keep their order."""
    lines = list(merged({process: iter(lines) for process, lines in logs.items()}))
    return lines[len(lines) - last if last < len(lines) else 0 :]


def merged(logs: Mapping[str, Iterator[str]]) -> Iterator[LogLine]:
    """All lines of all logs, as they are read."""
    stamped = [_stamped(process, lines) for process, lines in logs.items()]
    return (line for _, line in heapq.merge(*stamped, key=_stamp_of))


def _stamped(process: str, lines: Iterator[str]) -> Iterator[tuple[str, LogLine]]:
    """Each line with the latest time so far: a log is taken to be in order, whatever a clock did."""
    stamp = ""
    for text in lines:
        found = _STAMP.match(text)
        if found is not None:
            stamp = max(stamp, found[0])
        yield stamp, LogLine(process, text)


def _stamp_of(stamped: tuple[str, LogLine]) -> str:
    return stamped[0]


class Prefixer:
    """Puts the process before each line as docker compose does, `compute.1 | `; one column, one hue a process."""

    def __init__(self, processes: Collection[str], *, colour: bool, raw: bool = False) -> None:
        """`raw`: lines go to a file or a pipe, as they are; else what could steer a terminal is made visible."""
        self._width = max(map(cells, map(clean, processes)), default=0)
        self._colour = colour
        self._as_shown: Callable[[str], str] = str if raw else clean

    def __call__(self, line: LogLine) -> str:
        name = clean(line.process)
        self._width = max(self._width, cells(name))
        prefix = f"{fit(name, self._width)} |"
        if self._colour:
            prefix = f"\x1b[{_HUES[sum(line.process.encode()) % len(_HUES)]}m{prefix}\x1b[0m"
        return f"{prefix} {self._as_shown(line.text[:LINE_LIMIT])}"
