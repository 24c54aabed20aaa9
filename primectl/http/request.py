"""A request's head, from bytes to what it says; and the judgement on bytes that can no longer become one.

How to think about it. A head is looked at whole: the request line here, the field lines by llhttp (httptools), which
is strict about names, values, line ends, Content-Length and Transfer-Encoding. llhttp does not get the client's
request line but a fixed one, since it knows a closed list of methods, stops parsing at `Upgrade`, and cannot tell a
version that is wrong from one that is not supported. What llhttp leaves open (Host, number and size of fields,
transfer codings, expectations) is checked here.

Clients repeat themselves: all of a head after its first line is mostly the same from request to request. Small field
blocks that were parsed once are therefore remembered with their meaning, which depends on nothing but the bytes.

While a head is incomplete, `judge_line` and `judge_block` refuse it as early as no further byte can mend it. They
judge by the first wrong byte, so that a request gets the same answer however its bytes are cut into reads.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from msgspec import Struct

from primectl.errors import ProtocolError
from primectl.http.limits import HttpLimits
from primectl.message import Headers

CHUNKED: Final = -1
LONGEST_METHOD: Final = 32
END_OF_HEAD: Final = b"\r\n\r\n"

_MEMO_BLOCK: Final = 1024
_MEMO_ENTRIES: Final = 1024
"""With what they point to, remembered blocks take a few MiB at most."""

_METHODS: Final = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "QUERY")
}
_VERSIONS: Final = {b"HTTP/1.1": 1, b"HTTP/1.0": 0}
_TARGET_BYTES: Final = bytes([0x21, 0x22, *range(0x24, 0x7F), *range(0x80, 0x100)])
"""What may stand in a target: no control bytes, no space, no fragment ("#")."""
_FIELD_BYTES: Final = bytes([0x09, 0x0A, 0x0D, *range(0x20, 0x7F), *range(0x80, 0x100)])

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"[!\"$-~\x80-\xff]+")
_VERSION = re.compile(rb"HTTP/([0-9])\.([0-9])\r\n")
_VERSION_BEGUN = re.compile(rb"(?:H(?:T(?:T(?:P(?:/(?:[0-9](?:\.(?:[0-9]\r?)?)?)?)?)?)?)?)?")
_WRONG_BYTE = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n|\Z)|(?<!\r)\n")
_ABSOLUTE = re.compile(r"https?://([^/?]*)(.*)", re.IGNORECASE)
_AUTHORITY = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+)(?::(?P<port>[0-9]{0,5}))?"
)


class RequestLine(Struct, frozen=True):
    """The first line. `target` is in origin form, or "*"; `minor` is that of HTTP/1.x."""

    method: str
    target: str
    minor: int
    authority: str = ""
    """The host that an absolute-form target named; it replaces the Host field (RFC 9112 3.2.2)."""


class Fields(Struct, frozen=True):
    """The field lines and what they say about the message."""

    fields: Headers
    host: bool
    """There is a Host; it is the only one, and an authority."""
    length: int
    """Bytes of the body, or CHUNKED."""
    close: bool
    keep_alive: bool
    expect: str
    """The expectation in lower case, empty where there is none."""

    def with_host(self, authority: str) -> Headers:
        """The fields, with another value of Host."""
        return tuple((name, authority if name == "host" else value) for name, value in self.fields)


def parse_line(line: bytes, limits: HttpLimits) -> RequestLine:
    """The meaning of a whole request line, given without its CRLF. Raises ProtocolError."""
    parts = line.split(b" ")
    if (
        len(parts) == 3
        and (method := _METHODS.get(parts[0])) is not None
        and (minor := _VERSIONS.get(parts[2])) is not None
        and parts[1][:1] == b"/"
        and len(parts[1]) <= limits.max_url_size
        and not parts[1].translate(None, _TARGET_BYTES)
    ):
        return RequestLine(method, parts[1].decode("latin-1"), minor)
    judge_line(line + b"\r\n", limits)
    return _unusual_line(*line.decode("latin-1").split(" "))


def parse_fields(block: bytes, limits: HttpLimits) -> Fields:
    """The meaning of the field lines up to and with the empty line. Raises ProtocolError."""
    known = _memo.get(block)
    if known is not None and len(known.fields) <= limits.max_headers and len(block) <= limits.max_header_size:
        return known
    judge_block(block, 0, 0, limits)
    if block.count(b"\r\n") > limits.max_headers + 1:
        raise ProtocolError(431, f"more than {limits.max_headers} header fields")
    fields = _meaning(_read(block))
    if len(block) <= _MEMO_BLOCK:
        if len(_memo) >= _MEMO_ENTRIES:
            _memo.clear()
        _memo[block] = fields
    return fields


def check(line: RequestLine, fields: Fields, limits: HttpLimits) -> None:
    """What line and fields must agree on, and what of it is served. Raises ProtocolError."""
    if line.minor == 0:
        if fields.length == CHUNKED:
            raise ProtocolError(400, "Transfer-Encoding in an HTTP/1.0 request")
    elif not fields.host:
        raise ProtocolError(400, "there is no Host header")
    elif fields.expect not in ("", "100-continue"):
        raise ProtocolError(417, "the only expectation that can be met is 100-continue")
    if fields.length > limits.max_request_size:
        raise ProtocolError(413, f"the body is larger than {limits.max_request_size} bytes")


def judge_line(begun: bytes, limits: HttpLimits) -> None:
    """Refuse the first bytes of a request, up to and with the CRLF of its first line, if nothing can mend them."""
    method = _TOKEN.match(begun)
    if method is None:
        raise ProtocolError(400, "this is no HTTP request")
    end = method.end()
    if end > LONGEST_METHOD:
        raise ProtocolError(400, f"the method is longer than {LONGEST_METHOD} bytes")
    if end == len(begun):
        return
    if begun[end] != 0x20:
        raise ProtocolError(400, "the method is no token")
    target = _TARGET.match(begun, end + 1)
    start, end = end + 1, target.end() if target else end + 1
    if end - start > limits.max_url_size:
        raise ProtocolError(414, f"the request target is longer than {limits.max_url_size} bytes")
    if end == len(begun):
        return
    if target is None or begun[end] != 0x20:
        raise ProtocolError(400, "the request line is not a method, a target and a version")
    version = _VERSION.fullmatch(begun, end + 1)
    if version is None:
        if _VERSION_BEGUN.fullmatch(begun, end + 1) is None:
            raise ProtocolError(400, "the request line does not end in an HTTP version")
    elif method[0] == b"PRI":
        raise ProtocolError(400, "HTTP/2 is not spoken here")
    elif version[1] != b"1":
        raise ProtocolError(505, "the HTTP versions spoken here are 1.0 and 1.1")


def judge_block(begun: bytes | bytearray, start: int, unseen: int, limits: HttpLimits) -> None:
    """Refuse field lines, complete or not, that begin at `start`, if nothing can mend them.

    Bytes before `unseen` have been judged before.
    """
    wrong = None
    if (
        unseen
        or begun.translate(None, _FIELD_BYTES)
        or not begun.count(b"\r") == begun.count(b"\n") == begun.count(b"\r\n")
    ):
        wrong = _WRONG_BYTE.search(begun, max(unseen - 1, start))
    if wrong is not None and wrong.start() - start < limits.max_header_size:
        raise ProtocolError(400, "the header holds a control byte, or a line end that is not CRLF")
    if len(begun) - start > limits.max_header_size:
        raise ProtocolError(431, f"the header fields are longer than {limits.max_header_size} bytes")


def is_authority(text: str) -> bool:
    """Whether `text` is a host with or without a port (RFC 3986 3.2, without user information)."""
    parts = _AUTHORITY.fullmatch(text)
    if parts is None or int(parts["port"] or 0) > 0xFFFF:
        return False
    if parts["six"] is None:
        return True
    try:
        ipaddress.IPv6Address(parts["six"])
    except ValueError:
        return False
    return True


_memo: dict[bytes, Fields] = {}


class _Collector:
    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: list[tuple[str, str]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.decode("ascii").lower(), value.decode("latin-1").strip(" \t")))


def _read(block: bytes) -> list[tuple[str, str]]:
    collector = _Collector()
    try:
        HttpRequestParser(collector).feed_data(b"POST / HTTP/1.1\r\n" + block)
    except HttpParserUpgrade:
        pass  # raised behind the empty line, when all fields are known: `Upgrade` is ignored (RFC 9110 7.8)
    except HttpParserError as error:
        raise ProtocolError(400, f"malformed header: {error}") from None
    return collector.fields


def _meaning(fields: list[tuple[str, str]]) -> Fields:
    hosts = [value for name, value in fields if name == "host"]
    if len(hosts) > 1:
        raise ProtocolError(400, "there is more than one Host header")
    if hosts and not is_authority(hosts[0]):
        raise ProtocolError(400, "Host is no host and port")
    options = _listed(fields, "connection")
    return Fields(
        fields=tuple(fields),
        host=bool(hosts),
        length=_length(fields),
        close="close" in options,
        keep_alive="keep-alive" in options,
        expect=", ".join(_listed(fields, "expect")),
    )


def _length(fields: list[tuple[str, str]]) -> int:
    codings = _listed(fields, "transfer-encoding")
    if codings:
        if codings != ["chunked"]:
            raise ProtocolError(501, "the only transfer coding understood is chunked")
        return CHUNKED
    lengths = [value for name, value in fields if name == "content-length"]
    return int(lengths[0].lstrip("0") or "0") if lengths else 0  # int() refuses thousands of zeros


def _listed(fields: list[tuple[str, str]], name: str) -> list[str]:
    return [item.strip(" \t").lower() for key, value in fields if key == name for item in value.split(",")]


def _unusual_line(method: str, target: str, version: str) -> RequestLine:
    """A well-formed line that has a method, a target form or a version one seldom sees."""
    minor = min(int(version[-1]), 1)
    if method == "CONNECT":
        raise ProtocolError(501, "CONNECT: this server opens no tunnels")
    if target.startswith("/") or (target == "*" and method == "OPTIONS"):
        return RequestLine(method, target, minor)
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or not is_authority(absolute[1]):
        raise ProtocolError(400, "the request target is neither a path nor an http URI")
    rest = absolute[2]
    if not rest:
        rest = "*" if method == "OPTIONS" else "/"
    return RequestLine(method, rest if rest[0] in "/*" else f"/{rest}", minor, absolute[1])
