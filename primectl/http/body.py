"""Request bodies as their bytes come in, of a declared length or chunked, never larger than the limit."""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from primectl.errors import ProtocolError
from primectl.http.limits import HttpLimits


class SizedBody:
    """A body of a declared length, which is within the limit."""

    __slots__ = ("_body", "_length", "done")

    def __init__(self, length: int) -> None:
        self._body = bytearray()
        self._length = length
        self.done = False

    def feed(self, data: bytes, pos: int) -> int:
        """Take what belongs to the body from `data[pos:]`; returns where the rest begins."""
        end = min(len(data), pos + self._length - len(self._body))
        self._body += data[pos:end]
        self.done = len(self._body) == self._length
        return end

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return len(self._body)

    def take(self) -> bytes:
        """The whole body, once `done`."""
        return bytes(self._body)


class ChunkedBody:
    """A chunked body. llhttp judges every byte; we walk beside it, because it does not tell where a message ends.

    The bytes go to llhttp in pieces that end where a line or a chunk ends, and a message ends with a line. Trailers
    are checked, counted and dropped (RFC 9112 7.1.2).
    """

    __slots__ = (
        "_body",
        "_extensions",
        "_limits",
        "_line",
        "_parser",
        "_rest",
        "_sized",
        "_trailer_lines",
        "_trailers",
        "done",
    )

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._body = bytearray()
        self._line = bytearray()
        self._rest = 0
        """Bytes to come of the present chunk with its CRLF; 0 when a line is next."""
        self._extensions = 0
        self._trailers = -1
        """Bytes of trailers, -1 before the last chunk."""
        self._trailer_lines = 0
        self._sized = False
        self.done = False
        self._parser = HttpRequestParser(self)
        self._parser.feed_data(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")

    def feed(self, data: bytes, pos: int) -> int:
        """Take what belongs to the body from `data[pos:]`; returns where the rest begins. Raises ProtocolError."""
        while pos < len(data) and not self.done:
            if self._rest:
                end = min(len(data), pos + self._rest)
                self._rest -= end - pos
                self._run(data[pos:end])
            else:
                end = data.find(b"\n", pos) + 1 or len(data)
                if self._trailers < 0:
                    self._size_line(data[pos:end])
                else:
                    self._trailer_line(data[pos:end])
            pos = end
        return pos

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return len(self._body)

    def take(self) -> bytes:
        """The whole body, once `done`."""
        del self._parser  # it holds our methods: without a cycle nothing waits for the collector
        return bytes(self._body)

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_chunk_header(self) -> None:
        self._sized = True

    def on_message_complete(self) -> None:
        self.done = True

    def _size_line(self, piece: bytes) -> None:
        room = self._limits.max_extensions + 18 - self._extensions - len(self._line)
        self._run(piece[:room])
        self._line += piece
        if len(piece) > room:
            raise ProtocolError(400, f"more than {self._limits.max_extensions} bytes of chunk extensions")
        if not self._line.endswith(b"\n"):
            return
        if not self._sized:
            raise ProtocolError(400, "malformed chunk: its size line is not one line")
        digits = self._line.partition(b";")[0].strip()
        size = int(digits, 16)  # llhttp has let nothing but hexadecimal digits pass
        self._extensions += max(len(self._line) - 18, 0)
        self._line.clear()
        self._sized = False
        if len(self._body) + size > self._limits.max_request_size:
            raise ProtocolError(413, f"the body is larger than {self._limits.max_request_size} bytes")
        if size:
            self._rest = size + 2
        else:
            self._trailers = 0

    def _trailer_line(self, piece: bytes) -> None:
        room = self._limits.max_header_size - self._trailers
        self._run(piece[:room])
        self._trailers += len(piece)
        self._trailer_lines += piece.endswith(b"\n")
        if len(piece) > room:
            raise ProtocolError(431, f"the trailer fields are longer than {self._limits.max_header_size} bytes")
        if self._trailer_lines > self._limits.max_headers + 1:
            raise ProtocolError(431, f"more than {self._limits.max_headers} trailer fields")

    def _run(self, piece: bytes) -> None:
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade:
            pass  # the message is complete; nothing behind it is in this piece
        except HttpParserError as error:
            raise ProtocolError(400, f"malformed chunked body: {error}") from None


Body = SizedBody | ChunkedBody
