"""Steps are sent to servers that answer, are slow, die, or are not there."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import structs

from primectl.errors import ConfigError
from primectl.journal.brake import Figures, parse
from primectl.journal.sender import CUT_OFF, STOPPED, Ended, Lag, Progress, Settings, Target, send
from primectl.journal.steps import Outcome, Plan, Step
from tests.shell.http.serving import echo, serving
from tests.support.replaying import a_plan

SETTINGS = Settings(run="0badcafe")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: 77\r\n\r\nab"


class Run:
    """One replay and what it told."""

    def __init__(self, plan: Plan, url: str, settings: Settings = SETTINGS, look: Callable[[], Figures] | None = None):
        self.stop = asyncio.Event()
        self.outcomes: list[Outcome] = []
        self.told: list[Progress] = []
        self.on_outcome: Callable[[Outcome], None] = self.outcomes.append
        self._heard = asyncio.Event()
        self._args = plan, Target(url), settings
        self._look = look

    async def __call__(self) -> Ended:
        return await send(
            *self._args,
            self._outcome,
            self.stop,
            on_progress=self._progress,
            look=self._look,
        )

    async def until(self, fits: Callable[[], bool]) -> None:
        """Wait until what was told fits."""
        while not fits():
            self._heard.clear()
            await self._heard.wait()

    def _outcome(self, step: Step, outcome: Outcome) -> None:
        self.on_outcome(outcome)
        self._heard.set()

    def _progress(self, progress: Progress) -> None:
        self.told.append(progress)
        self._heard.set()

    @property
    def numbers(self) -> list[int]:
        return [outcome.number for outcome in self.outcomes]


async def answering(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(OK)


class Held:
    """A server that answers nothing before it is told to; `most` is how many requests were open at once."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.arrived = asyncio.Semaphore(0)
        self.open = self.most = 0

    async def __call__(self, _: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            self.open += 1
            self.most = max(self.most, self.open)
            self.arrived.release()
            await self.may_answer.wait()
            self.open -= 1
            writer.write(OK)


@contextmanager
def a_server_process() -> Iterator[tuple[str, int]]:
    """A server in a process of its own; yields its URL and pid."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.bare_http"], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )
    try:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}", server.pid
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_every_step_is_sent_as_it_is_with_host_length_and_mark_and_has_its_outcome():
    heads: list[bytes] = []

    async def listening(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        assert await reader.readexactly(5) == b"hello"
        writer.write(OK)

    async with serving(listening) as (url, _):
        run = Run(a_plan([0.0], "POST", "/p?q", b"hello"), url)
        ended = await run()
    assert heads == [
        f"POST /p?q HTTP/1.1\r\nhost: {url.removeprefix('http://')}\r\nx-step: 0\r\n"
        "x-primectl-replay: 0badcafe/0000000000000000\r\ncontent-length: 5\r\n\r\n".encode()
    ]
    (outcome,) = run.outcomes
    assert (outcome.number, outcome.status, outcome.body, outcome.error) == (0, 200, b"ab", "")
    assert outcome.request_id == "77"
    assert 0.0 <= outcome.due_s <= outcome.sent_s <= ended.seconds
    assert (ended.reason, ended.not_sent) == ("", 0)


async def test_a_plan_without_steps_is_over_at_once():
    run = Run(Plan(), f"http://127.0.0.1:{free_port()}")
    ended = await run()
    assert (ended.reason, ended.not_sent, ended.lag, run.outcomes) == ("", 0, Lag(), [])


async def test_everything_goes_out_over_as_many_connections_as_may_be_open():
    async with serving(echo) as (url, connections):
        run = Run(a_plan([0.0] * 500), url, structs.replace(SETTINGS, in_flight=4))
        ended = await run()
    assert sorted(run.numbers) == list(range(500))
    assert {outcome.status for outcome in run.outcomes} == {200}
    assert len(connections) == 4
    assert (ended.reason, ended.not_sent, ended.lag) == ("", 0, Lag())
    assert run.told[-1].sent == run.told[-1].total == 500
    assert (run.told[-1].open, run.told[-1].waiting) == (0, 0)


async def test_no_step_goes_out_before_it_is_due_and_lag_is_what_it_was_late():
    async with serving(echo) as (url, _):
        run = Run(a_plan([0.0, 0.03, 0.03, 0.05]), url)
        ended = await run()
    assert run.numbers[0] == 0
    for outcome in run.outcomes:
        assert outcome.sent_s >= outcome.due_s - 0.001
    longest = max(outcome.sent_s - outcome.due_s for outcome in run.outcomes)
    assert ended.lag.max_ms == pytest.approx(max(0.0, longest) * 1000, abs=0.001)
    assert ended.lag.p50_ms <= ended.lag.p99_ms <= ended.lag.max_ms
    assert ended.seconds >= 0.05


async def test_a_slow_target_makes_steps_wait_and_none_is_dropped():
    held = Held()
    async with serving(held) as (url, _):
        run = Run(a_plan([0.0] * 5 + [0.001] * 5), url, structs.replace(SETTINGS, in_flight=3))
        running = asyncio.ensure_future(run())
        for _ in range(3):
            await held.arrived.acquire()
        await run.until(lambda: bool(run.told) and run.told[-1].waiting == 7)
        assert (run.told[-1].sent, run.told[-1].open) == (3, 3)
        assert run.told[-1].lag_ms > 0
        assert run.outcomes == []
        held.may_answer.set()
        ended = await running
    assert held.most == 3
    assert sorted(run.numbers) == list(range(10))
    assert ended.lag.max_ms >= run.told[0].lag_ms
    assert ended.not_sent == 0


async def test_a_target_that_is_not_there_is_given_up_after_a_few_tries():
    run = Run(a_plan([0.0] * 1000), f"http://127.0.0.1:{free_port()}")
    ended = await run()
    assert ended.reason == "the target cannot be reached: connection refused"
    assert ended.not_sent == 1000 - len(run.outcomes)
    assert 5 <= len(run.outcomes) <= 64
    assert {(outcome.error, outcome.unsent) for outcome in run.outcomes} == {("connection refused", True)}


async def test_a_socket_that_is_not_there_is_a_target_that_is_not_there(tmp_path: Path):
    run = Run(a_plan([0.01 * number for number in range(100)]), f"unix:{tmp_path}/none")
    ended = await run()
    assert ended.reason == "the target cannot be reached: no such file or directory"
    assert (ended.not_sent, run.numbers) == (95, [0, 1, 2, 3, 4])


async def test_a_target_that_dies_amid_the_run_stops_it_after_twenty_without_an_answer():
    dead = False

    async def dying(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal dead
        for _ in range(25):
            await reader.readuntil(b"\r\n\r\n")
            if dead:
                return
            writer.write(OK)
        dead = True

    async with serving(dying) as (url, _):
        run = Run(a_plan([0.0] * 300, "POST"), url, structs.replace(SETTINGS, in_flight=2))
        ended = await run()
    assert ended.reason.startswith("the target does not answer: 20 in a row, the last one: the server closed")
    failed = [outcome for outcome in run.outcomes if outcome.error]
    assert not any(outcome.unsent for outcome in failed)
    assert 20 <= len(failed) <= 21
    assert len(run.outcomes) - len(failed) >= 25
    assert ended.not_sent == 300 - len(run.outcomes)


async def test_a_target_that_is_killed_amid_the_run_stops_it_and_what_was_not_sent_is_told():
    with a_server_process() as (url, pid):
        run = Run(a_plan([0.001 * number for number in range(30_000)], path="/is_prime?possible_prime=7"), url)
        running = asyncio.ensure_future(run())
        await run.until(lambda: len(run.outcomes) >= 100)
        os.kill(pid, signal.SIGKILL)
        ended = await running
    assert ended.reason == "the target does not answer: 20 in a row, the last one: connection refused"
    answered = [outcome for outcome in run.outcomes if not outcome.error]
    assert len(answered) >= 100
    assert {outcome.status for outcome in answered} == {200}
    assert ended.not_sent == 30_000 - len(run.outcomes) > 0


async def test_a_target_that_hangs_amid_the_run_is_never_asked_more_at_once_than_may_be_and_stops_it():
    with a_server_process() as (url, pid):
        settings = structs.replace(SETTINGS, in_flight=4, timeout_s=0.2)
        run = Run(
            a_plan([0.001 * number for number in range(30_000)], path="/is_prime?possible_prime=7"), url, settings
        )
        running = asyncio.ensure_future(run())
        await run.until(lambda: len(run.outcomes) >= 100)
        os.kill(pid, signal.SIGSTOP)
        ended = await running
    assert ended.reason == "the target does not answer: 20 in a row, the last one: no answer within 0.2 s"
    assert max(progress.open for progress in run.told) <= 4
    assert ended.not_sent == 30_000 - len(run.outcomes) > 0
    assert ended.lag.max_ms > 0


async def test_stopping_sends_no_more_and_waits_for_what_is_open():
    held = Held()
    async with serving(held) as (url, _):
        run = Run(a_plan([0.0] * 5), url, structs.replace(SETTINGS, in_flight=2))
        running = asyncio.ensure_future(run())
        for _ in range(2):
            await held.arrived.acquire()
        run.stop.set()
        await asyncio.sleep(0)
        held.may_answer.set()
        ended = await running
    assert (ended.reason, ended.not_sent) == (STOPPED, 3)
    assert [outcome.status for outcome in run.outcomes] == [200, 200]


async def test_what_is_still_open_after_the_grace_is_cut_and_has_failed():
    held = Held()
    async with serving(held) as (url, _):
        run = Run(a_plan([0.0] * 5), url, structs.replace(SETTINGS, in_flight=2, grace_s=0.01))
        running = asyncio.ensure_future(run())
        for _ in range(2):
            await held.arrived.acquire()
        run.stop.set()
        ended = await running
        held.may_answer.set()
    assert (ended.reason, ended.not_sent) == (STOPPED, 3)
    assert [(outcome.status, outcome.error) for outcome in run.outcomes] == [(0, CUT_OFF), (0, CUT_OFF)]


async def test_a_replay_that_is_cancelled_leaves_no_connection_and_tells_what_was_open():
    held = Held()
    async with serving(held) as (url, _):
        run = Run(a_plan([0.0, 3600.0]), url)
        running = asyncio.ensure_future(run())
        await held.arrived.acquire()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        held.may_answer.set()
    assert [outcome.error for outcome in run.outcomes] == ["the connection was closed"]


async def test_a_stop_before_anything_is_due_ends_the_wait_of_days():
    async with serving(answering) as (url, _):
        run = Run(a_plan([0.0, 3 * 86_400.0]), url)
        running = asyncio.ensure_future(run())
        await run.until(lambda: bool(run.outcomes))
        run.stop.set()
        ended = await running
    assert (ended.reason, ended.not_sent, run.numbers) == (STOPPED, 1, [0])


async def test_a_brake_on_errors_stops_it():
    async def failing(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK.replace(b"200 OK", b"500 No"))

    async with serving(failing) as (url, _):
        run = Run(a_plan([0.0] * 200), url, structs.replace(SETTINGS, in_flight=1, brakes=(parse("errors>50%"),)))
        ended = await run()
    assert ended.reason == "errors>50%: it is 100% of the last 20"
    assert (len(run.outcomes), ended.not_sent) == (20, 180)


async def test_a_brake_on_the_queue_stops_it_by_what_the_cluster_says():
    figures = iter([Figures({"a": 3}), Figures({"a": 60})])
    async with serving(answering) as (url, _):
        run = Run(
            a_plan([0.0, 3600.0]),
            url,
            structs.replace(SETTINGS, brakes=(parse("queue>50"),)),
            look=lambda: next(figures),
        )
        ended = await run()
    assert (ended.reason, ended.not_sent) == ("queue>50: it is 60", 1)


async def test_a_step_that_cannot_be_sent_has_failed_and_the_others_go_on():
    plan = a_plan([0.0] * 3)
    bad = structs.replace(plan.steps[1], outgoing=structs.replace(plan.steps[1].outgoing, target="/a b"))
    steps: tuple[Step, ...] = (plan.steps[0], bad, plan.steps[2])
    async with serving(answering) as (url, _):
        run = Run(structs.replace(plan, steps=steps), url)
        ended = await run()
    assert {outcome.number: outcome.status for outcome in run.outcomes} == {0: 200, 1: 0, 2: 200}
    (failed,) = (outcome for outcome in run.outcomes if outcome.error)
    assert failed.error.startswith('cannot be sent: "/a b" is no request target')
    assert ended.not_sent == 0


async def test_a_run_of_steps_that_cannot_be_sent_ends_too():
    plan = a_plan([0.0] * 200, "GET", "/a b")
    run = Run(plan, f"http://127.0.0.1:{free_port()}")
    ended = await run()
    assert (len(run.outcomes), ended.reason, ended.not_sent) == (200, "", 0)


@pytest.mark.parametrize("steps", [1, 100])
async def test_what_a_callback_raises_ends_the_replay(steps: int):
    def broken(outcome: Outcome) -> None:
        raise ZeroDivisionError

    async with serving(answering) as (url, _):
        run = Run(a_plan([0.0] * steps), url)
        run.on_outcome = broken
        with pytest.raises(ZeroDivisionError):
            await run()


async def test_a_target_that_nobody_could_ask_is_refused():
    with pytest.raises(ConfigError, match='expected "http://host:port"'):
        await Run(a_plan([0.0]), "ftp://h")()
