"""Which log files go when all of them together are too large, or belong to nobody any more and are old."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec import Struct


class LogFile(Struct, frozen=True):
    """A file in the folder of logs; `older` is its number, 0 for the one that is written now. `written_at` as Unix
    seconds."""

    process: str
    older: int
    size: int
    written_at: float


class Sweep(Struct, frozen=True):
    """Files to be removed; `rotate` is the process whose log must be rotated to make room, "" for none."""

    remove: tuple[LogFile, ...] = ()
    rotate: str = ""


def sweep(files: Iterable[LogFile], present: Collection[str], total: int, forgotten_before: float) -> Sweep:
    """`present` are the processes that the cluster has; the logs of others go once they are older than
    `forgotten_before`, and all that nobody writes any more goes, the oldest first, while there is more than `total`."""
    kept: list[LogFile] = []
    removed: list[LogFile] = []
    for file in sorted(files, key=lambda file: file.written_at):
        forgotten = file.process not in present and file.written_at < forgotten_before
        (removed if forgotten else kept).append(file)
    over = sum(file.size for file in kept) - total
    for file in kept:
        if over <= 0:
            break
        if file.older or file.process not in present:
            removed.append(file)
            over -= file.size
    largest = max((file for file in kept if not file.older and file.process in present), key=_size, default=None)
    return Sweep(tuple(removed), largest.process if largest is not None and over > 0 and largest.size else "")


def _size(file: LogFile) -> int:
    return file.size
