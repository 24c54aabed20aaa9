"""Answers, from bytes."""

from __future__ import annotations

import pytest

from primectl.http.answer import BETWEEN_LIMIT, BODY_LIMIT, AnswerParser, AskingFailed
from primectl.message import Response
from tests.spec.http.talk import Talk

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"


def parsed(method: str, *pieces: bytes) -> tuple[Response | None, AnswerParser]:
    parser = AnswerParser()
    parser.expect(method)
    answer = None
    for piece in pieces:
        answer = parser.feed(piece)
    return answer, parser


@pytest.mark.parametrize(
    ("method", "raw", "body", "keeps_alive"),
    [
        ("GET", OK, b"ab", True),
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ab", True),
        ("GET", b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + OK, b"ab", True),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"", True),
        ("HEAD", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"", True),
        ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", b"", True),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n\r\n", b"ab", True),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n", b"ab", True),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"", True),
        ("GET", b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nab", b"ab", False),
        ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", b"ab", False),
        ("GET", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab", b"ab", True),
    ],
)
def test_an_answer_is_read_whole_however_it_is_cut(method: str, raw: bytes, body: bytes, keeps_alive: bool):
    bare = raw.replace(b"X: y\r\n", b"")  # trailers and what interim responses say are passed over
    for pieces in ([raw], [bytes([byte]) for byte in raw], [bare]):
        answer, parser = parsed(method, *pieces)
        assert answer is not None
        assert answer.body == body
        assert parser.keeps_alive is keeps_alive
        assert "x" not in dict(answer.fields)


def test_one_connection_brings_one_answer_after_the_other():
    parser = AnswerParser()
    for method, raw, status, body in (
        ("GET", OK, 200, b"ab"),
        ("HEAD", b"HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\nX: y\r\n\r\n", 404, b""),
        ("HEAD", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        ("POST", b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ab"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", 304, b""),
        ("GET", OK, 200, b"ab"),
    ):
        parser.expect(method)
        assert not parser.begun
        answer = parser.feed(raw)
        assert answer is not None
        assert (answer.status, answer.body, parser.keeps_alive) == (status, body, True)


def test_field_names_are_small_and_values_without_blanks_around_them():
    answer, _ = parsed("GET", b"HTTP/1.1 200 OK\r\nX-A:  caf\xe9 \r\nx-a: 2\r\nContent-Length: 0\r\n\r\n")
    assert answer == Response(200, (("x-a", "café"), ("x-a", "2"), ("content-length", "0")))


def test_an_answer_without_framing_ends_with_the_connection():
    answer, parser = parsed("GET", b"HTTP/1.1 200 OK\r\n\r\na", b"b")
    assert answer is None
    assert parser.end() == Response(200, (), b"ab")
    assert not parser.keeps_alive


@pytest.mark.parametrize("junk", [b"junk", OK])
def test_bytes_behind_an_answer_end_the_use_of_its_connection(junk: bytes):
    for method, raw in (("GET", OK), ("HEAD", OK[:-2]), ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n")):
        answer, parser = parsed(method, raw + junk)
        assert answer is not None
        assert answer.status == 200
        assert not parser.keeps_alive


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        OK[:20],
        OK[:-1],
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    ],
)
def test_what_ends_too_early_is_no_answer(raw: bytes):
    _, parser = parsed("GET", *([raw] if raw else []))
    with pytest.raises(AskingFailed, match="closed the connection before its answer was whole"):
        parser.end()


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"junk", "no HTTP response"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "no HTTP response"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "no HTTP response"),
    ],
)
def test_what_is_no_answer_is_said_to_be_none(raw: bytes, why: str):
    with pytest.raises(AskingFailed, match=why):
        parsed("GET", raw)


@pytest.mark.parametrize("head", [f"Content-Length: {BODY_LIMIT + 1}\r\n\r\n", "\r\n"])
def test_a_body_beyond_the_limit_is_no_answer(head: str):
    _, parser = parsed("GET", f"HTTP/1.1 200 OK\r\n{head}".encode())
    piece = bytes(1 << 20)
    for _ in range(BODY_LIMIT >> 20):
        parser.feed(piece)
    with pytest.raises(AskingFailed, match="the answer is longer than 64 MiB"):
        parser.feed(piece)


def test_a_body_at_the_limit_is_an_answer():
    answer, _ = parsed("GET", f"HTTP/1.1 200 OK\r\nContent-Length: {BODY_LIMIT}\r\n\r\n".encode(), bytes(BODY_LIMIT))
    assert answer is not None
    assert len(answer.body) == BODY_LIMIT


@pytest.mark.parametrize(
    "before",
    [
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: ",
    ],
)
def test_what_is_no_body_and_has_no_end_is_no_answer(before: bytes):
    _, parser = parsed("GET", before)
    piece = b"a" * (1 << 16)
    for _ in range((BETWEEN_LIMIT >> 16) - 1):
        parser.feed(piece)
    with pytest.raises(AskingFailed, match="more than 1 MiB beside its body"):
        parser.feed(piece * 2)


def test_it_understands_what_our_own_side_says():
    talk = Talk().send(b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
    answer, _ = parsed("POST", talk.output)
    assert answer is not None
    assert answer.body == b"POST /p 3"
