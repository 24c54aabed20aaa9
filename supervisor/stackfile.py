"""§ The stacks of a process that cannot be asked: it gets a signal, at which faulthandler writes them to its file.

The signal ends whoever does not catch it, so it is sent only where the kernel says that it is caught.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress

from primectl.config.topology import Place
from primectl.control import stacks
from supervisor.dumps import ASKED, NONE, SIGNALLED, TEXT_BYTES
from supervisor.events import SUPERVISOR, DumpTaken, Event, TakeDump
from supervisor.spawn import Spawner

LOOK_S = 0.02
"""Between two looks at the file; it is whole when it has not grown from one to the next."""
LOOKS = 50


class StackFiles:
    """Takes dumps; `emit` gets a `DumpTaken` for each."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, place: Place, spawner: Spawner, emit: Callable[[Event], None]
    ) -> None:
        self._loop = loop
        self._place = place
        self._spawner = spawner
        self._emit = emit

    def take(self, order: TakeDump) -> None:
        if order.process == SUPERVISOR:
            self._emit(DumpTaken(order.process, order.incarnation, stacks.stacks(), ASKED))
            return
        if not self._spawner.catches(order.process, order.incarnation, stacks.SIGNAL):
            self._fail(order, "it does not answer, and does not catch the signal that makes Python processes tell")
            return
        path = self._place.dump_file(order.process)
        # Only what comes now; the process writes at the end of the file, wherever that is. A file that is missing or
        # is refused to us stays so, and what is not written is told below.
        with suppress(OSError):
            os.truncate(path, 0)
        self._spawner.signal(order.process, order.incarnation, stacks.SIGNAL)
        self._loop.call_later(LOOK_S, self._look, order, path, 0, LOOKS)

    def _look(self, order: TakeDump, path: str, before: int, looks: int) -> None:
        try:
            size = os.stat(path).st_size
            if size and size == before:
                with open(path, "rb") as file:
                    text = file.read(TEXT_BYTES).decode("utf-8", "replace")
                os.truncate(path, 0)
                self._emit(DumpTaken(order.process, order.incarnation, text, SIGNALLED))
                return
        except OSError as error:
            self._fail(order, f"{path}: {error.strerror}")
            return
        if looks:
            self._loop.call_later(LOOK_S, self._look, order, path, size, looks - 1)
        else:
            self._fail(order, "it neither answers nor takes a signal: stopped, or hanging in the kernel")

    def _fail(self, order: TakeDump, why: str) -> None:
        self._emit(DumpTaken(order.process, order.incarnation, why, NONE))
