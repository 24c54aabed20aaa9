"""§ A process's own log file: one line an entry, bounded in size, nothing in a line that could forge another.

The file is also the process's stdout and stderr, so that prints of handlers and last words of the interpreter are
kept. Everybody appends with one write(2) a line or more, and takes no lock for it: a handler that is interrupted in the
middle of a print leaves nothing behind that could stop the others.

When a log is full, its file is renamed and the descriptors are turned to a new one, at a line's end: see `_turn`.
Processes that a handler has started have descriptors of their own, which go on in the old file; as long as they have
it open, it is not removed.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from primectl.control import rotation
from primectl.control.rotation import Limits

LOOKS = 20
"""For a line's end, each time that `tend` is called …"""
PATIENCE = 5
"""… and so many of these calls in all: C code that writes its buffer when it is full leaves lines cut all the time."""


def stamp(wall_s: float) -> str:
    """Unix seconds as "2026-01-01T12:00:00.123Z"."""
    whole = int(wall_s)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int((wall_s - whole) * 1000):03d}Z"


def printable(text: str) -> str:
    """The text with everything that is not printable, and every backslash, as an escape: always one line."""
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(
        char if char.isprintable() and char != "\\" else char.encode("unicode_escape").decode() for char in text
    )


_own: ProcessLog | None = None
"""The log of this process; a worker that was forked finds its zygote's here."""


def take_own(path: str, limits: Limits) -> ProcessLog:
    """Begin the log of this process, in place of the one that it has from its parent."""
    global _own
    _own = ProcessLog(path, limits, instead_of=_own)
    return _own


def reopen_own(*, rotate: bool) -> None:
    if _own is not None:
        _own.reopen(rotate=rotate)


def tend_own() -> None:
    if _own is not None:
        _own.tend()


