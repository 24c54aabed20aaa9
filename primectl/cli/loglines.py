"""Lines of several logs to one: told apart, put in order of time, narrowed to the processes that are meant.

A line that begins with a time (RFC 3339, UTC) begins an entry; lines without one (a traceback, a handler's print)
belong to the entry before them and stay with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

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
    stamped: list[tuple[str, LogLine]] = []
    for process, lines in logs.items():
        stamp = ""
        for text in lines:
            found = _STAMP.match(text)
            stamp = found[0] if found else stamp
            stamped.append((stamp, LogLine(process, text)))
    stamped.sort(key=lambda pair: pair[0])
    return [line for _, line in stamped[len(stamped) - last if last < len(stamped) else 0 :]]


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
