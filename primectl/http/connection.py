"""One client's connection, without its socket: bytes in, requests out; answers in, bytes out in the client's order.

How the shell uses it:

    for item in connection.receive(data, now): …            an Exchange to be answered, or a Refusal to be noted
    connection.answer(exchange, response, request_id, now)   in any order
    connection.begin(…), .part(…), .end(…) or .cut(…)        the same for an answer that comes bit by bit
    transport.write(connection.take_output())                after every turn in which something happened, until it
                                                             gives nothing or the transport is full
    while connection.waiting: call `receive(b"", now)`, which goes on with the bytes that had to wait for answers
    pause reading while not connection.wants_input
    if connection.finished: write take_output(), shut the write side, read and discard for a moment, close

Requests wait in `_turns` in the order they came; an answer becomes output when its turn comes. Once a request asked to
close, was refused, or the client's side ended, `_over` is set and whatever still arrives is discarded.

Output leaves in pieces of at most about WRITE_SIZE, so that what a slow client has not read waits here, and not in a
transport. The bodies among it may be moved elsewhere (`offload`): a piece is anything with a length that can be sliced.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from math import inf
from typing import Final, Protocol

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
from primectl.http.response import (
    BODYLESS,
    CHUNKED_BODY,
    CLOSE,
    CONTINUE,
    KEEP_ALIVE,
    LAST_CHUNK,
    PROCESSING,
    Answering,
    Unusable,
    declared_length,
    render,
    render_head,
)
from primectl.message import Request, Response

__all__ = ["Exchange", "HttpConnection", "HttpLimits", "Piece", "Refusal", "client_of"]

EMPTY_LINES: Final = 8
"""Empty lines before a request line that are passed over (RFC 9112 2.2)."""
CR: Final = 0x0D
WRITE_SIZE: Final = 64 << 10
"""Bytes of output that are given away at once, unless less is there; a little more where small pieces are joined."""
LARGE: Final = 16 << 10
"""A body above this is kept as it came, beside its head: copying it would cost more than a piece of its own."""
STORED_AT_LEAST: Final = 4 * WRITE_SIZE


class Piece(Protocol):
    """Bytes, or where they have been put."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice) -> bytes | memoryview: ...


class More:
    """What follows the head of an answer: a large body, or one that comes bit by bit."""

    __slots__ = ("chunked", "ended", "left", "pieces", "unframed")

    def __init__(self, *, chunked: bool = False, left: int | None = None, unframed: bool = False) -> None:
        self.pieces: list[Piece] = []
        """As long as it is not their turn."""
        self.chunked = chunked
        self.left = left
        """Bytes to come where the length was declared."""
        self.unframed = unframed
        """Only the connection's end ends it (HTTP/1.0)."""
        self.ended = False


class Turn:
    """A place in the client's order. `output` is None until the answer, or its head, is there."""

    __slots__ = ("more", "output")

    def __init__(self, output: bytes | None = None) -> None:
        self.output = output
        self.more: More | None = None


