"""§ How a running handler is stopped: `JobCancelled` is raised in it, wherever it is.

The watchdog sends a signal to the main thread. It interrupts the system call in which the handler waits (a sleep, a
read, a lock, a child's end), and Python runs `_on_signal` in the main thread, which raises if, and only if, it was code
of the cancelled job's handler that was interrupted. The stack tells: user code is entered by the functions below and by
no others, so a frame of theirs parts it from code of ours. Whoever calls them catches `JobCancelled`; so no moment
before or after the handler's own can be hit, and a signal that comes late finds another job, which is not cancelled.

SIGURG, since by default it is ignored: one that comes while a handler has put a function of its own in our place, or
before ours is there, does no harm.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine
from types import CodeType, FrameType
from typing import Any

from primectl.control.prints import Prints
from primectl.message import Job, JobCancelled
from primectl.worker.duty import Duty

SIGNAL = signal.SIGURG


def enter_handler(call: Callable[..., object], payload: object, job: Job) -> object:
    """Call a handler."""
    return call(payload, job)


def enter(call: Callable[..., object], *arguments: object) -> object:
    """Call anything else that is the user's."""
    return call(*arguments)


async def enter_awaiting(awaitable: Awaitable[object]) -> object:
    """Await what is the user's, within `drive`."""
    return await awaitable


def drive(runner: asyncio.Runner, coroutine: Coroutine[Any, Any, object]) -> object:
    """Run an event loop: its own code is ours, in which nothing is raised."""
    return runner.run(coroutine)


_IS_USERS: dict[CodeType, bool] = {
    enter_handler.__code__: True,
    enter.__code__: True,
    enter_awaiting.__code__: True,
    drive.__code__: False,
    Prints.write.__code__: False,  # a print is whole or not at all
}


def is_users(frame: FrameType | None) -> bool:
    """Whether this frame runs code of the handler, not of ours."""
    while frame is not None:
        told = _IS_USERS.get(frame.f_code)
        if told is not None:
            return told
        frame = frame.f_back
    return False


class Interrupter:
    """Made in the main thread, used by the watchdog while a job runs."""

    def __init__(self, duty: Duty) -> None:
        self._duty = duty
        self._main = threading.get_ident()
        signal.signal(SIGNAL, self._on_signal)

    def interrupt(self) -> None:
        signal.pthread_kill(self._main, SIGNAL)

    def _on_signal(self, _signal: int, frame: FrameType | None) -> None:
        job = self._duty.job
        if job is not None and job.cancelled and is_users(frame):
            raise JobCancelled(f"nobody waits for request {job.request_id} any more")
