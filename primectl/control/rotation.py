"""§ Log files that are full: `<name>` becomes `<name>.1`, that one `.2`, … as many as are kept."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
from contextlib import suppress
from datetime import datetime

from msgspec import Struct

STAMP = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", re.MULTILINE)
"""What an entry of a log begins with."""
HEAD_BYTES = 4096


class Limits(Struct, frozen=True):
    """When a log is rotated, by size in bytes or by the age of its first line, and how many older files are kept."""

    size: int
    age_s: float
    keep: int


def older(path: str, number: int) -> str:
    return f"{path}.{number}"


def make_room(path: str, keep: int) -> bool:
    """Have no file be called `.1`: those there are move on by one, the oldest goes.

    A file that somebody still writes (a child process has inherited it) stays where it is, and the one before it goes
    in its place. False if all are so written: then the oldest goes, and with it what is still written there.
    """
    free = next((number for number in range(1, keep + 1) if not os.path.exists(older(path, number))), None)
    spare = free or next((number for number in range(keep, 0, -1) if not is_written(older(path, number))), None)
    for number in range(spare or keep, 1, -1):
        with suppress(FileNotFoundError):
            os.replace(older(path, number - 1), older(path, number))
    return spare is not None


def is_written(path: str) -> bool:
    """Whether any process has the file open for writing. False where the file system cannot tell."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return has_writers(fd)
    finally:
        os.close(fd)


def has_writers(fd: int) -> bool:
    """The same of a file that is open for reading as `fd`; a write(2) that is under way counts."""
    try:
        # A lease (fcntl(2)) is granted for a file that nobody writes. Should somebody open it for that just now, the
        # kernel tells us, by default with a signal that kills.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False


def first_written(data: bytes) -> float | None:
    """The time (Unix seconds, whole ones) of the first line of a log that says one; None where none does."""
    found = STAMP.search(data)
    if found is None:
        return None
    try:
        # Not strptime: it imports a module of its own when it is first called, in each worker.
        return datetime.fromisoformat(f"{found[0][:19].decode()}+00:00").timestamp()
    except ValueError:
        return None


def open_log(path: str, flags: int = 0) -> int:
    """A descriptor that appends. Readable too: what a line's end is found by."""
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)


def is_same(fd: int, path: str) -> bool:
    """Whether `path` names the file that is open as `fd`."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def ends_whole(fd: int) -> bool:
    """Whether what is written so far ends with a line."""
    size = os.fstat(fd).st_size
    return size == 0 or os.pread(fd, 1, size - 1) == b"\n"
