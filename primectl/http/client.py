"""§ HTTP/1.1 from the other side: a `Pool` of kept connections for replay, and `HttpClient` for who asks a few times.

A connection has one question at a time. Nothing here waits by sleeping, and a question costs no task and no timer: its
connection calls back when the answer is whole, one timer looks after the oldest.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Final, Self, cast

from primectl.clock import SystemClock
from primectl.errors import ConfigError
from primectl.http.address import Address, parse_address
from primectl.http.answer import AnswerParser, AskingFailed
from primectl.http.question import encode_question
from primectl.message import Response

REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Idempotent methods: sent again if a kept connection turns out to be closed (RFC 9110 9.2.2)."""
IDLE_S: Final = 4.0
"""A connection that was idle for so long is not used again: many servers close theirs after five seconds."""
CONNECT_S: Final = 10.0

_now = SystemClock().monotonic


class Question:
    """`raw` is what `encode_question` made for `method`. `sent_at` is when it was handed to the system, in monotonic
    seconds, 0 before."""

    __slots__ = ("_connection", "_deadline", "_repeated", "method", "raw", "sent_at")

    def __init__(self, method: str, raw: bytes) -> None:
        self.method = method
        self.raw = raw
        self.sent_at = 0.0
        self._connection: _Connection | None = None
        self._deadline = 0.0
        self._repeated = False


class Pool:
    """Connections to one address: as many as questions are open at once, which is for the one who asks to bound.

    `on_end` gets each question once, with its answer or why there is none. It may ask the next one at once.
    """

    def __init__(
        self,
        address: Address,
        on_end: Callable[[Question, Response | AskingFailed], None],
        *,
        timeout_s: float = 30.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._address = address
        self._on_end = on_end
        self._timeout_s = timeout_s
        self._tls = (tls or ssl.create_default_context()) if address.scheme == "https" else None
        self._idle: dict[_Connection, None] = {}
        self._connections: set[_Connection] = set()
        self._connecting: dict[Question, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: dict[Question, None] = {}
        """In the order of their deadlines."""
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()

    @property
    def open(self) -> int:
        """Questions without an end."""
        return len(self._open)

    def ask(self, question: Question) -> None:
        """Send it over a connection that is idle, else over a new one."""
        now = _now()
        question._deadline = now + self._timeout_s
        self._open[question] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._timeout_s, self._expire)
        while self._idle:
            # The last one used is the one least likely to have been closed meanwhile.
            connection, _ = self._idle.popitem()
            if connection.is_usable(now):
                connection.send(question, now)
                return
            connection.close()
        self._connect(question)

    def unsent(self) -> list[Question]:
        """Take back what waits for a connection; it has no end any more."""
        waiting = [question for question in self._connecting if not question.sent_at]
        for question in waiting:
            self._connecting.pop(question).cancel()
            del self._open[question]
        return waiting

    def cut(self, question: Question, why: str) -> None:
        """Wait no longer for this answer: it ends as failed, its connection is closed."""
        if question not in self._open:
            return
        if question._connection is not None:
            question._connection.question = None
            question._connection.close()
        elif question in self._connecting:
            self._connecting.pop(question).cancel()
        self._end(question, AskingFailed(why, connected=bool(question.sent_at)))

    def cut_all(self, why: str) -> None:
        for question in list(self._open):
            self.cut(question, why)

    async def close(self) -> None:
        """Close all connections; what is open ends as failed. The pool may be used again."""
        self.cut_all("the connection was closed")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self._connections):
            connection.close()
        while self._connections:
            self._empty.clear()
            await self._empty.wait()

    # --- for its connections

    def answered(self, connection: _Connection, question: Question, answer: Response, *, reusable: bool) -> None:
        if reusable:
            self._idle[connection] = None
        else:
            connection.close()
        self._end(question, answer)

    def broken(self, connection: _Connection, question: Question, why: AskingFailed, *, again: bool) -> None:
        """`again`: a kept connection was closed before any of the answer came."""
        connection.close()
        question._connection = None
        if again and question.method in REPEATABLE and not question._repeated:
            question._repeated = True
            self._connect(question)
        else:
            self._end(question, why)

    def made(self, connection: _Connection, question: Question) -> bool:
        """Whether the question that the connection is for is still asked."""
        self._connections.add(connection)
        return question in self._open

    def lost(self, connection: _Connection) -> None:
        self._idle.pop(connection, None)
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    # --- its own

    def _connect(self, question: Question) -> None:
        task = asyncio.get_running_loop().create_task(self._connect_for(question))
        self._connecting[question] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect_for(self, question: Question) -> None:
        loop = asyncio.get_running_loop()
        address = self._address
        limit_s = min(self._timeout_s, CONNECT_S)
        connection = _Connection(self, question)
        why = ""
        try:
            async with asyncio.timeout(limit_s):
                if address.scheme == "unix":
                    await loop.create_unix_connection(lambda: connection, address.path)
                else:
                    await loop.create_connection(lambda: connection, address.host, address.port, ssl=self._tls)
        except asyncio.CancelledError:
            self.lost(connection)  # a loop that is interrupted here may not say so
            raise
        except TimeoutError:
            why = f"no connection within {limit_s:g} s"
        except OSError as error:
            why = _words(error)
        finally:
            self._connecting.pop(question, None)
        if why:
            self.lost(connection)
            if question in self._open:
                self._end(question, AskingFailed(why, connected=bool(question.sent_at)))

    def _end(self, question: Question, end: Response | AskingFailed) -> None:
        question._connection = None
        del self._open[question]
        self._on_end(question, end)

    def _expire(self) -> None:
        now = _now()
        while self._open:
            oldest = next(iter(self._open))
            if oldest._deadline > now:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(oldest._deadline - now, self._expire)
                return
            self.cut(oldest, f"no answer within {self._timeout_s:g} s")
        self._timer = None