class ProcessLog:
    """The log of this process; its lines may come from several threads, `tend` and `reopen` are for one.

    `dropped` counts lines that the file system refused (a full disk): a process never stops for its log. How many they
    were is the first thing that the log says when there is room again.
    """

    def __init__(
        self, path: str, limits: Limits, *, capture: bool = True, instead_of: ProcessLog | None = None
    ) -> None:
        """`capture`: make the file this process's stdout and stderr. `instead_of` is the log that a forked process has
        from its parent."""
        self._path = path
        self._limits = limits
        self._capture = capture
        self.dropped = 0
        self._unsaid = 0
        self._reason = ""
        self._torn = False
        """The file ends in the middle of a line that did not fit."""
        self._patience = PATIENCE
        self._stuck = False
        """It has been told that the files cannot be changed."""
        self._next = -1
        """The file to turn to."""
        try:
            fd = rotation.open_log(path)
        except OSError:
            # Nowhere to write (a full disk): all lines are counted as dropped, and `tend` tries again.
            fd = os.open("/dev/full", os.O_RDWR | os.O_CLOEXEC)
        # The number stays for good: it is turned to other files, so that no thread ever writes to a closed one.
        self._fd: int = fd if instead_of is None else instead_of._fd
        self._direct(fd)
        if fd != self._fd:
            os.close(fd)
        self._first_at = rotation.first_written(os.pread(self._fd, rotation.HEAD_BYTES, 0))

    def configure(self, limits: Limits) -> None:
        """Other bounds, from the next `tend` on."""
        self._limits = limits

    def _direct(self, fd: int) -> None:
        if fd != self._fd:
            os.dup2(fd, self._fd, inheritable=False)
        if self._capture:
            os.dup2(fd, 1)
            os.dup2(fd, 2)

    # --- lines --------------------------------------------------------------------------------------------------------

    def info(self, text: str) -> None:
        self._line("INFO", text)

    def warn(self, text: str) -> None:
        self._line("WARN", text)

    def error(self, text: str, detail: str = "") -> None:
        """`detail` may have several lines (a traceback): each is set off by a bar, so none passes for an entry."""
        more = "".join(f"  | {printable(line)}\n" for line in detail.splitlines())
        self.write(f"{stamp(time.time())} ERROR {printable(text)}\n{more}".encode())

    def _line(self, level: str, text: str) -> None:
        self.write(f"{stamp(time.time())} {level} {printable(text)}\n".encode())

    def write(self, data: bytes, fd: int = -1) -> None:
        """Whole lines, as they are; to the log, or to a descriptor of this process that is the log too."""
        said, self._unsaid = self._unsaid, 0
        head = self._confession(said) if said or self._torn else b""
        left = memoryview(head + data if head else data)
        whole = len(left)
        try:
            while left:
                left = left[os.write(self._fd if fd < 0 else fd, left) :]
        except OSError as error:
            written = whole - len(left)
            if written < len(head):
                self._unsaid += said
            self._lost(bytes(left[max(0, len(head) - written) :]).count(b"\n"), error)
            self._torn = self._torn if not written else (head + data)[written - 1 : written] != b"\n"
        else:
            if head:
                self._torn = False

    def _lost(self, lines: int, error: OSError) -> None:
        self.dropped += lines
        self._unsaid += lines
        self._reason = error.strerror or str(error)

    def _confession(self, said: int) -> bytes:
        end = "\n" if self._torn else ""
        lines = "1 line of this log was" if said == 1 else f"{said} lines of this log were"
        told = f"{stamp(time.time())} WARN {lines} dropped: {self._reason}\n" if said else ""
        return f"{end}{told}".encode()

    # --- files --------------------------------------------------------------------------------------------------------

    def tend(self) -> None:
        """To be called now and then (each second or so): says what was dropped, and rotates when it is time."""
        if self._unsaid:
            self.write(b"")
        # A log that was removed, or renamed by somebody else, is begun anew.
        self._change_files(rotate=self._next < 0 and self._is_due(), reopen=not os.path.exists(self._path))

    def reopen(self, *, rotate: bool = False) -> None:
        """Go on in the file that has the log's name now, if that is another one; with `rotate`, begin a new one."""
        self._change_files(rotate=rotate, reopen=True)

    def _change_files(self, *, rotate: bool, reopen: bool) -> None:
        try:
            if self._next < 0 and (rotate or reopen):
                if not rotation.is_same(self._fd, self._path):
                    self._next = rotation.open_log(self._path)
                elif rotate:
                    self._rename()
            self._turn()
        except OSError as error:
            # What is written still goes where it went, and the next `tend` tries again.
            if not self._stuck:
                self.warn(f"this log cannot be rotated: {error.strerror}")
            self._stuck = True

    def _is_due(self) -> bool:
        size = os.fstat(self._fd).st_size
        if not size:
            return False
        now = time.time()
        if self._first_at is None:
            self._first_at = now
        return size >= self._limits.size or now - self._first_at >= self._limits.age_s

    def _rename(self) -> None:
        if not os.fstat(self._fd).st_size:
            return
        if not rotation.make_room(self._path, self._limits.keep):
            self.warn("an older file of this log was removed although a child process still wrote it")
        first = rotation.older(self._path, 1)
        os.replace(self._path, first)
        try:
            self._next = rotation.open_log(self._path, os.O_EXCL)
        except OSError:
            os.replace(first, self._path)
            raise

    def _turn(self) -> None:
        """Turn all descriptors to the next file, at a line's end.

        C code and child processes may write a line in pieces. A child ends its line in the old file. Of a line of our
        own that finds no end for long, or is begun in the very moment, the beginning stays there and the rest comes
        first in the new one: who reads the files one after the other, as everybody does here, has it whole.
        """
        if self._next < 0:
            return
        if not any(rotation.ends_whole(self._fd) for _ in range(LOOKS)) and self._patience > 0:
            self._patience -= 1
            return
        self._direct(self._next)
        os.close(self._next)
        self._next = -1
        self._stuck = False
        self._patience = PATIENCE
        self._first_at = rotation.first_written(os.pread(self._fd, rotation.HEAD_BYTES, 0))

    def close(self) -> None:
        """Let go of the file; the process's stdout and stderr keep it."""
        if self._next >= 0:
            os.close(self._next)
        with suppress(OSError):
            os.close(self._fd)
