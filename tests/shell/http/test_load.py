"""The load client counts what it is there to count."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.shell.http.serving import echo, serving
from tests.support.load import Ask, closed, evenly, get, paced, post, primes

ROOT = Path(__file__).parents[3]
ASKS = [get("/a", b"GET /a 0"), Ask(b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 200, b"POST /p 3")]


@pytest.mark.parametrize("pipeline", [1, 7])
async def test_every_request_is_answered_and_checked(pipeline: int):
    async with serving(echo) as (url, connections):
        result = await closed(url, itertools.cycle(ASKS), connections=4, requests=200, pipeline=pipeline)
    assert (result.requests, result.wrong, result.failed, result.reconnects) == (200, 0, 0, 0)
    assert len(connections) == 4
    assert 0 < result.p50_ms <= result.p99_ms <= result.max_ms
    assert result.rate > 0


async def test_a_load_of_some_time_ends_with_everything_answered():
    async with serving(echo) as (url, _):
        result = await closed(url, itertools.cycle(ASKS), connections=2, seconds=0.05)
    assert result.requests > 0
    assert (result.wrong, result.failed) == (0, 0)


async def test_a_load_can_be_ended_from_outside():
    async with serving(echo) as (url, _):
        until = asyncio.Event()
        asyncio.get_running_loop().call_soon(until.set)
        result = await closed(url, itertools.cycle(ASKS), connections=2, until=until)
    assert result.failed == 0


async def test_wrong_answers_are_counted_and_shown():
    asks = [get("/a", b"something else"), get("/a", status=404), get("/a", b"GET /a 0")]
    async with serving(echo) as (url, _):
        result = await closed(url, asks, connections=1, seconds=10)
    assert (result.requests, result.wrong, result.failed) == (3, 2, 0)
    assert "something else" in result.reasons[0]


async def test_answers_that_are_borne_are_counted_apart():
    asks = [post("/p", b"abc", b"something else", frozenset({200})), post("/p", b"abc", b"POST /p 3")]
    async with serving(echo) as (url, _):
        result = await closed(url, asks, connections=1, seconds=10)
    assert (result.requests, result.wrong, result.borne, result.failed) == (2, 0, 1, 0)


async def test_a_server_that_hangs_up_is_connected_to_again():
    asks = [Ask(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 200, b"GET /a 0")] * 10
    async with serving(echo) as (url, connections):
        result = await closed(url, asks, connections=2, seconds=10)
    assert (result.requests, result.wrong, result.failed) == (10, 0, 0)
    assert len(connections) > 2


async def test_requests_without_an_answer_are_failed():
    async def cut(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")

    async with serving(cut) as (url, _):
        result = await closed(url, itertools.repeat(get("/a")), connections=1, requests=3)
    assert (result.requests, result.failed) == (0, 3)
    assert "without an answer" in result.reasons[0]


async def test_answers_that_are_not_framed_are_failed():
    async def odd(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nab")
        with suppress(ConnectionError):
            await reader.read()

    async with serving(odd) as (url, _):
        result = await closed(url, itertools.repeat(get("/a")), connections=1, requests=1)
    assert (result.requests, result.failed) == (0, 1)


async def test_nobody_there_is_failure_and_not_an_exception():
    result = await closed("http://127.0.0.1:1", ASKS, connections=1, seconds=0.01)
    assert result.requests == 0
    assert result.refused >= 1


async def test_a_paced_load_sends_what_is_due_and_no_more():
    async with serving(echo) as (url, _):
        result = await paced(url, itertools.cycle(ASKS), arrivals=evenly(1000, 0.1), connections=3)
    assert (result.requests, result.wrong, result.failed) == (100, 0, 0)


async def test_a_paced_load_that_is_late_catches_up():
    async with serving(echo) as (url, _):
        result = await paced(url, itertools.cycle(ASKS), arrivals=[0.0] * 1000, connections=3)
    assert (result.requests, result.wrong, result.failed) == (1000, 0, 0)


async def test_the_bare_server_knows_its_primes():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.bare_http", stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        result = await closed(f"http://127.0.0.1:{port}", primes(), connections=8, requests=2000, pipeline=2)
    finally:
        process.send_signal(signal.SIGTERM)
        status = await process.wait()
    assert (result.requests, result.wrong, result.failed) == (2000, 0, 0)
    assert status == 0
