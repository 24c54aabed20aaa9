"""Which frames are the handler's: only in those may anything be raised."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

from primectl.message import Job
from primectl.wire.job import first_job
from primectl.worker.interrupt import drive, enter, enter_awaiting, enter_handler, is_users

JOB = Job(first_job(1, 1), "1", "compute", "compute.1", 1, 1e9)


def here(*_: object) -> bool:
    return is_users(sys._getframe())


def deep(levels: int) -> bool:
    return deep(levels - 1) if levels else here()


def test_code_that_nobody_entered_is_ours():
    assert not here()
    assert not is_users(None)


def test_a_handler_and_all_that_it_calls_is_users():
    assert enter_handler(here, None, JOB)
    assert enter_handler(lambda payload, job: deep(50), None, JOB)
    assert enter(here)
    assert enter(max, [1, 2], [3]) == [3], "with whatever arguments"


def test_a_generator_is_users_while_it_runs():
    def items() -> Iterator[bool]:
        yield here()

    assert enter(items().__next__)


def test_an_event_loop_is_ours_and_what_it_awaits_is_users():
    seen: list[bool] = []

    async def handler() -> bool:
        asyncio.get_running_loop().call_soon(lambda: seen.append(here()))
        await asyncio.sleep(0)
        return here()

    with asyncio.Runner() as runner:
        assert drive(runner, enter_awaiting(handler()))
    assert seen == [False]
