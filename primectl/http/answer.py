"""Bytes to answers: what a client reads from one connection."""

from __future__ import annotations

from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from primectl.errors import PrimectlError
from primectl.message import Response

BODY_LIMIT: Final = 64 << 20
"""An answer with a longer body is none."""
BETWEEN_LIMIT: Final = 1 << 20
"""Bytes of an answer that are no body, in a row: its head, interim responses, the sizes of chunks, trailers."""
_NAMES_KEPT: Final = 512


class AskingFailed(PrimectlError):
    """There was no answer: not connected, cut off, too late, or it is not HTTP. `connected` is False where nothing
    could be sent."""

    def __init__(self, what: str, where: str = "", mend: str = "", *, connected: bool = True) -> None:
        super().__init__(what, where, mend)
        self.connected = connected


class AnswerParser:
    """The answers of one connection, one after the other. Interim responses (1xx) are passed over, trailers too.

    Before each answer `expect` its method; then `feed` says when it is there, and `keeps_alive` whether the connection
    can be used for another.
    """

    def __init__(self) -> None:
        self.keeps_alive = False
        self.begun = False
        """Some of the answer has come."""
        self._names: dict[bytes, str] = {}
        self._parser = HttpResponseParser(self)
        self._answer: Response | None = None
        self._bodyless = False
        self._too_long = False
        self._fields: list[tuple[str, str]] = []
        self._options: list[str] = []
        self._framed = False
        self._in_head = True
        self._status = 0
        self._body: bytes | bytearray = b""
        self._between = 0

    def expect(self, method: str) -> None:
        """The next bytes are the answer to a request with this method."""
        if self._bodyless:
            # This parser waits for a body that a HEAD's answer only announces.
            self._parser = HttpResponseParser(self)
        self._bodyless = method == "HEAD"
        self._answer = None
        self.begun = False
        self._restart()

    def feed(self, data: bytes) -> Response | None:
        """The answer, once its last byte has come. Raises AskingFailed if the bytes are none."""
        self.begun = True
        self._between += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            raise AskingFailed("the server switched to another protocol") from None
        except HttpParserError as error:
            if self._answer is None and not self._too_long:
                raise AskingFailed(f"the answer is no HTTP response: {error}") from None
            self.keeps_alive = False  # the answer is whole; what is behind it is not ours to judge
        if self._answer is None:
            if self._too_long:
                raise AskingFailed(f"the answer is longer than {BODY_LIMIT >> 20} MiB")
            if self._between > BETWEEN_LIMIT:
                raise AskingFailed(f"the answer has more than {BETWEEN_LIMIT >> 20} MiB beside its body")
        return self._answer

    def end(self) -> Response:
        """The connection has ended: the answer whose end that is. Raises AskingFailed if it is not."""
        if self._in_head or self._framed:
            raise AskingFailed("the server closed the connection before its answer was whole")
        self.keeps_alive = False
        return self._whole()

    def on_message_begin(self) -> None:
        if self._answer is not None:
            self.keeps_alive = False  # more than was asked for
            return
        self._restart()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head or self._answer is not None:
            return
        key = self._names.get(name)
        if key is None:
            key = name.decode("latin-1").lower()
            if len(self._names) < _NAMES_KEPT:
                self._names[name] = key
        text = value.decode("latin-1").strip()
        self._fields.append((key, text))
        if key == "connection":
            self._options += [option.strip().lower() for option in text.split(",")]
        elif key in ("content-length", "transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        if self._answer is not None:
            return
        self._status = self._parser.get_status_code()
        if self._status < 200:
            return
        self._in_head = False
        old = self._parser.get_http_version() == "1.0"
        self.keeps_alive = "close" not in self._options and (not old or "keep-alive" in self._options)
        if self._bodyless:
            self._answer = self._whole()

    def on_body(self, data: bytes) -> None:
        if self._answer is not None:
            self.keeps_alive = False
            return
        self._between = 0
        if not self._body:
            self._body = data
            return
        if not isinstance(self._body, bytearray):
            self._body = bytearray(self._body)
        if len(self._body) + len(data) > BODY_LIMIT:
            self._too_long = True
        else:
            self._body += data

    def on_message_complete(self) -> None:
        if self._answer is None and not self._in_head and not self._too_long:
            self._answer = self._whole()

    def _restart(self) -> None:
        self._fields = []
        self._options = []
        self._framed = False
        self._in_head = True
        self._status = 0
        self._body = b""
        self._between = 0

    def _whole(self) -> Response:
        return Response(self._status, tuple(self._fields), bytes(self._body))
