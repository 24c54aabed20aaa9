"""§ Reads the log files of a cluster: their ends, and what comes after, through rotation and new processes.

Works on the files alone, so it works while no supervisor does.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from types import MappingProxyType

from primectl.cli.loglines import LINE_LIMIT, merge, processes_of
from primectl.config.topology import Place
from primectl.errors import NotFound
from primectl.wire.stats import LogLine
from tui.present.units import size

READ_BYTES = 256 << 10
"""Of one file at a time: a log that is written faster than it is shown does not hold up the others."""
_SUFFIX = ".log"


def logged_processes(place: Place) -> list[str]:
    """The processes that have a log."""
    try:
        return [name.removesuffix(_SUFFIX) for name in os.listdir(place.logs) if name.endswith(_SUFFIX)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def targets(place: Place, target: str) -> list[str]:
    """The logged processes that `target` names. Raises NotFound where there are none."""
    known = logged_processes(place)
    found = processes_of(target, known)
    if found:
        return found
    if not known:
        raise NotFound(f"cluster {place.cluster} has no logs", mend="`primectl up -d` starts it")
    pools = sorted({process.rpartition(".")[0] for process in known} - {"", "server", "proxy"})
    raise NotFound(f"no log of {target!r}", f"cluster {place.cluster}", f"Say all, {', '.join(pools)}, or a process id")


def last_lines(
    place: Place, processes: list[str], last: int, until: Mapping[str, int] = MappingProxyType({})
) -> list[LogLine]:
    """The last lines of all these processes together, in order of time; `until` ends a log at this byte."""
    return merge({process: _tail(place.log_file(process), last, until.get(process)) for process in processes}, last)


def _tail(path: str, last: int, until: int | None) -> list[str]:
    """The last lines of a log; the file before the last rotation is looked into when this one has too few."""
    lines = _end_of(path, last, until)
    if len(lines) < last:
        lines = _end_of(f"{path}.1", last - len(lines)) + lines
    return lines


def _end_of(path: str, last: int, until: int | None = None) -> list[str]:
    if not last:
        return []
    try:
        with open(path, "rb") as file:
            start = file.seek(0, os.SEEK_END)
            if until is not None:
                start = min(start, until)
            data = b""
            while start > 0 and data.count(b"\n") <= last:
                step = min(READ_BYTES, start)
                start -= step
                file.seek(start)
                data = file.read(step) + data
    except FileNotFoundError:
        return []
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    if start > 0:
        lines = lines[1:]
    return [_text(line) for line in lines[-last:]]


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r")


class Follower:
    """What is written to the logs from now on, in the order in which it is found."""

    def __init__(self, place: Place, target: str = "all", *, behind_limit: int = sys.maxsize) -> None:
        """Begins at the present end of the logs that `target` names; later ones are read from their beginning.

        A log of which more than `behind_limit` bytes are unread is skipped to near its end, and a line says so.
        """
        self._place = place
        self._target = target
        self._behind_limit = behind_limit
        self._open: dict[str, _Log] = {}
        self._look_for_logs(from_end=True)

    def positions(self) -> dict[str, int]:
        """How far each log has been read, in bytes."""
        return {process: log.position for process, log in self._open.items()}

    def read(self) -> list[LogLine]:
        """The lines that have been finished since the last call."""
        self._look_for_logs(from_end=False)
        return [LogLine(process, text) for process, log in self._open.items() for text in log.read()]

    def close(self) -> None:
        for log in self._open.values():
            log.close()
        self._open.clear()

    def _look_for_logs(self, *, from_end: bool) -> None:
        new = [process for process in logged_processes(self._place) if process not in self._open]
        for process in processes_of(self._target, new):
            self._open[process] = _Log(self._place.log_file(process), self._behind_limit, from_end=from_end)


class _Log:
    """One log file, across its rotations (it is renamed to `.1`, and a new one is begun)."""

    def __init__(self, path: str, behind_limit: int, *, from_end: bool) -> None:
        self._path = path
        self._behind_limit = behind_limit
        self._rest = b""
        self._file = self._begin()
        if from_end and self._file is not None:
            self._file.seek(0, os.SEEK_END)

    @property
    def position(self) -> int:
        return self._file.tell() if self._file is not None else 0

    def read(self) -> list[str]:
        lines = self._lines()
        if not lines and self._is_replaced():
            self.close()
            self._file = self._begin()
            lines = self._lines()
        return lines

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def _lines(self) -> list[str]:
        if self._file is None:
            return []
        unread = os.fstat(self._file.fileno()).st_size - self._file.tell()
        skipped = []
        if unread < 0:  # somebody has emptied it
            self._file.seek(0)
        elif unread > self._behind_limit:
            self._file.seek(unread - READ_BYTES, os.SEEK_CUR)
            self._rest = b""
            skipped = [f"({size(unread - READ_BYTES)} of this log came too fast to be shown; they are in {self._path})"]
        data = self._rest + self._file.read(READ_BYTES)
        whole, newline, self._rest = data.rpartition(b"\n")
        if len(self._rest) > LINE_LIMIT:
            whole, newline, self._rest = data, b"\n", b""
        return skipped + ([_text(line) for line in whole.split(b"\n")] if newline else [])

    def _is_replaced(self) -> bool:
        """Whether another file has the name now, or a first one has appeared."""
        try:
            now = os.stat(self._path)
        except FileNotFoundError:
            return False
        if self._file is None:
            return True
        ours = os.fstat(self._file.fileno())
        return (now.st_dev, now.st_ino) != (ours.st_dev, ours.st_ino)

    def _begin(self) -> io.FileIO | None:
        try:
            return io.FileIO(os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")
        except FileNotFoundError:
            return None
