"""§ The files of a log as one, and what is written to it from some point on, across any number of rotations.

A log is a chain of files: `<name>`, and as `<name>.1`, `.2`, … those that have been full. Files are known by inode, so
it does not matter how often they were renamed between two looks. A full file may still grow, by a child process that
has it open, and is read on as long as it has a name.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import zip_longest
from typing import NamedTuple

from primectl.control.rotation import has_writers

OLDER_READ = 3
"""Full files that are read on."""
OLDER_LOOKED_FOR = 101
LONGEST = 64 << 10
"""Bytes of a line; what is longer is handed on in pieces."""
COUNTED = 1 << 20
"""Bytes in which lines that are left out are counted."""
SLACK_S = 1.0
"""A file that was last written so long before the last look is none that came after it."""

READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW

Key = tuple[int, int]
"""Device and inode of a file."""


class Mark(NamedTuple):
    """A place in a log."""

    file: Key
    position: int


def chain(path: str) -> Iterator[tuple[int, os.stat_result]]:
    """The files of a log, the newest first, each once though they be renamed meanwhile. The caller closes them."""
    seen: set[Key] = set()
    missing = 0
    for number in range(OLDER_LOOKED_FOR):
        try:
            # No link: the folder may be one in which workers of other users make their files.
            fd = os.open(f"{path}.{number}" if number else path, READ)
        except OSError:
            # While files are renamed there is a gap, and it moves from the oldest to the newest.
            missing += 1
            if missing > 1:
                return
            continue
        missing = 0
        status = os.fstat(fd)
        if key_of(status) in seen:
            os.close(fd)
        else:
            seen.add(key_of(status))
            yield fd, status


def joined(older: list[bytes], newer: list[bytes], fd: int) -> list[bytes]:
    """What is between the line ends of a full file (`fd`) and of the file after it, as one.

    `older` ends with what stands behind its last line's end: nothing, or the beginning of a line, which goes on in the
    next file unless somebody still writes this one.
    """
    if not newer:
        return older
    if older[-1] and has_writers(fd):
        return older + newer
    return [*older[:-1], older[-1] + newer[0], *newer[1:]]


def key_of(status: os.stat_result) -> Key:
    return status.st_dev, status.st_ino


class _File:
    """One file of the chain."""

    def __init__(self, fd: int, key: Key) -> None:
        self.fd = fd
        self.key = key
        self.position = 0
        self.end = 0
        """Up to where it may be read in this look."""
        self.rest = b""
        """The beginning of a line."""

    @property
    def unread(self) -> int:
        return self.end - self.position

    def read(self, most: int) -> list[bytes]:
        """Whole lines of at most so many bytes."""
        data = os.pread(self.fd, min(most, self.unread), self.position)
        self.position += len(data)
        *lines, self.rest = (self.rest + data).split(b"\n")
        if len(self.rest) > LONGEST:
            lines.append(self.rest)
            self.rest = b""
        return lines


class LogReader:
    """One process's log. `behind` is how many bytes are unread, as of the last `look`."""

    def __init__(self, path: str, *, from_end: bool) -> None:
        """`from_end`: what is there already is not read."""
        self._path = path
        self._files: deque[_File] = deque()
        """The oldest first; the last is the one that has the log's name, as far as we know."""
        self.behind = 0
        self._looked_at = time.time() if from_end else 0.0
        if from_end:
            for fd, status in chain(path):
                newest = _File(fd, key_of(status))
                newest.position = status.st_size
                self._files.append(newest)
                break

    @property
    def mark(self) -> Mark | None:
        """Up to where it has been read; None before the log has a file."""
        return Mark(self._files[-1].key, self._files[-1].position) if self._files else None

    def look(self) -> int:
        """See what there is; how many bytes are unread now.

        Ends are noted from the newest file to the oldest: what stands in a newer one was written after what stood in an
        older one, so a reader that reads up to them, the oldest first, has each writer's lines in their order.
        """
        if not self._files or not _is(self._path, self._files[-1].key):
            now = time.time()
            self._find_newer()
            self._looked_at = now
        for file in reversed(self._files):
            file.end = os.fstat(file.fd).st_size
            if file.end < file.position:  # somebody has emptied it
                file.position, file.rest = 0, b""
        return self._count()

    def _find_newer(self) -> None:
        known = {file.key for file in self._files}
        found: deque[_File] = deque()
        for fd, status in chain(self._path):
            # One that we have, or that was full before we came: those behind it are older still.
            if key_of(status) in known or status.st_mtime < self._looked_at - SLACK_S:
                os.close(fd)
                break
            found.appendleft(_File(fd, key_of(status)))
        self._files += found

    def _count(self) -> int:
        self.behind = sum(file.unread for file in self._files)
        return self.behind

    def read(self, most: int) -> list[bytes]:
        """Whole lines of at most about so many bytes, up to where the last `look` has seen them."""
        lines: list[bytes] = []
        files = list(self._files)
        for file, newer in zip_longest(files, files[1:]):
            while file.unread > 0 and most > 0:
                before = file.position
                lines += file.read(most)
                most -= file.position - before
            if file.unread > 0:
                break
            if file.rest and newer is not None and newer.position == 0 < newer.end and not has_writers(file.fd):
                # Nobody ends that line there: its end is the beginning of the next file.
                newer.rest, file.rest = file.rest, b""
        self._count()
        return lines + self._let_go()

    def skip(self, leave: int) -> tuple[int, int]:
        """Leave out all but the last `leave` bytes; the bytes left out, and how many lines at least were in them."""
        out_bytes = out_lines = 0
        for file in self._files:
            out = min(file.unread, max(0, self.behind - out_bytes - leave))
            if out > 0:
                out_lines += os.pread(file.fd, min(out, COUNTED), file.position).count(b"\n")
                file.position += out
                file.rest = b""
                if os.pread(file.fd, 1, file.position - 1) != b"\n":  # the line that is cut there is left out too
                    end = os.pread(file.fd, min(LONGEST, file.unread), file.position).find(b"\n") + 1
                    file.position += end
                    out_lines += end > 0
                out_bytes += out
        self._count()
        return out_bytes, out_lines

    def _let_go(self) -> list[bytes]:
        """Close full files that are removed, and the oldest beyond a number; a line there that had no end comes out."""
        last_words: list[bytes] = []
        while len(self._files) > 1 and self._files[0].unread == 0:
            oldest = self._files[0]
            if os.fstat(oldest.fd).st_nlink and len(self._files) <= OLDER_READ + 1:
                break
            os.close(oldest.fd)
            last_words += [oldest.rest] if oldest.rest else []
            self._files.popleft()
        return last_words

    def close(self) -> None:
        while self._files:
            os.close(self._files.pop().fd)


def _is(path: str, key: Key) -> bool:
    with suppress(FileNotFoundError):
        return key_of(os.stat(path)) == key
    return False