class _Connection(asyncio.Protocol):
    """One connection of a pool. `question` is what is being asked, None when it is idle."""

    def __init__(self, pool: Pool, first: Question) -> None:
        self.question: Question | None = first
        self.idle_since = 0.0
        self._pool = pool
        self._kept = False
        self._parser = AnswerParser()
        self._transport: asyncio.Transport | None = None

    def is_usable(self, now: float) -> bool:
        assert self._transport is not None
        return now - self.idle_since <= IDLE_S and not self._transport.is_closing()

    def send(self, question: Question, now: float) -> None:
        assert self._transport is not None
        self.question = question
        question._connection = self
        self._parser.expect(question.method)
        question.sent_at = question.sent_at or now
        self._transport.write(question.raw)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        first, self.question = self.question, None
        assert first is not None
        # Sent here, not when whoever wanted the connection wakes up: what the server says until then is the answer.
        if self._pool.made(self, first):
            self.send(first, _now())
        else:
            self.close()

    def data_received(self, data: bytes) -> None:
        question, parser = self.question, self._parser
        if question is None:
            self.close()  # nobody asked
            return
        try:
            answer = parser.feed(data)
        except AskingFailed as error:
            self.question = None
            self._pool.broken(self, question, error, again=False)
            return
        if answer is not None:
            assert self._transport is not None
            self.question = None
            self._kept = True
            self.idle_since = _now()
            # An answer before the question was written out, such as 413, leaves a connection that nobody understands.
            whole = not self._transport.get_write_buffer_size()
            self._pool.answered(self, question, answer, reusable=parser.keeps_alive and whole)

    def eof_received(self) -> None:
        # What is left of a long question would be written first if the transport closed in its own time.
        if self.question is not None:
            self._lost_question(None)
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.lost(self)
        if self.question is not None:
            self._lost_question(exc)

    def _lost_question(self, exc: Exception | None) -> None:
        question, self.question = self.question, None
        assert question is not None
        if not self._parser.begun:
            why = AskingFailed(f"the server closed the connection without an answer{_because(exc)}")
            self._pool.broken(self, question, why, again=self._kept)
        elif exc is not None:
            why = AskingFailed(f"the connection was cut before the answer was whole{_because(exc)}")
            self._pool.broken(self, question, why, again=False)
        else:
            try:
                answer = self._parser.end()
            except AskingFailed as error:
                self._pool.broken(self, question, error, again=False)
            else:
                self._pool.answered(self, question, answer, reusable=False)


class HttpClient:
    """`url` is as `parse_address` takes it. `timeout` is seconds for one whole question and answer."""

    def __init__(self, url: str, *, timeout: float = 30.0, tls: ssl.SSLContext | None = None) -> None:
        self._url = url
        self._address = parse_address(url)
        self._pool = Pool(self._address, self._ended, timeout_s=timeout, tls=tls)

    async def ask(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Response:
        """Send one request, return its answer. Raises AskingFailed, ValueError for what cannot be sent."""
        raw = encode_question(method, target, tuple((headers or {}).items()), body, self._address.authority)
        question = _Awaited(method, raw)
        self._pool.ask(question)
        try:
            answer = await question.end
        except asyncio.CancelledError:
            self._pool.cut(question, "nobody waits for the answer")
            raise
        if isinstance(answer, AskingFailed):
            raise AskingFailed(answer.what, self._url, connected=answer.connected)
        return answer

    async def close(self) -> None:
        """Close the connection, if there is one; the client may be used again."""
        await self._pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _ended(self, question: Question, end: Response | AskingFailed) -> None:
        assert isinstance(question, _Awaited)
        if not question.end.done():
            question.end.set_result(end)


class _Awaited(Question):
    __slots__ = ("end",)

    def __init__(self, method: str, raw: bytes) -> None:
        super().__init__(method, raw)
        self.end: asyncio.Future[Response | AskingFailed] = asyncio.get_running_loop().create_future()


def trusting(certificate: str) -> ssl.SSLContext:
    """TLS with whoever has a certificate of this file, or one that it has signed, whatever name is in it.

    A server's own certificate need not be signed by itself, nor name the address that it listens at. Raises
    ConfigError for a file that has no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(certificate)
    except ssl.SSLError:
        raise ConfigError("there is no certificate in it", certificate, "A file in PEM format is wanted") from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", certificate) from None
    return context


def _because(error: Exception | None) -> str:
    return f": {_words(error)}" if isinstance(error, OSError) else ""


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    words = error.strerror or str(error)
    return words[:1].lower() + words[1:]