class Exchange(Turn):
    """One whole request, waiting for its answer. `started` is when its last byte came.

    `body_bytes` is the length of the request's body, known for good. `tag` and `status` are the shell's own, and not
    there before it sets them: the number of what it made of the request, and the status that a streamed answer has.
    """

    tag: int
    status: int

    __slots__ = ("body_bytes", "connection_line", "request", "started", "status", "tag")

    def __init__(self, request: Request, started: float, connection_line: bytes) -> None:
        self.output = None
        self.more = None
        self.request = request
        self.body_bytes = len(request.body)
        self.started = started
        self.connection_line = connection_line
        """What its answer will say about the connection: CLOSE, KEEP_ALIVE (to HTTP/1.0) or nothing."""

    @property
    def streaming(self) -> bool:
        """Its answer has begun and more of it is to come."""
        return self.more is not None and not self.more.ended

    def forget_content(self) -> None:
        """Let go of fields and body, which live on in what was made of them; who asked for what is still known."""
        request = self.request
        self.request = Request(
            request.method, request.target, client=request.client, version=request.version, scheme=request.scheme
        )


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
        "_judged",
        "_kept",
        "_large",
        "_limits",
        "_line",
        "_line_end",
        "_out",
        "_over",
        "_request_id",
        "_scheme",
        "_stranded",
        "_taken",
        "_turns",
        "arriving",
        "finished",
        "held",
        "next_deadline",
        "offloaded",
        "open",
        "unsent",
        "wants_input",
        "worthless",
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
        self._stranded: list[Exchange] = []
        """Requests that will not be answered, since the answer before them ends with the connection."""
        self._out: list[Piece] = []
        self._taken = 0
        """Bytes of the first piece that have been given away."""
        self._large = 0
        """Pieces of `_out` that are given away bit by bit: those that are not bytes."""
        self.unsent = 0
        """Bytes of answers whose turn has come; `take_output` gives them away."""
        self.held = 0
        """Bytes of answers that wait for their turn."""
        self.offloaded = 0
        """Bytes of both that are not in memory."""
        self.arriving = 0
        """Bytes of the body that is on its way in."""

        self._over = False
        self._eof = False
        self._draining = False
        self.wants_input = True
        self.finished = False
        self.worthless = False
        """An answer broke off that the connection's end would make whole: reset it, so that the client sees the cut."""
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
        limits, turns = self._limits, self._turns
        try:
            while pos < size and not self._over:
                if self._body is not None:
                    pos = self._more_body(self._body, data, pos, now, found)
                    continue
                if len(turns) >= limits.max_pipeline or self.held + self.unsent > limits.max_output:
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
                line = self._line = parse_line(data[pos:line_end], limits)
                fields = parse_fields(data[line_end + 2 : end + 4], limits)
                check(line, fields, limits)
                pos = end + 4
                if fields.length == 0:
                    found.append(self._whole(line, fields, b"", now))
                else:
                    self._begin_body(line, fields, pos == size, now)
        except ProtocolError as error:
            found.append(self._refuse(error))
        if len(turns) >= limits.max_pipeline or self.held + self.unsent > limits.max_output:
            self.wants_input = self._over
        if self._eof and self.wants_input and not self._over:
            self._end()
        return found

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
            self.arriving = 0
            found.append(self._whole(self._line, self._fields, body.take(), now))
        else:
            self.arriving = body.size
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

    def answer(self, exchange: Exchange, answer: Answering, request_id: str, now: float) -> bool:
        """Answer a request of this connection; the bytes become output when those before it are answered.

        False if the answer could not be sent as it is (its status, or a name or value of its fields: see
        `http.response.Unusable`); the client then gets a 500.
        """
        if exchange.output is not None:
            raise IllegalTransition("a request is answered twice", f"{exchange.request.method} from {self._client}")
        turns = self._turns
        if self._draining:
            self._say_close(exchange)
        body = answer.body
        head = exchange.request.method == "HEAD"
        apart = len(body) > LARGE and not head and answer.status not in BODYLESS
        usable = True
        try:
            output = render(answer, request_id, self._date(), head=head or apart, connection=exchange.connection_line)
        except Unusable:
            usable = apart = False
            output = self._cannot_be_sent(exchange, request_id)
        exchange.output = output
        self.open -= 1
        self.held += len(output)
        if apart:
            more = exchange.more = More()
            more.pieces.append(memoryview(body))
            more.ended = True
            self.held += len(body)
        if turns and turns[0] is exchange:
            self._flush(now)
        return usable

    def begin(self, exchange: Exchange, answer: Answering, request_id: str, now: float) -> bool:
        """The head of an answer whose body comes by `part`; that of `answer` itself is its first part.

        The body is chunked for HTTP/1.1 unless the handler declared a valid Content-Length; in 1.0 it is ended by the
        connection's end. Afterwards `exchange.streaming` is False if no body is wanted: the request is HEAD, the status
        has none, or the head could not be sent and a 500 was, for which this returns False.
        """
        if exchange.output is not None:
            raise IllegalTransition("a request is answered twice", f"{exchange.request.method} from {self._client}")
        if self._draining:
            self._say_close(exchange)
        request = exchange.request
        length = declared_length(answer.fields)
        unframed = length is None and request.version == "1.0" and answer.status not in BODYLESS
        bodyless = request.method == "HEAD" or answer.status in BODYLESS
        if answer.status == 205:
            framing = b"content-length: 0\r\n"
        elif answer.status in BODYLESS or unframed:
            framing = b""
        else:
            framing = CHUNKED_BODY if length is None else b"content-length: %d\r\n" % length
        if unframed and not bodyless:
            exchange.connection_line = CLOSE
        try:
            output = render_head(answer, request_id, self._date(), framing=framing, connection=exchange.connection_line)
        except Unusable:
            exchange.output = self._cannot_be_sent(exchange, request_id)
            self.held += len(exchange.output)
            self._close_turn(exchange, now)
            return False
        exchange.output = output
        self.held += len(output)
        if bodyless:
            self._close_turn(exchange, now)
            return True
        if unframed:
            self._stop_reading()
        exchange.more = More(chunked=length is None and not unframed, left=length, unframed=unframed)
        if self._turns and self._turns[0] is exchange:
            self._flush(now)
        if answer.body:
            self.part(exchange, answer.body)
        return True

    def part(self, exchange: Exchange, data: bytes) -> bool:
        """More of a body. False if it is more than was declared: the answer has to be cut."""
        more = exchange.more
        assert more is not None
        if more.left is not None:
            if len(data) > more.left:
                return False
            more.left -= len(data)
        if not data or more.ended:
            return True
        self._put(exchange, more, b"%x\r\n%b\r\n" % (len(data), data) if more.chunked else data)
        return True

    def end(self, exchange: Exchange, now: float) -> bool:
        """The body is whole. False if it is less than was declared: the answer has to be cut."""
        more = exchange.more
        assert more is not None
        if more.left:
            return False
        if more.chunked:
            self._put(exchange, more, LAST_CHUNK)
        more.ended = True
        if more.unframed:
            self._strand(exchange)
        self._close_turn(exchange, now)
        return True

    def cut(self, exchange: Exchange, instead: Answering, request_id: str, now: float) -> bool:
        """An answer that has begun cannot be ended. True if none of it has become output: `instead` is answered then.

        Else the client must see that it is cut: the connection ends after what is there of it, without a last chunk.
        """
        more = exchange.more
        assert more is not None
        if self._turns and self._turns[0] is not exchange and exchange.output:
            self.held -= len(exchange.output) + sum(len(piece) for piece in more.pieces)
            exchange.output = exchange.more = None
            self._count_offloaded()
            self.answer(exchange, instead, request_id, now)
            return True
        self.open -= 1
        more.ended = True
        self.worthless = more.unframed
        self._strand(exchange)
        self._stop_reading()
        self._flush(now)
        return False

    def take_output(self) -> bytes:
        """What to write now; empty when there is nothing. To be asked again as long as the transport takes it."""
        out = self._out
        if not out:
            return b""
        if self._large or self.unsent > WRITE_SIZE:
            return self._take_some()
        self._out = []
        self.unsent = 0
        if not self.wants_input:
            self._reopen()
        return out[0] if len(out) == 1 else b"".join(out)  # type: ignore[return-value,arg-type]

    def offload(self, store: Callable[[Piece], Piece | None]) -> None:
        """Let `store` keep what waits here of large bodies; where it gives None, they stay."""
        out = self._out
        for index, piece in enumerate(out):
            start = 0 if index else self._taken
            if (stored := self._stored(piece, start, store)) is not None:
                out[index] = stored
                if not index:
                    self._taken = 0
        for turn in self._turns:
            if turn.more is not None:
                pieces = turn.more.pieces
                pieces[:] = [self._stored(piece, 0, store) or piece for piece in pieces]

    @property
    def sending(self) -> Exchange | None:
        """The exchange whose answer is being sent and goes on."""
        first = self._turns[0] if self._turns else None
        return first if isinstance(first, Exchange) and first.streaming else None

    @property
    def stranded(self) -> bool:
        """Requests are worked on that will not be answered, since the connection ends with an answer before them."""
        return bool(self._stranded)

    def unanswered(self) -> Iterator[Exchange]:
        """The requests that wait for an answer, or for the rest of one; stranded ones too, until they are answered."""
        for turn in self._turns:
            if isinstance(turn, Exchange) and (turn.output is None or turn.streaming):
                yield turn
        yield from self._stranded

    def discard(self) -> None:
        """The client is gone, or not worth waiting for: nothing of what waits for it is needed."""
        self._out.clear()
        self._large = self._taken = self.unsent = 0
        self._put_aside()
        self._stop_reading()

    def _stored(self, piece: Piece, start: int, store: Callable[[Piece], Piece | None]) -> Piece | None:
        if not isinstance(piece, bytes | memoryview) or len(piece) - start < STORED_AT_LEAST:
            return None
        stored = store(piece[start:] if start else piece)
        if stored is not None:
            self.offloaded += len(stored)
        return stored

    def _take_some(self) -> bytes:
        """The next piece: of a large one no more than WRITE_SIZE, and small ones together.

        A copy, so that whoever still has the last piece of a large body does not keep all of it in memory.
        """
        out, start = self._out, self._taken
        first = out[0]
        if type(first) is bytes:
            end, size = 1, len(first)
            while end < len(out) and size < WRITE_SIZE and type(following := out[end]) is bytes:
                size += len(following)
                end += 1
            some = first if end == 1 else b"".join(out[:end])  # type: ignore[arg-type]
            del out[:end]
        else:
            some = bytes(first[start : start + WRITE_SIZE])
            size = len(some)
            if not isinstance(first, memoryview):
                self.offloaded -= size
            self._taken = start + size
            if self._taken == len(first):
                self._taken = 0
                self._large -= 1
                del out[0]
        self.unsent -= size
        if not self.wants_input:
            self._reopen()
        return some

    def _put(self, exchange: Exchange, more: More, piece: bytes) -> None:
        """The next bytes of a stream: output if it is its turn."""
        size = len(piece)
        kept: Piece = memoryview(piece) if size > LARGE else piece
        if self._turns and self._turns[0] is exchange:
            self._out.append(kept)
            self._large += type(kept) is not bytes
            self.unsent += size
        else:
            more.pieces.append(kept)
            self.held += size
        if self.unsent + self.held > self._limits.max_output and not self._over:
            self.wants_input = False

    def _close_turn(self, exchange: Exchange, now: float) -> None:
        """The answer of an exchange is whole, and there already."""
        self.open -= 1
        if not self._turns or self._turns[0] is exchange:
            self._flush(now)

    def _flush(self, now: float) -> None:
        turns, out = self._turns, self._out
        while turns:
            turn = turns[0]
            output = turn.output
            if output is None:
                break
            size = len(output)
            if (more := turn.more) is None:
                out.append(output)
            else:
                if size:
                    out.append(output)
                    turn.output = b""
                for piece in more.pieces:
                    out.append(piece)
                    size += len(piece)
                    self._large += type(piece) is not bytes
                more.pieces.clear()
            self.held -= size
            self.unsent += size
            if more is not None and not more.ended:
                break
            turns.popleft()
        if not turns:
            if self._eof and not self._kept:
                self._stop_reading()
            if self._over:
                self.finished = True
            else:
                if not self._begun:
                    self.next_deadline = now + self._limits.keep_alive_timeout
                if self._continue:
                    self._say_continue()
        if not self.wants_input:
            self._reopen()
        elif self.unsent + self.held > self._limits.max_output and not self._over:
            self.wants_input = False

    def _strand(self, exchange: Exchange) -> None:
        """The connection ends with this answer, if it has come to it: those behind it will not be answered."""
        if self._turns and self._turns[0] is exchange:
            self._turns.popleft()
            self._put_aside()

    def _put_aside(self) -> None:
        """No further turn will come; requests that are still worked on are kept to be named by `unanswered`."""
        self._stranded = [*self.unanswered()]
        for turn in self._stranded:
            if turn.more is not None:
                turn.more.pieces.clear()
        self._turns.clear()
        self.held = 0
        self._count_offloaded()

    def _count_offloaded(self) -> None:
        waiting = [*self._out, *(piece for turn in self._turns if turn.more for piece in turn.more.pieces)]
        self.offloaded = sum(len(piece) for piece in waiting if not isinstance(piece, bytes | memoryview))
        if self._taken and not isinstance(self._out[0], bytes | memoryview):
            self.offloaded -= self._taken

    def _say_close(self, exchange: Exchange) -> None:
        if self._over and self._turns and exchange is self._turns[-1]:
            exchange.connection_line = CLOSE

    def _cannot_be_sent(self, exchange: Exchange, request_id: str) -> bytes:
        request_id = request_id if request_id.isalnum() and request_id.isascii() else self._request_id()
        problem = Response.problem(500, "the handler's answer cannot be sent", request_id)
        head = exchange.request.method == "HEAD"
        return render(problem, request_id, self._date(), head=head, connection=exchange.connection_line)

    def _reopen(self) -> None:
        """Take requests again once half of the open ones are answered, so as not to stop and go at each answer."""
        limits = self._limits
        if len(self._turns) <= limits.max_pipeline // 2 and self.held + self.unsent <= limits.max_output:
            self.wants_input = True

    def _say_continue(self) -> None:
        if not self._turns:
            self._continue = False
            self._speak_between(CONTINUE)

    def _speak_between(self, interim: bytes) -> None:
        self._out.append(interim)
        self.unsent += len(interim)

    def overload(self, what: str) -> Refusal:
        """Refuse the request whose body is arriving, since there is no room for it now: 503."""
        return self._refuse(ProtocolError(503, what))

    def _refuse(self, error: ProtocolError) -> Refusal:
        line = self._line
        method, target = (line.method, line.target) if line is not None else ("-", "-")
        request_id = self._request_id()
        if error.status == 503:
            problem = Response.unavailable(error.what, request_id)
        else:
            problem = Response.problem(error.status, error.what, request_id)
        output = render(problem, request_id, self._date(), head=method == "HEAD", connection=CLOSE)
        self._turns.append(Turn(output))
        self.held += len(output)
        self._stop_reading()
        self._flush(0.0)
        return Refusal(error.status, error.what, method, target, request_id, len(problem.body))

    def turn_away(self, what: str) -> Refusal | None:
        """Refuse the request that has begun to arrive, if one has, since nobody will wait for its rest: 503."""
        return self._refuse(ProtocolError(503, what)) if self._begun else None

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
        if self._eof and isinstance(first, Exchange) and first.output is None and first.request.version != "1.0":
            self._speak_between(PROCESSING)

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
        self.arriving = 0
        self.wants_input = True
        self.next_deadline = None
