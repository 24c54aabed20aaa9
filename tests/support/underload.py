"""Load that goes on while a test does something to the cluster."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self

from tests.support.load import Result, closed, primes


class Load:
    """Checked requests to the sample, from a thread of its own, until the end of the block."""

    def __init__(self, url: str) -> None:
        self.result = Result()
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._until = asyncio.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._until.set)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        self.result = self._loop.run_until_complete(closed(self._url, primes(), connections=8, until=self._until))

    def assert_flawless(self) -> None:
        assert self.result.requests > 0
        assert (self.result.failed, self.result.wrong) == (0, 0), self.result.reasons
