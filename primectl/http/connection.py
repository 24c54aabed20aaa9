"""One client's connection, without its socket: bytes in, requests out; answers in, bytes out in the client's order.

How the shell uses it:

    for item in connection.receive(data, now): …            an Exchange to be answered, or a Refusal to be noted
    connection.answer(exchange, response, request_id, now)   in any order
    transport.write(connection.take_output())                after every turn in which something happened
    while connection.waiting: call `receive(b"", now)`, which goes on with the bytes that had to wait for answers
    pause reading while not connection.wants_input
    if connection.finished: write take_output(), shut the write side, read and discard for a moment, close

Requests wait in `_turns` in the order they came; an answer becomes output when its turn comes. Once a request asked to
close, was refused, or the client's side ended, `_over` is set and whatever still arrives is discarded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final

from msgspec import Struct

from primectl.errors import IllegalTransition, ProtocolError
from primectl.http.body import Body, ChunkedBody, SizedBody
from primectl.http.forwarded import client_of
from primectl.http.limits import HttpLimits
from primectl.http.request import (
    CHUNKED,
    END_OF_HEAD,
    Fields,
    RequestLine,
    check,
    judge_block,
    judge_line,
    parse_fields,
    parse_line,
)
from primectl.http.response import CLOSE, CONTINUE, KEEP_ALIVE, PROCESSING, Unusable, render
from primectl.message import Request, Response

__all__ = ["Exchange", "HttpConnection", "HttpLimits", "Refusal", "client_of"]

EMPTY_LINES: Final = 8
"""Empty lines before a request line that are passed over (RFC 9112 2.2)."""
CR: Final = 0x0D


class Turn:
    """A place in the client's order. `output` is None until the answer is there."""

    __slots__ = ("output",)

    def __init__(self, output: bytes | None = None) -> None:
        self.output = output


class Exchange(Turn):
    """One whole request, waiting for its answer. `started` is when its last byte came."""

    __slots__ = ("connection_line", "request", "started")

    def __init__(self, request: Request, started: float, connection_line: bytes) -> None:
        self.output = None
        self.request = request
        self.started = started
        self.connection_line = connection_line
        """What its answer will say about the connection: CLOSE, KEEP_ALIVE (to HTTP/1.0) or nothing."""


class Refusal(Struct, frozen=True):
    """A request that the connection itself refused; the answer is queued. `method` and `target` are "-" if unknown."""

    status: int
    what: str
    method: str = "-"
    target: str = "-"
    request_id: str = ""
    body_bytes: int = 0
    """Size of the answer's body."""


