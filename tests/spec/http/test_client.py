"""Responses, from bytes."""

from __future__ import annotations

import pytest

from primectl.http.client import AskingFailed, ResponseParser
from primectl.message import Response
from tests.spec.http.talk import Talk

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"


def parsed(method: str, *pieces: bytes) -> ResponseParser:
    parser = ResponseParser(method)
    for piece in pieces:
        parser.feed(piece)
    return parser


@pytest.mark.parametrize(
    ("method", "raw", "body", "keeps_alive"),
    [
        ("GET", OK, b"ab", True),
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ab", True),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"", True),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n\r\n", b"ab", True),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"", True),
        ("GET", b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nab", b"ab", False),
        ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", b"ab", False),
        ("GET", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab", b"ab", True),
    ],
)
def test_a_response_is_read_whole_however_it_is_cut(method: str, raw: bytes, body: bytes, keeps_alive: bool):
    for pieces in ([raw], [bytes([byte]) for byte in raw]):
        parser = parsed(method, *pieces)
        assert parser.response is not None
        assert parser.response.body == body
        assert parser.keeps_alive is keeps_alive
        assert "x" not in dict(parser.response.fields)


def test_a_response_without_framing_ends_with_the_connection():
    parser = parsed("GET", b"HTTP/1.1 200 OK\r\n\r\nab")
    assert parser.response is None
    parser.feed(b"")
    assert parser.response == Response(200, (), b"ab")
    assert not parser.keeps_alive


def test_bytes_behind_a_response_end_the_use_of_its_connection():
    assert not parsed("GET", OK + b"junk").keeps_alive
    assert not parsed("GET", OK, b"junk").keeps_alive


@pytest.mark.parametrize(
    "pieces",
    [
        (b"junk",),
        (b"",),
        (OK[:20], b""),
        (OK[:-1], b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", b""),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",),
    ],
)
def test_what_is_no_whole_response_is_said_to_be_none(pieces: tuple[bytes, ...]):
    with pytest.raises(AskingFailed):
        parsed("GET", *pieces)


def test_it_understands_what_our_own_side_says():
    talk = Talk().send(b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
    parser = parsed("POST", talk.output)
    assert parser.response is not None
    assert parser.response.body == b"POST /p 3"
