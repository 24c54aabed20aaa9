"""§ New lines of all logs, for the feed. Looks only while somebody listens; reads a bounded amount a turn."""

from __future__ import annotations

import os
from pathlib import Path

from primectl.config.topology import Place
from primectl.wire.stats import LogLine, LogsPublished
from supervisor.logread import LINE_BYTES, clean

LINES_A_TURN = 500
BYTES_A_TURN = 256 << 10
"""Of one file: what comes faster is skipped, and said to be."""


class _Tail:
    """One log file, from where it ended when it was first seen."""

    def __init__(self, process: str, path: Path, *, from_start: bool) -> None:
        self.process = process
        self._path = path
        self._file = path.open("rb", buffering=0)
        self._rest = b""
        if not from_start:
            self._file.seek(0, os.SEEK_END)

    def read(self) -> tuple[list[bytes], int]:
        """New whole lines, and how many were skipped."""
        lines, skipped = self._read_file()
        try:
            new = self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return lines, skipped
        if new:
            self._file.close()
            self._file = self._path.open("rb", buffering=0)
            more, also = self._read_file()
            return lines + more, skipped + also
        return lines, skipped

    def _read_file(self) -> tuple[list[bytes], int]:
        size = os.fstat(self._file.fileno()).st_size
        position = self._file.tell()
        skipped = 0
        if size < position:
            position = self._file.seek(0)
        if size - position > BYTES_A_TURN:
            skipped = self._skip(position, size - BYTES_A_TURN)
        *lines, self._rest = (self._rest + self._file.read(BYTES_A_TURN)).split(b"\n")
        if len(self._rest) > LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        return lines, skipped

    def _skip(self, position: int, to: int) -> int:
        """Count the lines up to `to`, but read no more of them than is worth counting."""
        counted = self._file.read(min(to - position, 16 * BYTES_A_TURN)).count(b"\n")
        self._file.seek(to)
        self._rest = b""
        # The first line read from here on begins in the middle: it is counted as skipped too.
        tail = self._file.read(LINE_BYTES)
        self._file.seek(to + tail.find(b"\n") + 1)
        return counted + 1

    def close(self) -> None:
        self._file.close()


class LogTail:
    """All logs of a cluster. `open` when the first listener comes, `close` when the last has left."""

    def __init__(self, place: Place) -> None:
        self._folder = Path(place.logs)
        self._tails: dict[str, _Tail] = {}
        self.is_open = False

    def open(self) -> None:
        if not self.is_open:
            self.is_open = True
            self._look_for_files(from_start=False)

    def close(self) -> None:
        self.is_open = False
        for tail in self._tails.values():
            tail.close()
        self._tails.clear()

    def read(self) -> LogsPublished | None:
        """What was written since the last call, None if nothing was."""
        self._look_for_files(from_start=True)
        lines: list[LogLine] = []
        skipped = 0
        for tail in self._tails.values():
            new, lost = tail.read()
            lines += [LogLine(tail.process, clean(line)) for line in new]
            skipped += lost
        if len(lines) > LINES_A_TURN:
            skipped += len(lines) - LINES_A_TURN
            lines = lines[-LINES_A_TURN:]
        return LogsPublished(lines, skipped) if lines or skipped else None

    def _look_for_files(self, *, from_start: bool) -> None:
        for path in self._folder.glob("*.log"):
            process = path.name.removesuffix(".log")
            if process not in self._tails:
                self._tails[process] = _Tail(process, path, from_start=from_start)
