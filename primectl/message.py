"""What a handler sees, whatever protocol the request came by: Request and Job in, Response or Forward out.

A handler that is a generator, or returns one, makes a streamed answer: a Response as its first item, if it likes, then
str and bytes. `docs/handlers.md` is the manual.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec import Struct

Headers = tuple[tuple[str, str], ...]

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
PLAIN: Headers = (("content-type", TEXT),)


class HeaderMap(Mapping[str, str]):
    """Header fields by name, in any case; fields that were sent more than once are joined by ", " (RFC 9110 5.3)."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Headers) -> None:
        joined: dict[str, str] = {}
        for name, value in fields:
            key = name.lower()
            joined[key] = f"{joined[key]}, {value}" if key in joined else value
        self._fields = joined

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class Request(Struct, array_like=True, frozen=True, dict=True):
    """One request as it was sent. `target` is the raw request target (origin form, "/path?query").

    Decoded views (`path`, `query`, `headers`, …) are made when first asked for. Header names and values are latin-1
    text as RFC 9110 5.5 has them, in the order they came. `client` is "address:port", empty when not known.
    """

    method: str
    target: str
    fields: Headers = ()
    body: bytes = b""
    client: str = ""
    path_params: dict[str, str] = {}
    version: str = "1.1"
    scheme: str = "http"

    @cached_property
    def path(self) -> str:
        """The path with its percent-escapes decoded once, as UTF-8; malformed escapes stay as they are."""
        return unquote(self.target.partition("?")[0])

    @cached_property
    def query_items(self) -> tuple[tuple[str, str], ...]:
        """Every key and value of the query, in order, decoded; "a&b=" gives ("a", "") and ("b", "")."""
        return tuple(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @cached_property
    def query(self) -> dict[str, str]:
        """The query as a mapping; the first value of a key that is repeated."""
        return dict(reversed(self.query_items))

    @cached_property
    def headers(self) -> HeaderMap:
        """The header fields by name, in any case."""
        return HeaderMap(self.fields)

    def text(self) -> str:
        """The body as UTF-8; raises HTTPError 400 where it is not."""
        try:
            return self.body.decode()
        except UnicodeDecodeError as error:
            raise HTTPError(400, f"the body is not UTF-8: {error.reason} at byte {error.start}") from None

    def json(self) -> Any:
        """The body as JSON; raises HTTPError 400 where it is not."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise HTTPError(400, f"the body is not JSON: {error}") from None


class Response(Struct, array_like=True, frozen=True):
    """An answer to the client. `Content-Length`, `Date` and `X-Request-Id` are added by the server."""

    status: int = 200
    fields: Headers = ()
    body: bytes = b""

    @classmethod
    def text(cls, text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """Plain text, UTF-8."""
        return cls(status, _fields(TEXT, headers) if headers else PLAIN, text.encode())

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """Any JSON value."""
        return cls(status, _fields(JSON, headers), json.dumps(value).encode())

    @classmethod
    def data(
        cls,
        body: bytes,
        content_type: str = "application/octet-stream",
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Bytes of the given media type."""
        return cls(status, _fields(content_type, headers), body)

    @classmethod
    def problem(cls, status: int, detail: str, request_id: str = "") -> Response:
        """A problem+json answer as the system itself makes them (RFC 9457)."""
        body = {"type": "about:blank", "title": reason(status), "status": status, "detail": detail}
        if request_id:
            body["request_id"] = request_id
        return cls(status, (("content-type", "application/problem+json"),), json.dumps(body).encode())

    @classmethod
    def unavailable(cls, detail: str, request_id: str = "") -> Response:
        """A 503 as the system itself makes them: the problem, and that it is worth asking again in a second."""
        problem = cls.problem(503, detail, request_id)
        return cls(503, (*problem.fields, ("retry-after", "1")), problem.body)


class Forward(Struct, frozen=True):
    """Hand the request on to another pool: `payload` is what that pool's handler gets as its first argument.

    A payload is None, a bool, an int of any size, a float, str, bytes, a date or time, a UUID, a Decimal, a Request,
    or a list, tuple, set, dict or dataclass of those. It arrives as plain data: tuples and sets as lists,
    dataclasses as dicts. `key` names the job's affinity, in place of what the pool's own `affinity` function says.
    """

    pool: str
    payload: Any
    key: str = ""


class Job:
    """One request at one pool, as its handler sees it."""

    __slots__ = ("attempt", "cancelled", "deadline", "id", "pool", "request_id", "worker")

    def __init__(self, id: int, request_id: str, pool: str, worker: str, attempt: int, deadline: float) -> None:  # noqa: A002
        self.id = id
        self.request_id = request_id
        self.pool = pool
        self.worker = worker
        self.attempt = attempt
        """1 for the first worker that gets it, one more after each worker lost."""
        self.deadline = deadline
        """Monotonic seconds after which nobody waits for the answer; a streamed one has more time with every part."""
        self.cancelled = False
        """True once the client has left or the deadline has passed: `JobCancelled` is raised in the handler, and its
        answer will be dropped."""


class JobCancelled(BaseException):
    """Raised in a running handler when its client has left or its time is over: clean up and let it pass.

    It may come between any two steps, also out of a call that blocks, and again while the handler does not end.
    Not an Exception, as asyncio.CancelledError is not: a handler that goes on after any error shall still end here.
    """


class HTTPError(Exception):
    """Raised anywhere in a handler: the client gets `status` with `detail` as a problem+json answer."""

    def __init__(self, status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"HTTPError takes a status from 400 to 599, not {status}")
        super().__init__(status, detail)
        self.status = status
        self.detail = detail or reason(status)
        self.headers = dict(headers or {})


class _Problem(Struct):
    detail: str = ""


_problem = msgspec.json.Decoder(_Problem).decode


def problem_detail(body: bytes) -> str:
    """The detail that a problem+json body gives; empty for anything else."""
    try:
        return _problem(body).detail
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def reason(status: int) -> str:
    """The reason phrase of a status, empty for one that is not registered."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _fields(content_type: str, headers: Mapping[str, str] | None) -> Headers:
    if not headers:
        return (("content-type", content_type),)
    if any(name.lower() == "content-type" for name in headers):
        return tuple(headers.items())
    return (("content-type", content_type), *headers.items())
