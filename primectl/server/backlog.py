"""§ What clients have not read yet, of the whole server: so much in memory, large bodies beyond it in a file.

The file has no name: its space returns when the server ends, however it ends. It is used in blocks, which a body that
is put there takes as it needs them and gives back when the last reference to it goes.
"""

from __future__ import annotations

import os
import tempfile

from primectl.http.connection import Piece

MEMORY = 32 << 20
"""Bytes of unread answers in memory beyond which large bodies go to the file."""
MOST_MEMORY = 128 << 20
"""Bytes in memory beyond which the client that has read nothing for the longest time is cut off."""
DISK = 1 << 30
"""Bytes in the file beyond which nothing more goes there."""
BLOCK = 256 << 10


class Stored:
    """A body in the file, to be read piece by piece."""

    __slots__ = ("_backlog", "_blocks", "_length")

    def __init__(self, backlog: Backlog, blocks: list[int], length: int) -> None:
        self._backlog = backlog
        self._blocks = blocks
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._length)
        return b"".join(
            self._backlog.read(self._blocks[index], max(start - index * BLOCK, 0), min(stop - index * BLOCK, BLOCK))
            for index in range(start // BLOCK, -(-stop // BLOCK))
        )

    def __del__(self) -> None:
        self._backlog.give_back(self._blocks)


class Backlog:
    """`folder` is for the file, which is made when it is first needed. `memory` is what the shell has booked."""

    def __init__(self, folder: str, *, memory: int = MEMORY, most: int = MOST_MEMORY, disk: int = DISK) -> None:
        self._folder = folder
        self._budget = memory
        self._most = most
        self._blocks_most = disk // BLOCK
        self._fd = -1
        self._free: list[int] = []
        self._made = 0
        """Blocks that the file has."""
        self._rests = False
        self.memory = 0
        self.stored_answers = 0
        self.failed = 0
        """Bodies that could not be put into the file: no room in it, or on the disk."""

    @property
    def disk(self) -> int:
        """Bytes of the file that are in use."""
        return (self._made - len(self._free)) * BLOCK

    @property
    def over_budget(self) -> bool:
        """Large bodies should go to the file."""
        return self.memory > self._budget and not self._rests

    @property
    def full(self) -> bool:
        """Somebody has to be cut off."""
        return self.memory > self._most

    def store(self, body: Piece) -> Stored | None:
        """Put a body into the file; None if there is no room for it."""
        size = len(body)
        count = -(-size // BLOCK)
        if self._made - len(self._free) + count > self._blocks_most:
            self._fail()
            return None
        blocks: list[int] = []
        try:
            if self._fd < 0:
                with tempfile.TemporaryFile(dir=self._folder) as file:
                    self._fd = os.dup(file.fileno())
            for start in range(0, size, BLOCK):
                blocks.append(self._block())
                self._write(blocks[-1], memoryview(body[start : start + BLOCK]))
        except OSError:
            self.give_back(blocks)
            self._fail()
            return None
        self.stored_answers += 1
        return Stored(self, blocks, size)

    def tick(self) -> None:
        """To be called ten times a second or so: after a failure nothing is tried before that."""
        self._rests = False

    def read(self, block: int, start: int, stop: int) -> bytes:
        """Bytes of a block that is in use."""
        parts: list[bytes] = []
        while start < stop:
            part = os.pread(self._fd, stop - start, block * BLOCK + start)
            if not part:
                raise OSError(f"the file of unread answers ends before byte {block * BLOCK + start}")
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def give_back(self, blocks: list[int]) -> None:
        self._free += blocks
        if self._free and len(self._free) == self._made:
            self._free.clear()
            self._made = 0
            if self._fd >= 0:
                os.ftruncate(self._fd, 0)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _fail(self) -> None:
        self.failed += 1
        self._rests = True

    def _block(self) -> int:
        if self._free:
            return self._free.pop()
        self._made += 1
        return self._made - 1

    def _write(self, block: int, data: memoryview) -> None:
        at = block * BLOCK
        while data:
            written = os.pwrite(self._fd, data, at)
            data = data[written:]
            at += written
