"""§ What a worker has begun to run, in a file of memory pages that outlives it, whatever ends it.

A proxy that has lost a worker reads there which of the jobs it held were not begun, and may go to others as if they had
never been dealt, whatever their method. A proxy that took over from another learns which of the jobs sent once more had
been begun before.

The file is mapped: a note costs two or three stores into the page cache, which survives SIGKILL (though not the host).
The worker's next life goes on in the same file; the job that the last one ended in is kept apart, as *broken*. While a
worker lives it holds a lock on its file: one that is only cut off may still begin what it was given.

    | magic | lives | broken × 16 | current | noted | (job id, begun at) × 4096 |        each 8 bytes, native order
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import time
from contextlib import suppress
from mmap import mmap

from primectl.control.notes import NONE, Begun
from primectl.wire.job import JobId

RING = 4096
"""Jobs that may run only once, of which it is known when they were begun: far more than a worker holds at a time."""
BROKEN = 16
"""Earlier lives of which it is known in which job they ended."""

_MAGIC = int.from_bytes(b"begun\0\0\1", "big")
_LIVES = 1
_BROKEN_AT = 2
_CURRENT = _BROKEN_AT + BROKEN
_NOTED = _CURRENT + 1
_RING_AT = _NOTED + 1
_WORDS = _RING_AT + 2 * RING
_SIZE = 8 * _WORDS
_FLOCK = "hhqqi4x"
"""struct flock (fcntl(2)) on 64-bit Linux: type, whence, start, length, pid."""


class BegunLog:
    """The notes of one worker. Raises OSError when its file cannot be made (no room, no permission)."""

    __slots__ = ("_fd", "_map", "_stamps", "_words")

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._map = self._mapped()
        except OSError:
            os.close(self._fd)
            raise
        whole = memoryview(self._map)
        self._words = whole.cast("Q")
        self._stamps = whole.cast("d")
        self._take_over()

    def _mapped(self) -> mmap:
        # A POSIX lock, since it stays with this process: what a handler forks does not hold it. Not waited for: an
        # earlier life that is not quite gone yet only means that the worker is taken for alive while that lasts.
        with suppress(BlockingIOError):
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Pages without room on the disk would end the worker with SIGBUS when they are first written.
        if os.fstat(self._fd).st_size != _SIZE:
            os.ftruncate(self._fd, 0)
            os.posix_fallocate(self._fd, 0, _SIZE)
        return mmap(self._fd, _SIZE)

    def _take_over(self) -> None:
        """Go on where an earlier life of this worker ended; notes of another boot of the host mean nothing."""
        words = self._words
        if words[0] == 0:  # a new file: pages that are not touched cost nothing
            words[0] = _MAGIC
        elif words[0] != _MAGIC or self._newest() > time.monotonic():
            words[1:] = memoryview(bytes(_SIZE - 8)).cast("Q")
            words[0] = _MAGIC
        elif words[_CURRENT]:
            words[_BROKEN_AT + words[_LIVES] % BROKEN] = words[_CURRENT]
            words[_CURRENT] = 0
        words[_LIVES] += 1

    def _newest(self) -> float:
        return self._stamps[_RING_AT + 2 * ((self._words[_NOTED] - 1) % RING) + 1]

    def begin(self, job: JobId, once: bool, now: float) -> None:
        """`job` is going to run at once; `once`: it may run only once."""
        words = self._words
        if once:
            noted = words[_NOTED]
            slot = _RING_AT + 2 * (noted % RING)
            words[slot] = job
            self._stamps[slot + 1] = now
            words[_NOTED] = noted + 1
        words[_CURRENT] = job

    def rest(self) -> None:
        """What was begun has ended, and what came of it is sent: if the worker goes now, nothing is lost with it."""
        self._words[_CURRENT] = 0

    def close(self) -> None:
        """The file stays, for the proxy and for the worker's next life."""
        self._words.release()
        self._stamps.release()
        self._map.close()
        os.close(self._fd)


def read_begun(path: str) -> Begun | None:
    """What a worker has noted; None where there is no such file, or it is no log of ours. The worker may be alive."""
    try:
        with open(path, "rb") as file:
            data = file.read(_SIZE)
            alive = _is_locked(file.fileno())
    except OSError:
        return None
    if len(data) != _SIZE:
        return None
    words = [JobId(word) for word in memoryview(data).cast("Q")]
    if words[0] != _MAGIC:
        return None
    complete_since = 0.0
    if words[_NOTED] > RING:
        complete_since = min(struct.unpack_from(f"{2 * RING}d", data, 8 * _RING_AT)[1::2])
    return Begun(
        current=words[_CURRENT],
        ids=frozenset(words[_RING_AT::2]) - {NONE},
        complete_since=complete_since,
        broken=frozenset(words[_BROKEN_AT:_CURRENT]) - {NONE},
        alive=alive,
    )


def last_life(path: str) -> tuple[int, JobId] | None:
    """Which life of a worker has noted last, counted from 1, and the job that it runs or ended in (NONE for none); None
    where it keeps no notes. A life that ends before it notes anything leaves those of the one before."""
    try:
        with open(path, "rb", buffering=0) as file:
            magic, lives, job = (
                int.from_bytes(os.pread(file.fileno(), 8, 8 * word), sys.byteorder) for word in (0, _LIVES, _CURRENT)
            )
    except OSError:
        return None
    return (lives, JobId(job)) if magic == _MAGIC else None


def running(path: str) -> JobId | None:
    """What a living worker runs by its notes, NONE for nothing; None where it keeps none."""
    noted = last_life(path)
    return None if noted is None else noted[1]


def _is_locked(fd: int) -> bool:
    """By another process. Asked, not tried: a lock of ours could be in the way of the worker's next life."""
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer: tuple[int, ...] = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    return answer[0] != fcntl.F_UNLCK
