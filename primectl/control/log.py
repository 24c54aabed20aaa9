"""§ A process's own log file: one line an entry, bounded in size, nothing in a line that could forge another.

The file is also the process's stdout and stderr, so that prints of handlers and last words of the interpreter are
kept. At `limit_bytes` it becomes `<name>.1` and a new one is begun: a log takes at most twice the limit on disk.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

MODE = 0o600


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


class ProcessLog:
    """The log of this process; safe to use from several threads.

    `dropped` counts writes that the file system refused (a full disk): a process never stops for its log.
    """

    def __init__(self, path: str, limit_bytes: int, *, capture: bool = True) -> None:
        """`capture`: make the file this process's stdout and stderr."""
        self._path = Path(path)
        self._limit = limit_bytes
        self._capture = capture
        self._lock = threading.Lock()
        self.dropped = 0
        self._fd = -1
        self._open()

    def _open(self) -> None:
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        if self._capture:
            os.dup2(fd, 1)
            os.dup2(fd, 2)

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

    def write(self, data: bytes) -> None:
        """Whole lines, as they are."""
        with self._lock:
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(self._fd, view) :]
            except OSError:
                self.dropped += 1

    def rotate_if_large(self) -> None:
        """To be called now and then (each second or so)."""
        with self._lock:
            try:
                if os.fstat(self._fd).st_size >= self._limit:
                    self._path.replace(f"{self._path}.1")
                    self._open()
            except OSError:
                self.dropped += 1


def line_buffered() -> None:
    """Make prints of handlers appear in the log as they happen, whatever they print."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
