"""§ Whole lines at the end of a file that several processes share, bounded: when it is full it becomes `<name>.1`."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

MODE = 0o600
LIMIT = 8 << 20
BYTES_A_TICK = 1 << 20
"""What is written at most between two `tick`s: a flood of lines must not hold up the caller."""


class Appender:
    """`dropped` counts the lines that were not written, `trouble` says why the last was not (a full disk)."""

    def __init__(self, path: str, limit: int = LIMIT) -> None:
        self._path = Path(path)
        self._limit = limit
        self._room = BYTES_A_TICK
        self.dropped = 0
        self.trouble = ""

    def add(self, line: bytes) -> bool:
        """Write one line. False if it was dropped."""
        self._room -= len(line)
        if self._room < 0:
            return self.drop("too many at once")
        try:
            self._write(line)
        except OSError as error:
            return self.drop(error.strerror or str(error))
        return True

    def drop(self, why: str) -> bool:
        """A line that cannot be made is dropped, too; False, as `add` says it."""
        self.trouble = why
        self.dropped += 1
        return False

    def tick(self) -> None:
        """To be called now and then (20 times a second or so)."""
        self._room = BYTES_A_TICK

    def _write(self, line: bytes) -> None:
        while True:
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
            try:
                # Held for one write; whoever renames the file has it too, so nobody appends to one that was renamed.
                fcntl.flock(fd, fcntl.LOCK_EX)
                status = os.fstat(fd)
                if not self._is_current(status.st_ino):
                    continue
                if status.st_size and status.st_size + len(line) > self._limit:
                    self._path.replace(f"{self._path}.1")
                    continue
                view = memoryview(line)
                while view:
                    view = view[os.write(fd, view) :]
                return
            finally:
                os.close(fd)

    def _is_current(self, inode: int) -> bool:
        try:
            return self._path.stat().st_ino == inode
        except FileNotFoundError:
            return False
