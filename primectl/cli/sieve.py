"""Which lines of a log are shown: by the time of their entry, and by a text that is looked for.

A line that begins with a time begins an entry; what follows without one belongs to it. An entry whose first line has
the text is shown whole. Of the lines that follow, those that are set off (the bar of a traceback, spaces) stay with the
line that they are set off from, and a traceback that was printed is one piece: a piece is shown if the text is in it.
"""

from __future__ import annotations

import re
from collections import deque

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_TRACEBACK = "Traceback (most recent call last):"
HELD = 200
"""Lines of a piece that are kept until the text is found in it."""


class Sieve:
    """One log, line by line. `since` is a stamp like those of the log, "" for all times."""

    def __init__(self, since: str = "", pattern: re.Pattern[str] | None = None) -> None:
        self._since = since
        self._pattern = pattern
        self._in_time = True
        """Of the present entry; what comes before the first entry has no time, and is rather shown than hidden."""
        self._entry_found = False
        self._found = False
        """In the present piece."""
        self._traceback = False
        self._held: deque[str] = deque(maxlen=HELD)

    def __call__(self, line: str) -> list[str]:
        """The lines that are to be shown now that this one has come."""
        stamp = _STAMP.match(line)
        if stamp is not None:
            # Of another precision than ours perhaps: compared to the second, and then as far as both go.
            self._in_time = stamp[0][: len(self._since) - 1] >= self._since[:-1] or not self._since
            self._begin_piece()
            self._entry_found = self._found = self._finds(line)
            self._traceback = False
        elif not (line.startswith((" ", "\t")) or self._ends_traceback(line)):
            self._begin_piece()
            self._found = self._entry_found
            self._traceback = line.startswith(_TRACEBACK)
        if not self._in_time:
            return []
        if self._found:
            return [line]
        self._held.append(line)
        if not self._finds(line):
            return []
        self._found = True
        shown = list(self._held)
        self._held.clear()
        return shown

    def _ends_traceback(self, line: str) -> bool:
        """The line that names the error is the last of a traceback."""
        ends, self._traceback = self._traceback, False
        return ends and not line.startswith(_TRACEBACK)

    def _begin_piece(self) -> None:
        self._found = False
        self._held.clear()

    def _finds(self, line: str) -> bool:
        return self._pattern is None or self._pattern.search(line) is not None
