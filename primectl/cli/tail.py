"""§ Reads the log files of a cluster: their ends, and what comes after, through rotation and new processes.

Works on the files alone, so it works while no supervisor does.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from primectl.cli.loglines import merge, processes_of
from primectl.config.topology import Place
from primectl.control.following import LogReader, Mark, chain, joined, key_of
from primectl.control.rotation import STAMP, first_written, has_writers
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
    numbered = (process.rpartition(".") for process in known)
    pools = sorted({name for name, _, number in numbered if number.isdigit()} - {"server"})
    raise NotFound(f"no log of {target!r}", f"cluster {place.cluster}", f"Say all, {', '.join(pools)}, or a process id")


def last_lines(
    place: Place, processes: list[str], last: int, until: Mapping[str, Mark | None] = MappingProxyType({})
) -> list[LogLine]:
    """The last lines of all these processes together, in order of time; `until` says where a log ends."""
    return merge({process: _tail(place.log_file(process), last, until.get(process)) for process in processes}, last)


def _tail(path: str, last: int, until: Mark | None) -> list[str]:
    """The last lines of a log, of its older files too; what was written behind `until` is left out."""
    found: list[bytes] = []
    for fd, status in chain(path):
        with open(fd, "rb", buffering=0) as file:
            end = status.st_size
            if until is not None:
                if key_of(status) != until.file:
                    continue
                end, until = min(end, until.position), None
            found = joined(_end_of(file, last + 1 - len(found), end), found, fd)
        # The first may have begun in the file before; the last is what comes after the last line.
        if len(found) > last + 1:
            break
    if found and not found[-1]:
        found.pop()
    return [text_of(line) for line in found[-last:]] if last > 0 else []


def _end_of(file: io.RawIOBase, last: int, end: int) -> list[bytes]:
    """What is between the last line ends of the first `end` bytes, and behind the very last."""
    start = end
    data = b""
    while start > 0 and data.count(b"\n") <= last:
        step = min(READ_BYTES, start)
        start -= step
        file.seek(start)
        data = (file.read(step) or b"") + data
    return data.split(b"\n")[1 if start > 0 else 0 :]


def whole_log(path: str, since: float, until: Mark | None) -> Iterator[str]:
    """All lines of a log, of its older files too, the oldest first; what was written before `since` (Unix seconds) may
    be left out, what was written behind `until` is."""
    files = list(chain(path))
    rest = b""
    try:
        if until is not None:
            while files and key_of(files[0][1]) != until.file:
                os.close(files.pop(0)[0])
        for number, (fd, status) in reversed(list(enumerate(files))):
            end = status.st_size if until is None or number else min(status.st_size, until.position)
            if status.st_mtime < since:
                continue
            position = _before(fd, end, since)
            dated = position == 0
            while position < end:
                data = os.pread(fd, min(READ_BYTES, end - position), position)
                if not data:  # it was emptied meanwhile
                    break
                position += len(data)
                *lines, rest = (rest + data).split(b"\n")
                if not dated:
                    # The lines above the first entry here belong to one of before.
                    first = next((n for n, line in enumerate(lines) if STAMP.match(line)), None)
                    lines, dated = lines[first if first is not None else len(lines) :], first is not None
                yield from map(text_of, lines)
            if rest and has_writers(fd):
                yield text_of(rest)
                rest = b""
        if rest:
            yield text_of(rest)
    finally:
        for fd, _ in files:
            os.close(fd)


def _before(fd: int, end: int, since: float) -> int:
    """A place of the file before which all lines were written earlier than `since`."""
    begin = 0
    while end - begin > READ_BYTES:
        middle = (begin + end) // 2
        written = first_written(os.pread(fd, READ_BYTES, middle))
        # One that says no time tells nothing: then it is looked for further up.
        if written is not None and written < since - 1.0:
            begin = middle
        else:
            end = middle
    return begin


def text_of(line: bytes) -> str:
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
        self._open: dict[str, LogReader] = {}
        self._look_for_logs(from_end=True)

    def marks(self) -> dict[str, Mark | None]:
        """How far each log has been read."""
        return {process: log.mark for process, log in self._open.items()}

    def read(self) -> list[LogLine]:
        """The lines that have been finished since the last call."""
        self._look_for_logs(from_end=False)
        return [LogLine(process, text) for process, log in self._open.items() for text in self._read(process, log)]

    def _read(self, process: str, log: LogReader) -> Iterator[str]:
        if log.look() > self._behind_limit:
            skipped, _ = log.skip(READ_BYTES)
            where = self._place.log_file(process)
            yield f"({size(skipped)} of this log came too fast to be shown; they are in {where})"
        for line in log.read(READ_BYTES):
            yield text_of(line)

    def close(self) -> None:
        for log in self._open.values():
            log.close()
        self._open.clear()

    def _look_for_logs(self, *, from_end: bool) -> None:
        new = [process for process in logged_processes(self._place) if process not in self._open]
        for process in processes_of(self._target, new):
            self._open[process] = LogReader(self._place.log_file(process), from_end=from_end)
