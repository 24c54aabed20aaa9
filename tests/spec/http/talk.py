"""A client and a shell around one HttpConnection, both in memory, with a clock that only tests move."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from primectl.http.connection import Exchange, HttpConnection, HttpLimits, Refusal
from primectl.message import Request, Response

DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
ID = "0123456789abc"
HOST = b"Host: h\r\n"


def get(target: str = "/", extra: bytes = b"") -> bytes:
    return b"GET %b HTTP/1.1\r\n%b%b\r\n" % (target.encode(), HOST, extra)


def post(body: bytes, extra: bytes = b"") -> bytes:
    return b"POST /p HTTP/1.1\r\n%bContent-Length: %d\r\n%b\r\n%b" % (HOST, len(body), extra, body)


def chunked(encoded: bytes, extra: bytes = b"") -> bytes:
    return b"POST /p HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n%b\r\n%b" % (HOST, extra, encoded)


def with_line(line: bytes) -> bytes:
    return line + b"\r\n" + HOST + b"\r\n"


def with_field(line: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\n" + HOST + line + b"\r\n\r\n"


def echo(request: Request) -> Response:
    return Response.text(f"{request.method} {request.target} {len(request.body)}")


@dataclass(frozen=True)
class Answer:
    """An answer as it came over the line; `fields` by lower-case name."""

    status: int
    fields: dict[str, str]
    body: bytes


@dataclass
class Talk:
    """Answers every request at once unless told otherwise; remembers all that happened."""

    limits: HttpLimits = field(default_factory=HttpLimits)
    handler: Callable[[Request], Response] | None = echo
    now: float = 0.0

    def __post_init__(self) -> None:
        self.connection = HttpConnection(
            self.limits, "10.0.0.9:5000", request_id=lambda: ID, date=lambda: DATE, now=self.now
        )
        self.exchanges: list[Exchange] = []
        self.refusals: list[Refusal] = []
        self.output = b""

    def send(self, *pieces: bytes) -> Talk:
        for piece in pieces:
            self._take(self.connection.receive(piece, self.now))
        return self

    def shut(self) -> Talk:
        self._take(self.connection.receive_eof(self.now))
        return self

    def wait(self, seconds: float) -> Talk:
        self.now += seconds
        self._take(self.connection.tick(self.now))
        return self

    def answer(self, number: int, response: Response | None = None) -> bool:
        """Answer exchange `number`, the first being 0."""
        exchange = self.exchanges[number]
        usable = self.connection.answer(exchange, response or echo(exchange.request), ID, self.now)
        self.take()
        return usable

    def take(self) -> bytes:
        """What a transport that takes everything is given now; `output` has it all."""
        before = len(self.output)
        while piece := self.connection.take_output():
            self.output += piece
        return self.output[before:]

    def go_on(self) -> Talk:
        """What a shell does once `wants_input` is True again."""
        return self.send(b"")

    def _take(self, items: Iterable[Exchange | Refusal]) -> None:
        items = list(items)
        while items:
            for item in items:
                if isinstance(item, Refusal):
                    self.refusals.append(item)
                    continue
                self.exchanges.append(item)
                if self.handler is not None:
                    self.connection.answer(item, self.handler(item.request), ID, self.now)
            self.take()
            items = self.connection.receive(b"", self.now) if self.connection.waiting else []
        self.take()

    @property
    def requests(self) -> list[Request]:
        return [exchange.request for exchange in self.exchanges]

    @property
    def request(self) -> Request:
        """The only one."""
        (request,) = self.requests
        return request

    @property
    def answers(self) -> list[Answer]:
        return parse_answers(self.output, [request.method for request in self.requests])

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]

    @property
    def finished(self) -> bool:
        return self.connection.finished


def talk(raw: bytes, limits: HttpLimits | None = None) -> Talk:
    return Talk(limits or HttpLimits()).send(raw)


def parse_answers(output: bytes, methods: list[str]) -> list[Answer]:
    """Whole answers, strictly framed by Content-Length; fails on anything left over."""
    answers: list[Answer] = []
    while output:
        head, end, output = output.partition(b"\r\n\r\n")
        assert end, f"an answer without end: {head!r}"
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version == "HTTP/1.1"
        fields: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(": ")
            assert colon
            assert name.lower() not in fields, f"{name} twice"
            fields[name.lower()] = value
        final = len([answer for answer in answers if answer.status >= 200])
        bodyless = status in ("100", "204", "304") or (final < len(methods) and methods[final] == "HEAD")
        assert status in ("100", "204", "304") or "content-length" in fields
        length = 0 if bodyless else int(fields["content-length"])
        assert len(output) >= length
        answers.append(Answer(int(status), fields, output[:length]))
        output = output[length:]
    return answers
