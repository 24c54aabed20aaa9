"""HTTP/1.1 from the other side: a parser of responses without a socket, and a small client for replay and samples.

One `HttpClient` keeps one connection open and asks one thing at a time; whoever wants more at once takes several.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Self
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from primectl.errors import PrimectlError
from primectl.message import Response

READ_SIZE: Final = 1 << 16
SAFE_TO_REPEAT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Idempotent methods: sent again if a kept connection turns out to be closed (RFC 9110 9.2.2)."""


class AskingFailed(PrimectlError):
    """There was no answer: not connected, cut off, too late, or it is not HTTP."""


class ResponseParser:
    """The bytes of one response, the answer to `method`. Interim responses (1xx) are passed over.

    `keeps_alive` tells, once `response` is there, whether the connection can be used again.
    """

    def __init__(self, method: str) -> None:
        self._bodyless = method == "HEAD"
        self._body = bytearray()
        self._fields: list[tuple[str, str]] = []
        self._in_head = True
        self._begun = False
        self.keeps_alive = False
        self.response: Response | None = None
        self._parser = HttpResponseParser(self)

    @property
    def begun(self) -> bool:
        """Some of the response has come."""
        return self._begun

    def feed(self, data: bytes) -> None:
        """Take more bytes; empty at the end of the stream. Raises AskingFailed if they are no response."""
        if self.response is not None:
            self.keeps_alive = False
            return
        if not data:
            self._end()
            return
        self._begun = True
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            raise AskingFailed("the server switched to another protocol") from None
        except HttpParserError as error:
            self._broken(error)

    def on_message_begin(self) -> None:
        self._fields.clear()
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            self._fields.append((name.decode("ascii").lower(), value.decode("latin-1").strip()))

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._bodyless and self._parser.get_status_code() >= 200:
            self._whole()

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        if self.response is None and self._parser.get_status_code() >= 200:
            self._whole()

    def _whole(self) -> None:
        options = [
            item.strip().lower() for name, value in self._fields if name == "connection" for item in value.split(",")
        ]
        old = self._parser.get_http_version() == "1.0"
        self.keeps_alive = "close" not in options and (not old or "keep-alive" in options)
        self.response = Response(self._parser.get_status_code(), tuple(self._fields), bytes(self._body))

    def _broken(self, error: HttpParserError) -> None:
        if self.response is None:
            raise AskingFailed(f"the answer is no HTTP response: {error}") from None
        self.keeps_alive = False  # the answer is whole; what is behind it is not ours to judge

    def _end(self) -> None:
        framed = any(name in ("content-length", "transfer-encoding") for name, _ in self._fields)
        if self._in_head or framed:
            raise AskingFailed("the server closed the connection before its answer was whole")
        self._whole()
        self.keeps_alive = False


class HttpClient:
    """`url` is "http://host:port" or "unix:/path". `timeout` is seconds for one whole question and answer."""

    def __init__(self, url: str, *, timeout: float = 30.0) -> None:
        self._url = url
        self._timeout = timeout
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        if url.startswith("unix:"):
            self._path, self._host, self._port, self._authority = url.removeprefix("unix:"), "", 0, "localhost"
            return
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise AskingFailed("only http://host:port and unix:/path can be asked", url)
        self._path, self._host, self._port = "", parts.hostname, parts.port or 80
        self._authority = parts.netloc.rpartition("@")[2]

    async def ask(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Response:
        """Send one request, return its answer. Raises AskingFailed."""
        fields = {"host": self._authority, **{name.lower(): value for name, value in (headers or {}).items()}}
        if body or method in ("POST", "PUT", "PATCH"):
            fields["content-length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        raw = f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(method, raw)
        except TimeoutError:
            await self.close()
            raise AskingFailed(f"no answer within {self._timeout:g} s", self._url) from None
        except OSError as error:
            await self.close()
            raise AskingFailed(f"cannot be asked: {error}", self._url) from None
        except AskingFailed:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection, if there is one; the client may be used again."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _exchange(self, method: str, raw: bytes) -> Response:
        kept = self._writer is not None
        parser = ResponseParser(method)
        try:
            return await self._once(parser, raw)
        except (OSError, AskingFailed):
            await self.close()
            if not kept or parser.begun or method not in SAFE_TO_REPEAT:
                raise
        return await self._once(ResponseParser(method), raw)

    async def _once(self, parser: ResponseParser, raw: bytes) -> Response:
        if self._reader is None or self._writer is None:
            if self._path:
                self._reader, self._writer = await asyncio.open_unix_connection(self._path)
            else:
                self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        self._writer.write(raw)
        while parser.response is None:
            parser.feed(await self._reader.read(READ_SIZE))
        if not parser.keeps_alive:
            await self.close()
        return parser.response
