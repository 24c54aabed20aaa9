"""§ New lines of all logs, for the feed. Looks only while somebody listens; reads a bounded amount a turn."""

from __future__ import annotations

from pathlib import Path

from primectl.config.topology import Place
from primectl.control.following import LogReader
from primectl.wire.stats import LogLine, LogsPublished
from supervisor.logread import clean

LINES_A_TURN = 500
BYTES_A_TURN = 256 << 10
"""Of all logs together, and an equal share of each that has news: what comes faster is skipped, and said to be."""
LEAST_BYTES = 4 << 10


class LogTail:
    """All logs of a cluster. `open` when the first listener comes, `close` when the last has left."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._folder = Path(place.logs)
        self._tails: dict[str, LogReader] = {}
        self.is_open = False

    def open(self) -> None:
        if not self.is_open:
            self.is_open = True
            self._look_for_files(from_end=True)

    def close(self) -> None:
        self.is_open = False
        for tail in self._tails.values():
            tail.close()
        self._tails.clear()

    def read(self) -> LogsPublished | None:
        """What was written since the last call, None if nothing was. Of each log the latest is kept."""
        self._look_for_files(from_end=False)
        news = [(process, tail) for process, tail in self._tails.items() if tail.look()]
        if not news:
            return None
        most_bytes = max(LEAST_BYTES, BYTES_A_TURN // len(news))
        most_lines = max(1, LINES_A_TURN // len(news))
        lines: list[LogLine] = []
        skipped = 0
        for process, tail in news:
            if tail.behind > most_bytes:
                skipped += tail.skip(most_bytes)[1]
            new = tail.read(most_bytes)
            skipped += max(0, len(new) - most_lines)
            lines += [LogLine(process, clean(line)) for line in new[-most_lines:]]
        return LogsPublished(lines, skipped) if lines or skipped else None

    def _look_for_files(self, *, from_end: bool) -> None:
        for path in self._folder.glob("*.log"):
            process = path.name.removesuffix(".log")
            if process not in self._tails:
                self._tails[process] = LogReader(self._place.log_file(process), from_end=from_end)