class HttpConnection:
    """`client` is "address:port"; `date` gives the value of the Date field; `request_id` an id for a refusal.

    `now` is monotonic seconds. Without it at the start, the wait for a first byte begins at the first `tick`.
    """

    __slots__ = (
        "_begun",
        "_body",
        "_client",
        "_continue",
        "_date",
        "_draining",
        "_empty_lines",
        "_eof",
        "_fields",
        "_held",
        "_judged",
        "_kept",
        "_limits",
        "_line",
        "_line_end",
        "_out",
        "_over",
        "_request_id",
        "_scheme",
        "_turns",
        "_unsent",
        "finished",
        "next_deadline",
        "open",
        "wants_input",
    )

    def __init__(
        self,
        limits: HttpLimits,
        client: str,
        *,
        scheme: str = "http",
        request_id: Callable[[], str],
        date: Callable[[], bytes],
        now: float | None = None,
    ) -> None:
        self._limits = limits
        self._client = client
        self._scheme = scheme
        self._request_id = request_id
        self._date = date

        self._kept = bytearray()
        """Received and not yet used: a head that is not whole, or requests that wait for others to be answered."""
        self._begun = False
        """A request has begun and is not whole."""
        self._line: RequestLine | None = None
        """Of the request that has begun, once its line is there; `_fields` likewise."""
        self._fields: Fields | None = None
        self._line_end = 0
        self._judged = 0
        """How far `_kept` has been judged."""
        self._empty_lines = 0
        self._body: Body | None = None
        self._continue = False
        """The client waits for a 100 that has to wait for answers before it."""

        self._turns: deque[Turn] = deque()
        self._out: list[bytes] = []
        self._unsent = 0
        self._held = 0
        """Bytes of answers that wait for their turn."""

        self._over = False
        self._eof = False
        self._draining = False
        self.wants_input = True
        self.finished = False
        self.open = 0
        self.next_deadline: float | None = -inf if now is None else now + limits.header_timeout

    # --- bytes in -----------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> list[Exchange | Refusal]:
        """The requests that these bytes complete, in order; a refusal is always the last of a connection.

        Bytes that come while `wants_input` is False are kept until it is True and this is called again.
        """
        if self._over:
            return []
        kept = self._kept
        if kept:
            kept += data
            if not self.wants_input:
                return self._bound(now)
            if self._begun and kept[0] != CR and kept.find(END_OF_HEAD, max(self._judged - 3, 0)) < 0:
                return self._judge(now)
            data = bytes(kept)
            kept.clear()
        return self._parse(data, now)

    @property
    def waiting(self) -> bool:
        """Requests that had to wait can be taken now: call `receive(b"", now)`.

        To be looked at after any answer, whether reading was paused in between or not: answers that are made at once
        let `wants_input` fall and rise again within one turn.
        """
        return self.wants_input and not self._begun and bool(self._kept)

    def receive_eof(self, now: float) -> list[Exchange | Refusal]:
        """The client has shut its write side: whole requests are still answered, a request cut short is dropped."""
        self._eof = True
        if self._over or not self.wants_input:
            return []
        data = bytes(self._kept)
        self._kept.clear()
        return self._parse(data, now)

    def tick(self, now: float) -> list[Refusal]:
        """Act on a deadline that has passed: 408 for a request that has begun, plain close for an idle connection."""
        due = self.next_deadline
        if due is None or now < due:
            return []
        if due == -inf or not self.wants_input:  # the clock starts; or it is we who do not read
            self.next_deadline = now + self._limits.header_timeout
            return []
        if self._body is not None:
            return [self._refuse(ProtocolError(408, "the body did not come in time"))]
        if self._begun:
            return [self._refuse(ProtocolError(408, "the request head did not come in time"))]
        self._end()
        return []

    def _parse(self, data: bytes, now: float) -> list[Exchange | Refusal]:
        found: list[Exchange | Refusal] = []
        pos, size = 0, len(data)
        try:
            while pos < size and not self._over:
                if self._body is not None:
                    pos = self._more_body(self._body, data, pos, now, found)
                    continue
                if self._must_wait():
                    self._wait(data, pos)
                    break
                if data[pos] == CR and data.startswith(b"\r\n", pos):
                    self._empty_lines += 1
                    if self._empty_lines > EMPTY_LINES:
                        raise ProtocolError(400, "empty lines where a request should be")
                    pos += 2
                    continue
                end = data.find(END_OF_HEAD, pos)
                if end < 0:
                    self._keep(data, pos, now)
                    break
                line_end = data.find(b"\r\n", pos, end + 2)
                line = self._line = parse_line(data[pos:line_end], self._limits)
                fields = parse_fields(data[line_end + 2 : end + 4], self._limits)
                check(line, fields, self._limits)
                pos = end + 4
                if fields.length == 0:
                    found.append(self._whole(line, fields, b"", now))
                else:
                    self._begin_body(line, fields, pos == size, now)
        except ProtocolError as error:
            found.append(self._refuse(error))
        if self._must_wait():
            self.wants_input = self._over
        if self._eof and self.wants_input and not self._over:
            self._end()
        return found

    def _must_wait(self) -> bool:
        return len(self._turns) >= self._limits.max_pipeline or self._held + self._unsent > self._limits.max_output

    def _wait(self, data: bytes, pos: int) -> None:
        """What is here already has to wait, until others are answered."""
        self.wants_input = False
        self._begun = False
        self.next_deadline = None
        self._kept += data[pos:]

    def _bound(self, now: float) -> list[Exchange | Refusal]:
        """A shell that goes on reading would make us keep without end what a client sends."""
        limits = self._limits
        if len(self._kept) <= limits.max_header_size + limits.max_url_size + limits.max_output:
            return []
        return [self._refuse(ProtocolError(400, "too much was sent ahead of the answers"))]

    def _keep(self, data: bytes, pos: int, now: float) -> None:
        """The first bytes of a head; more must come."""
        self._kept += data[pos:] if pos else data
        self._judged = self._line_end = 0
        if not self._begun:
            self._begun = True
            self.next_deadline = now + self._limits.header_timeout
        self._judge_kept()

    def _judge(self, now: float) -> list[Exchange | Refusal]:
        try:
            self._judge_kept()
        except ProtocolError as error:
            return [self._refuse(error)]
        return []

    def _judge_kept(self) -> None:
        kept = self._kept
        if kept == b"\r":
            return
        if not self._line_end:
            end = kept.find(b"\r\n", max(self._judged - 1, 0))
            if end < 0:
                judge_line(bytes(kept), self._limits)
                self._judged = len(kept)
                return
            self._line = parse_line(bytes(kept[:end]), self._limits)
            self._line_end = self._judged = end + 2
        judge_block(kept, self._line_end, self._judged, self._limits)
        self._judged = len(kept)

    def _begin_body(self, line: RequestLine, fields: Fields, nothing_of_it: bool, now: float) -> None:
        self._line, self._fields = line, fields
        self._body = ChunkedBody(self._limits) if fields.length == CHUNKED else SizedBody(fields.length)
        self._begun = True
        self.next_deadline = now + self._limits.body_timeout
        if nothing_of_it and fields.expect and line.minor:
            self._continue = True
            self._say_continue()

    def _more_body(self, body: Body, data: bytes, pos: int, now: float, found: list[Exchange | Refusal]) -> int:
        self._continue = False
        pos = body.feed(data, pos)
        if body.done:
            assert self._line is not None
            assert self._fields is not None
            self._body = None
            found.append(self._whole(self._line, self._fields, body.take(), now))
        else:
            self.next_deadline = now + self._limits.body_timeout
        return pos

    def _whole(self, line: RequestLine, fields: Fields, body: bytes, now: float) -> Exchange:
        self._begun = False
        self._line = None
        self._empty_lines = 0
        self.next_deadline = None
        close = fields.close or (line.minor == 0 and not fields.keep_alive) or self._draining
        if close:
            self._stop_reading()
        limits = self._limits
        lines = fields.with_host(line.authority) if line.authority else fields.fields
        client = client_of(self._client, lines, limits.trusted_proxies) if limits.trusted_proxies else self._client
        version = "1.1" if line.minor else "1.0"
        request = Request(line.method, line.target, lines, body, client, {}, version, self._scheme)
        exchange = Exchange(request, now, CLOSE if close else b"" if line.minor else KEEP_ALIVE)
        self._turns.append(exchange)
        self.open += 1
        return exchange

    # --- bytes out ----------------------------------------------------------------------------------------------------

    def answer(self, exchange: Exchange, response: Response, request_id: str, now: float) -> bool:
        """Answer a request of this connection; the bytes become output when those before it are answered.

        False if the response could not be sent as it is (its status, or a name or value of its fields: see
        `http.response.Unusable`); the client then gets a 500.
        """
        if exchange.output is not None:
            raise IllegalTransition("a request is answered twice", f"{exchange.request.method} from {self._client}")
        turns = self._turns
        if self._draining and self._over and exchange is turns[-1]:
            exchange.connection_line = CLOSE
        head = exchange.request.method == "HEAD"
        usable = True
        try:
            output = render(response, request_id, self._date(), head=head, connection=exchange.connection_line)
        except Unusable:
            usable = False
            request_id = request_id if request_id.isalnum() and request_id.isascii() else self._request_id()
            problem = Response.problem(500, "the handler's answer cannot be sent", request_id)
            output = render(problem, request_id, self._date(), head=head, connection=exchange.connection_line)
        exchange.output = output
        self.open -= 1
        self._held += len(output)
        if turns[0] is exchange:
            self._flush()
            if not turns and not self._begun and not self._over:
                self.next_deadline = now + self._limits.keep_alive_timeout
        return usable

    def take_output(self) -> bytes:
        """What to write now; empty when there is nothing."""
        out = self._out
        if not out:
            return b""
        self._out = []
        self._unsent = 0
        if not self.wants_input:
            self._reopen()
        return out[0] if len(out) == 1 else b"".join(out)

    def _flush(self) -> None:
        turns = self._turns
        while turns:
            output = turns[0].output
            if output is None:
                break
            turns.popleft()
            self._held -= len(output)
            self._unsent += len(output)
            self._out.append(output)
        if not turns:
            if self._eof and not self._kept:
                self._stop_reading()
            self.finished = self._over
            if self._continue:
                self._say_continue()
        if not self.wants_input:
            self._reopen()
        elif self._unsent + self._held > self._limits.max_output and not self._over:
            self.wants_input = False

    def _reopen(self) -> None:
        """Take requests again once half of the open ones are answered, so as not to stop and go at each answer."""
        limits = self._limits
        if len(self._turns) <= limits.max_pipeline // 2 and self._held + self._unsent <= limits.max_output:
            self.wants_input = True

    def _say_continue(self) -> None:
        if not self._turns:
            self._continue = False
            self._out.append(CONTINUE)

    def _refuse(self, error: ProtocolError) -> Refusal:
        line = self._line
        method, target = (line.method, line.target) if line is not None else ("-", "-")
        request_id = self._request_id()
        problem = Response.problem(error.status, error.what, request_id)
        output = render(problem, request_id, self._date(), head=method == "HEAD", connection=CLOSE)
        self._turns.append(Turn(output))
        self._held += len(output)
        self._stop_reading()
        self._flush()
        return Refusal(error.status, error.what, method, target, request_id, len(problem.body))

    # --- the end ------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Take no further request but one that has begun, or the next of an idle client; the last answer says close.

        Requests that were sent ahead and still wait unparsed are not taken: the client sees the close and asks again.
        """
        self._draining = True
        if self._turns and not self._begun:
            self._stop_reading()

    def probe(self) -> None:
        """After `receive_eof`: send a 102 (RFC 2518 10.1) if an answer is owed, to see whether the client is there.

        A client that has only shut its write side passes over it, as over any 1xx; one that has gone makes its host
        refuse it, so that the shell learns of it. Not sent to HTTP/1.0, which knows no 1xx.
        """
        first = self._turns[0] if self._turns else None
        if self._eof and isinstance(first, Exchange) and first.request.version != "1.0":
            self._out.append(PROCESSING)

    def close_if_idle(self) -> bool:
        """Finish if no request is open or begun; tells whether the connection is finished."""
        if not self._turns and not self._begun and not self._kept:
            self._end()
        return self.finished

    def _end(self) -> None:
        self._stop_reading()
        self.finished = not self._turns

    def _stop_reading(self) -> None:
        """Nothing more is parsed; reading goes on, into nothing, so that the client's leaving is seen."""
        self._over = True
        self._kept.clear()
        self._body = self._line = self._fields = None
        self._begun = self._continue = False
        self.wants_input = True
        self.next_deadline = None
