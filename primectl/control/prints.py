"""§ stdout and stderr of a process of the cluster: prints reach the log as whole lines, and never fail.

Python's own streams hand on a print in pieces when several threads print at once, and raise what the file system says:
a handler would fail because a disk is full. Here each thread's line is kept until it is whole, and is one write.
"""

from __future__ import annotations

import atexit
import io
import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from primectl.control.log import ProcessLog

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LONGEST = 8192
"""Characters of a line without an end that are kept; more is handed on as it is."""


class _Descriptor(io.RawIOBase):
    """File descriptor 1 or 2. Until there is a log to count in, what cannot be written is dropped."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.log: ProcessLog | None = None

    def fileno(self) -> int:
        return self._fd

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        whole = bytes(data)
        if self.log is not None:
            self.log.write(whole, self._fd)
        else:
            with suppress(OSError):
                os.write(self._fd, whole)
        return len(whole)


class Prints(io.TextIOWrapper):
    """A text stream whose lines come from one thread each. It has no lock: who is interrupted in it holds up nobody.

    The buffer of its base is for those who write bytes; text passes by it, since threads that share it may have their
    lines written by each other, and then in another order.
    """

    def __init__(self, fd: int) -> None:
        self.descriptor = _Descriptor(fd)
        super().__init__(
            io.BufferedWriter(self.descriptor), encoding="utf-8", errors="backslashreplace", line_buffering=True
        )
        self._held: dict[int, str] = {}
        """The beginning of a line, by thread."""

    def write(self, text: str, /) -> int:
        thread = threading.get_ident()
        whole, newline, rest = (self._held.get(thread, "") + text).rpartition("\n")
        self._held.pop(thread, None)
        if len(rest) > LONGEST:
            self._pass_on(f"{whole}{newline}{rest}")
        else:
            if rest:
                self._held[thread] = rest
            if newline:
                self._pass_on(f"{whole}\n")
        return len(text)

    def _pass_on(self, text: str) -> None:
        self.flush()
        self.descriptor.write(text.encode("utf-8", "backslashreplace"))

    def finish(self) -> None:
        """Hand on the lines that were not finished, before the process ends."""
        while self._held:
            self._pass_on(f"{self._held.popitem()[1]}\n")
        self.flush()


def install() -> None:
    """Make `sys.stdout` and `sys.stderr` such streams, whoever holds them already keeps those he has."""
    for name, fd in (("stdout", 1), ("stderr", 2)):
        if not isinstance(getattr(sys, name), Prints):
            getattr(sys, name).flush()
            setattr(sys, name, Prints(fd))
            atexit.register(getattr(sys, name).finish)


def belong_to(log: ProcessLog) -> None:
    """Count in this log what cannot be written. A forked process calls it with its own."""
    install()
    for stream in (sys.stdout, sys.stderr):
        cast(Prints, stream).descriptor.log = log


def finish() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Prints):
            stream.finish()
