"""Load over HTTP/1.1 that checks every answer and costs little, since it shares its cores with what it measures.

`closed` keeps every connection busy: a new request goes out when an answer has come (`pipeline` of them at once).
`paced` sends when a request is due whatever the answers do, and measures each from then, so that a stall shows in the
latencies of all that had to wait for it.

    python -m tests.support.load http://127.0.0.1:8002 --connections 64 --seconds 5
    python -m tests.support.load http://127.0.0.1:8002 --rate 2000 --seconds 5

Answers are framed by Content-Length, as the server under test does it; anything else counts as failed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
from array import array
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import uvloop

NO_BODY = frozenset({204, 304})
REASONS_KEPT = 5
ARRIVALS_A_TURN = 64
"""Requests that are overdue go out in such portions, with answers read in between."""
GRACE_S = 10.0
"""How long answers are waited for once no more requests go out."""


class Ask(NamedTuple):
    """One request as its bytes, and the answer that is right; a body of None is not looked at. A status among `bears`
    is not the answer that was hoped for, but no fault either."""

    raw: bytes
    status: int = 200
    body: bytes | None = None
    bears: frozenset[int] = frozenset()


@dataclass
class Result:
    """What came of it. `requests` were answered whole, `wrong` of them not as expected and `borne` of them not as hoped
    for (`Ask.bears`); `failed` were sent and got no answer; `refused` connections carried no request."""

    requests: int = 0
    wrong: int = 0
    borne: int = 0
    failed: int = 0
    refused: int = 0
    reconnects: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0
    reasons: list[str] = field(default_factory=list)
    """The first few of what was wrong or failed."""

    def note(self, reason: str) -> None:
        if len(self.reasons) < REASONS_KEPT:
            self.reasons.append(reason)


def get(target: str, body: bytes | None = None, status: int = 200, host: str = "localhost") -> Ask:
    return Ask(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), status, body)


def post(target: str, body: bytes, answer: bytes, bears: frozenset[int] = frozenset()) -> Ask:
    head = f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return Ask(head.encode() + body, 200, answer, bears)


def primes() -> Iterator[Ask]:
    """Endless small questions to the sample `prime`, half of them primes."""
    answers = [(n, n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))) for n in range(2000, 3000)]
    asks = [get(f"/is_prime?possible_prime={n}", str(n).encode() if prime else b"-1") for n, prime in answers]
    return itertools.cycle(asks)


class _Connection(asyncio.Protocol):
    """One keep-alive connection; `waiting` holds what was asked and when, in order."""

    def __init__(self, run: _Run) -> None:
        self.run = run
        self.waiting: deque[tuple[Ask, float]] = deque()
        self.rest = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def send(self, asks: list[tuple[Ask, float]]) -> None:
        assert self.transport is not None
        self.waiting.extend(asks)
        self.transport.write(asks[0][0].raw if len(asks) == 1 else b"".join([ask.raw for ask, _ in asks]))

    def data_received(self, data: bytes) -> None:
        if self.rest:
            data = self.rest + data
        now = perf_counter()
        pos, size = 0, len(data)
        waiting, run = self.waiting, self.run
        answered = 0
        while pos < size:
            end = data.find(b"\r\n\r\n", pos)
            if end < 0:
                break
            if not waiting:
                self._fail("an answer that nobody asked for")
                return
            head = data[pos:end].lower()
            status = int(head[9:12]) if head[:9] == b"http/1.1 " and head[9:12].isdigit() else 0
            at = head.find(b"\r\ncontent-length:")
            if at >= 0:
                stop = head.find(b"\r\n", at + 2)
                length = int(head[at + 17 : stop if stop >= 0 else len(head)])
            elif status in NO_BODY:
                length = 0
            else:
                self._fail(f"an answer without length: {bytes(head[:80])!r}")
                return
            ask, began = waiting[0]
            if ask.raw[:5] == b"HEAD ":
                length = 0
            start = end + 4
            if size - start < length:
                break
            pos = start + length
            waiting.popleft()
            answered += 1
            run.latencies.append(now - began)
            if status != ask.status or (ask.body is not None and data[start:pos] != ask.body):
                run.wrong(ask, status, data[start:pos])
            if b"\r\nconnection: close" in head:
                assert self.transport is not None
                self.rest = b""
                self.transport.close()
                run.answered(self, answered, now, closing=True)
                return
        self.rest = data[pos:]
        if answered:
            run.answered(self, answered, now, closing=False)

    def _fail(self, reason: str) -> None:
        self.run.result.note(reason)
        assert self.transport is not None
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.run.lost(self, str(exc) if exc else "the server closed the connection")


Connect = Callable[[Callable[[], asyncio.BaseProtocol]], Awaitable[tuple[asyncio.BaseTransport, asyncio.BaseProtocol]]]


class _Run:
    """What the connections of one load share."""

    def __init__(self, connect: Connect, asks: Iterable[Ask]) -> None:
        self.connect = connect
        self.asks = iter(asks)
        self.result = Result()
        self.latencies = array("d")
        self.connections: set[_Connection] = set()
        self.stopped = asyncio.Event()
        self.gone = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()
        self.over = False

    async def open(self) -> None:
        """One more connection, put to work; tried again when it is refused."""
        try:
            _, connection = await self.connect(lambda: _Connection(self))
        except OSError as error:
            self.result.refused += 1
            self.result.note(f"cannot connect: {error}")
            self.tasks.add(task := asyncio.ensure_future(self._again()))
            task.add_done_callback(self.tasks.discard)
            return
        assert isinstance(connection, _Connection)
        self.connections.add(connection)
        self.ready(connection)

    async def _again(self) -> None:
        """A server that is away must not be asked in a tight loop."""
        await asyncio.sleep(0.05)
        if not self.over:
            await self.open()

    def ready(self, connection: _Connection) -> None:
        """A new connection can be used."""

    def answered(self, connection: _Connection, number: int, now: float, *, closing: bool) -> None:
        """So many answers have come at once; `closing` if the connection ends with the last."""

    def lost(self, connection: _Connection, reason: str) -> None:
        self.connections.discard(connection)
        if connection.waiting:
            self.result.failed += len(connection.waiting)
            self.result.note(f"{len(connection.waiting)} without an answer: {reason}")
        if self.over:
            if not self.connections:
                self.gone.set()
            self.check_end()
            return
        self.result.reconnects += 1
        self.tasks.add(task := asyncio.ensure_future(self.open()))
        task.add_done_callback(self.tasks.discard)

    def wrong(self, ask: Ask, status: int, body: bytes) -> None:
        if status in ask.bears:
            self.result.borne += 1
            return
        self.result.wrong += 1
        self.result.note(f"{ask.raw[:60]!r} got {status} {body[:60]!r}, not {ask.status} {(ask.body or b'')[:60]!r}")

    def stop(self) -> None:
        """No more requests; what is open is waited for."""
        self.over = True
        self.check_end()

    def check_end(self) -> None:
        if self.over and not any(connection.waiting for connection in self.connections):
            self.stopped.set()

    async def finish(self, began: float) -> Result:
        """Wait for what is open, close everything, add up."""
        try:
            async with asyncio.timeout(GRACE_S):
                await self.stopped.wait()
        except TimeoutError:
            self.result.note(f"answers did not come within {GRACE_S:g} s of the end")
        seconds = perf_counter() - began
        self.over = True
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for connection in list(self.connections):
            assert connection.transport is not None
            connection.transport.abort()
        if self.connections:
            await self.gone.wait()
        result, ordered = self.result, sorted(self.latencies)
        result.requests = len(ordered)
        result.seconds = round(seconds, 3)
        result.rate = round(len(ordered) / seconds, 1) if seconds else 0.0
        if ordered:
            result.p50_ms, result.p99_ms, result.max_ms = (
                round(ordered[min(int(len(ordered) * part), len(ordered) - 1)] * 1000, 3) for part in (0.5, 0.99, 1.0)
            )
        return result


class _Closed(_Run):
    def __init__(self, connect: Connect, asks: Iterable[Ask], pipeline: int, total: int | None) -> None:
        super().__init__(connect, asks)
        self.pipeline = pipeline
        self.left = total

    def _more(self, connection: _Connection, number: int, now: float) -> None:
        if number == 1 and self.left is None and (ask := next(self.asks, None)) is not None:
            connection.send([(ask, now)])
            return
        if self.left is not None:
            number = min(number, self.left)
            self.left -= number
        batch = [(ask, now) for ask in itertools.islice(self.asks, number)]
        if batch:
            connection.send(batch)
        if self.left == 0 or len(batch) < number:
            self.stop()

    def ready(self, connection: _Connection) -> None:
        if not self.over:
            self._more(connection, self.pipeline, perf_counter())

    def answered(self, connection: _Connection, number: int, now: float, *, closing: bool) -> None:
        if self.over:
            if not connection.waiting:
                self.check_end()
        elif not closing:
            self._more(connection, number, now)


class _Paced(_Run):
    """Requests that fall due go to the connections in turn; with none there they wait, and their time runs."""

    def __init__(self, connect: Connect, asks: Iterable[Ask]) -> None:
        super().__init__(connect, asks)
        self.due: deque[tuple[Ask, float]] = deque()
        self.turn: deque[_Connection] = deque()

    def ready(self, connection: _Connection) -> None:
        self.turn.append(connection)
        self.send_due()

    def lost(self, connection: _Connection, reason: str) -> None:
        if connection in self.turn:
            self.turn.remove(connection)
        super().lost(connection, reason)

    def answered(self, connection: _Connection, number: int, now: float, *, closing: bool) -> None:
        if closing and connection in self.turn:
            self.turn.remove(connection)
        if self.over and not connection.waiting:
            self.check_end()

    def check_end(self) -> None:
        if not self.due:
            super().check_end()

    def send_due(self) -> None:
        while self.due and self.turn:
            connection = self.turn[0]
            self.turn.rotate(-1)
            connection.send([self.due.popleft()])

    async def pace(self, arrivals: Iterable[float], began: float) -> None:
        for arrival, ask in zip(arrivals, self.asks, strict=False):
            due = began + arrival
            if (early := due - perf_counter()) > 0 or len(self.due) >= ARRIVALS_A_TURN:
                self.send_due()
                await asyncio.sleep(max(early, 0))
            self.due.append((ask, due))
        self.send_due()


def evenly(rate: float, seconds: float) -> Iterator[float]:
    """When requests arrive at a fixed rate."""
    return (number / rate for number in range(int(rate * seconds)))


async def closed(
    url: str,
    asks: Iterable[Ask],
    *,
    connections: int = 64,
    seconds: float | None = None,
    requests: int | None = None,
    pipeline: int = 1,
    until: asyncio.Event | None = None,
) -> Result:
    """Load in a closed loop until the time is over, so many requests are sent, `asks` ends or `until` is set."""
    run = _Closed(_connector(url), asks, pipeline, requests)
    began = perf_counter()
    await asyncio.gather(*(run.open() for _ in range(connections)))
    waits = [run.stopped.wait()] + ([until.wait()] if until else [])
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    run.stop()
    return await run.finish(began)


async def paced(url: str, asks: Iterable[Ask], *, arrivals: Iterable[float], connections: int = 64) -> Result:
    """Load in an open loop: the next request arrives so many seconds after the begin, whatever became of the others;
    latencies count from there."""
    run = _Paced(_connector(url), asks)
    await asyncio.gather(*(run.open() for _ in range(connections)))
    began = perf_counter()
    await run.pace(arrivals, began)
    run.stop()
    return await run.finish(began)


def _connector(url: str) -> Connect:
    loop = asyncio.get_running_loop()
    if url.startswith("unix:"):
        return lambda factory: loop.create_unix_connection(factory, url.removeprefix("unix:"))
    parts = urlsplit(url)
    return lambda factory: loop.create_connection(factory, parts.hostname, parts.port or 80)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.load", description="Checked load on the sample prime."
    )
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--requests", type=int, help="stop after so many, whatever the time")
    parser.add_argument("--pipeline", type=int, default=1)
    parser.add_argument("--rate", type=float, help="requests a second, open loop")
    parser.add_argument("--target", help="one target to GET instead of numbers; its body is not looked at")
    options = parser.parse_args()
    asks = itertools.repeat(get(options.target)) if options.target else primes()

    async def run() -> Result:
        if options.rate:
            arrivals = evenly(options.rate, options.seconds)
            return await paced(options.url, asks, arrivals=arrivals, connections=options.connections)
        return await closed(
            options.url,
            asks,
            connections=options.connections,
            seconds=options.seconds,
            requests=options.requests,
            pipeline=options.pipeline,
        )

    result = uvloop.run(run())
    print(json.dumps(asdict(result)))
    sys.exit(1 if result.failed or result.wrong else 0)


if __name__ == "__main__":
    main()
