"""What one request may be, row by row: accepted and how it is read, or refused and with which status."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primectl.http.connection import HttpLimits
from tests.spec.http.talk import HOST, Talk, chunked, get, parse_answers, post, talk, with_field, with_line

SMALL = HttpLimits(max_request_size=100, max_header_size=300, max_headers=10, max_url_size=64, max_extensions=50)
LONG = b"x" * 400

LENGTHS = (
    b"-1", b"+1", b"0x5", b"1_0", b"1.0", b"1e1", b"", b" ", b"five", b"5 5", b"5, 5", b"5,6", b"5;", b'"5"',
    b"\x0b5", b"18446744073709551616", b"9" * 100, b"\xb2",
)  # fmt: skip

CODINGS = (
    b"gzip", b"identity", b"xchunked", b"chunkedx", b"chunked, gzip", b"chunked, chunked", b"chunked;q=1",
    b'"chunked"', b"\x0bchunked", b"chun\tked", b"", b"chunked\x00", b"chunked\t", b"cow", b"chunked, identity",
)  # fmt: skip

CHUNKS = (
    b"x\r\n", b"-3\r\nabc\r\n", b"+3\r\nabc\r\n", b"0x3\r\nabc\r\n", b" 3\r\nabc\r\n", b"3 \r\nabc\r\n", b"\r\n",
    b"3_0\r\n", b"fffffffffffffffff\r\n", b"3\r\nabcd\r\n", b"4\r\nabc\r\n0\r\n\r\n", b"3\r\nabc0\r\n\r\n",
    b"3\nabc\r\n0\r\n\r\n", b"3\r\nabc\n0\r\n\r\n", b"3\r\nabc\r\n0\n\r\n", b"0\r\nX y\r\n\r\n", b"0\r\n: y\r\n\r\n",
    b"0\r\nX: y\r\n z\r\n\r\n", b"0\r\nX: y\n\r\n", b"0\r\nX: y\0\r\n\r\n", b"0\r\n\n", b"0\r\n\rX",
    b"0\r\nContent-Length: 3\r\n\r\n", b"0\r\nTransfer-Encoding: chunked\r\n\r\n", b"3;a\nabc\r\n",
    b"3;a\rb\r\nabc\r\n", b"3;\0\r\nabc\r\n", b'3;a="\n"\r\nabc\r\n', b"3;" + b"a" * 100 + b"\r\nabc\r\n",
    b"3;" + b"a" * 100, b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n" * 9, b"0" * 100,
)  # fmt: skip

REFUSED: dict[str, tuple[int, bytes]] = {
    # the first line
    "a TLS hello": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "an HTTP/2 preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "a response": (400, b"HTTP/1.1 200 OK\r\n\r\n"),
    "random bytes": (400, b"\x8e\x01\xff\xfe whatever \x00"),
    "a word and a line end": (400, b"hello\r\n"),
    "HTTP/0.9": (400, b"GET /\r\n"),
    "HTTP/0.9 with its version": (505, with_line(b"GET / HTTP/0.9")),
    "HTTP/2.0": (505, with_line(b"GET / HTTP/2.0")),
    "HTTP/3.7": (505, with_line(b"GET / HTTP/3.7")),
    "a version without a minor": (400, with_line(b"GET / HTTP/1")),
    "a version with two digits": (400, with_line(b"GET / HTTP/1.10")),
    "a version in lower case": (400, with_line(b"GET / http/1.1")),
    "a version that is a word": (400, with_line(b"GET / HTTP/x.y")),
    "a space behind the version": (400, with_line(b"GET / HTTP/1.1 ")),
    "two spaces before the target": (400, with_line(b"GET  / HTTP/1.1")),
    "two spaces before the version": (400, with_line(b"GET /  HTTP/1.1")),
    "a tab for a space": (400, with_line(b"GET\t/ HTTP/1.1")),
    "a space in the target": (400, with_line(b"GET /a b HTTP/1.1")),
    "a space before the method": (400, with_line(b" GET / HTTP/1.1")),
    "a method that is no token": (400, with_line(b"G@T / HTTP/1.1")),
    "a method with a NUL": (400, with_line(b"G\0T / HTTP/1.1")),
    "a method too long": (400, with_line(b"M" * 33 + b" / HTTP/1.1")),
    "no method": (400, with_line(b"/ HTTP/1.1")),
    "a NUL in the target": (400, with_line(b"GET /\0 HTTP/1.1")),
    "a control byte in the target": (400, with_line(b"GET /\x7f HTTP/1.1")),
    "a fragment in the target": (400, with_line(b"GET /a#b HTTP/1.1")),
    "a bare CR in the request line": (400, with_line(b"GET /\r HTTP/1.1")),
    "a bare CR that would hide a header": (400, with_line(b"GET / HTTP/1.1\rX: y")),
    "a bare LF behind the request line": (400, b"GET / HTTP/1.1\n" + HOST + b"\r\n"),
    "a target that is no path": (400, with_line(b"GET nowhere HTTP/1.1")),
    "a star for GET": (400, with_line(b"GET * HTTP/1.1")),
    "another scheme": (400, with_line(b"GET ftp://h/ HTTP/1.1")),
    "an absolute target without host": (400, with_line(b"GET http:///x HTTP/1.1")),
    "an absolute target with user information": (400, with_line(b"GET http://me@h/x HTTP/1.1")),
    "CONNECT": (501, with_line(b"CONNECT example.com:443 HTTP/1.1")),
    "CONNECT to a path": (501, with_line(b"CONNECT / HTTP/1.1")),
    "too many empty lines": (400, b"\r\n" * 9 + get()),
    "a bare LF before the request line": (400, b"\n" + get()),
    "a target too long": (414, get("/" + "a" * 64)),
    "a target without end": (414, b"GET /" + LONG),
    # field lines
    "no Host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "no Host beside another field": (400, b"GET / HTTP/1.1\r\nX: y\r\n\r\n"),
    "no Host for an absolute target": (400, b"GET http://h/ HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, with_field(b"Host: h")),
    "two Hosts in 1.0": (400, b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    "an empty Host": (400, b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    "a Host with a path": (400, b"GET / HTTP/1.1\r\nHost: h/x\r\n\r\n"),
    "a Host with user information": (400, b"GET / HTTP/1.1\r\nHost: me@h\r\n\r\n"),
    "a Host with a space": (400, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    "a Host list": (400, b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    "a Host with a bad port": (400, b"GET / HTTP/1.1\r\nHost: h:port\r\n\r\n"),
    "a Host with a port too large": (400, b"GET / HTTP/1.1\r\nHost: h:65536\r\n\r\n"),
    "a Host with two ports": (400, b"GET / HTTP/1.1\r\nHost: h:1:2\r\n\r\n"),
    "a Host with a bad IPv6 address": (400, b"GET / HTTP/1.1\r\nHost: [::1::]\r\n\r\n"),
    "a Host with an open bracket": (400, b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    "a Host with a bad escape": (400, b"GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n"),
    "a Host beyond ASCII": (400, b"GET / HTTP/1.1\r\nHost: caf\xe9\r\n\r\n"),
    "space before the colon": (400, with_field(b"X : y")),
    "tab before the colon": (400, with_field(b"X\t: y")),
    "a field without colon": (400, with_field(b"X y")),
    "a field without name": (400, with_field(b": y")),
    "a field whose name is no token": (400, with_field(b"X(: y")),
    "a field whose name is not ASCII": (400, with_field(b"\xc3\xa9: y")),
    "obs-fold": (400, with_field(b"X: y\r\n z")),
    "obs-fold by tab": (400, with_field(b"X: y\r\n\tz")),
    "obs-fold before the first field": (400, b"GET / HTTP/1.1\r\n Host: h\r\n\r\n"),
    "a line of a space": (400, with_field(b"X: y\r\n ")),
    "a bare CR in a value": (400, with_field(b"X: y\rHidden: z")),
    "a bare CR at the end of a value": (400, with_field(b"X: y\r")),
    "a bare LF in a value": (400, with_field(b"X: y\nHidden: z")),
    "a NUL in a value": (400, with_field(b"X: y\0z")),
    "a control byte in a value": (400, with_field(b"X: y\x01z")),
    "DEL in a value": (400, with_field(b"X: y\x7fz")),
    "a NUL in a name": (400, with_field(b"X\0: y")),
    "a bare CR in a name": (400, with_field(b"X\r: y")),
    "an unknown expectation": (417, with_field(b"Expect: tea")),
    "two expectations": (417, with_field(b"Expect: 100-continue, tea")),
    "too many fields": (431, with_field(b"\r\n".join(b"X%d: y" % n for n in range(10)))),
    "fields too long": (431, with_field(b"X: " + LONG)),
    "fields without end": (431, b"GET / HTTP/1.1\r\nX: " + LONG),
    "many fields without end": (431, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100),
    # Content-Length
    **{f"Content-Length {value!r}": (400, with_field(b"Content-Length: " + value)) for value in LENGTHS},
    "Content-Length too large": (413, with_field(b"Content-Length: 101")),
    "Content-Length over 2^63": (413, with_field(b"Content-Length: 9223372036854775809")),
    "Content-Length twice": (400, with_field(b"Content-Length: 0\r\nContent-Length: 0")),
    "Content-Length twice, differing": (400, with_field(b"Content-Length: 0\r\nContent-Length: 5")),
    "Content-Length before Transfer-Encoding": (400, chunked(b"0\r\n\r\n", b"Content-Length: 5\r\n")),
    "Content-Length after Transfer-Encoding": (
        400,
        with_field(b"Content-Length: 5\r\nTransfer-Encoding: chunked") + b"0\r\n\r\n",
    ),
    # Transfer-Encoding
    **{
        f"Transfer-Encoding {value!r}": (400, with_field(b"Transfer-Encoding: " + value) + b"0\r\n\r\n")
        for value in CODINGS
    },
    "Transfer-Encoding gzip, chunked": (501, with_field(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n"),
    "Transfer-Encoding in two fields": (
        501,
        with_field(b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked") + b"0\r\n\r\n",
    ),
    "Transfer-Encoding twice": (
        400,
        with_field(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked") + b"0\r\n\r\n",
    ),
    "Transfer-Encoding folded": (400, with_field(b"Transfer-Encoding:\r\n chunked") + b"0\r\n\r\n"),
    "Transfer-Encoding with a space before the colon": (400, with_field(b"Transfer-Encoding : chunked")),
    "Transfer-Encoding in 1.0": (400, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    # chunks
    **{f"chunks {encoded[:40]!r}": (400, chunked(encoded)) for encoded in CHUNKS},
    "a chunk larger than the body may be": (413, chunked(b"65\r\n")),
    "a huge chunk": (413, chunked(b"7fffffffffffffff\r\n")),
    "chunks that add up to too much": (413, chunked(b"32\r\n" + b"x" * 50 + b"\r\n33\r\n")),
    "trailers too long": (431, chunked(b"0\r\nX: " + LONG)),
    "trailers without end": (431, chunked(b"0\r\n" + b"X: y\r\n" * 60)),
    "too many trailers": (431, chunked(b"0\r\n" + b"X: y\r\n" * 11 + b"\r\n")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_gets_a_whole_answer_and_a_close_and_nothing_after_it_is_parsed(name: str):
    status, raw = REFUSED[name]
    spoken = talk(raw + get("/smuggled"), SMALL)
    assert spoken.requests == []
    assert [refusal.status for refusal in spoken.refusals] == [status]
    (answer,) = spoken.answers
    assert answer.status == status
    assert answer.fields["content-type"] == "application/problem+json"
    assert answer.fields["connection"] == "close"
    assert answer.fields["x-request-id"] == spoken.refusals[0].request_id
    problem = json.loads(answer.body)
    assert (problem["status"], problem["detail"]) == (status, spoken.refusals[0].what)
    assert spoken.refusals[0].body_bytes == len(answer.body)
    assert spoken.finished
    assert spoken.send(get()).requests == []


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_alike_byte_by_byte_and_behind_a_good_request(name: str):
    status, raw = REFUSED[name]
    whole = talk(get("/first") + raw + get("/smuggled"), SMALL)
    pieces = Talk(SMALL).send(*(bytes([byte]) for byte in get("/first") + raw + get("/smuggled")))
    assert whole.statuses == [200, status]
    assert pieces.output == whole.output
    assert [refusal.status for refusal in pieces.refusals] == [status]
    assert [request.target for request in pieces.requests] == ["/first"]


@pytest.mark.parametrize("name", ["a TLS hello", "a response", "random bytes", "a word and a line end", "HTTP/0.9"])
def test_what_is_no_http_is_refused_before_it_ends(name: str):
    status, raw = REFUSED[name]
    assert talk(raw).statuses == [status]


def test_sizes_are_refused_without_waiting_for_the_rest():
    assert talk(b"GET /" + b"a" * 64, SMALL).statuses == [414]
    assert talk(b"GET / HTTP/1.1\r\nX: " + b"y" * 300, SMALL).statuses == [431]
    assert talk(with_field(b"Content-Length: 101"), SMALL).statuses == [413]
    assert talk(chunked(b"65\r\n"), SMALL).statuses == [413]


def test_what_is_just_within_the_limits_is_taken():
    fields = b"X: " + b"y" * (300 - len(HOST) - len(b"X: \r\n\r\n"))
    assert talk(get("/" + "a" * 63), SMALL).statuses == [200]
    assert talk(with_field(fields), SMALL).statuses == [200]
    assert talk(with_field(fields + b"y"), SMALL).statuses == [431]
    assert talk(with_field(b"\r\n".join(b"X%d: y" % n for n in range(9))), SMALL).statuses == [200]
    assert talk(post(b"x" * 100), SMALL).statuses == [200]
    assert talk(chunked(b"64\r\n" + b"x" * 100 + b"\r\n0\r\n\r\n"), SMALL).statuses == [200]
    assert talk(chunked(b"0\r\n" + b"X: y\r\n" * 10 + b"\r\n"), SMALL).statuses == [200]
    assert talk(chunked(b"1;" + b"a" * 49 + b"\r\nx\r\n0\r\n\r\n"), SMALL).statuses == [200]


def test_remembered_fields_are_held_against_the_limits_of_each_connection():
    raw = with_field(b"X-Remembered: " + b"y" * 200)
    assert talk(raw).statuses == [200]
    assert talk(raw, HttpLimits(max_header_size=100)).statuses == [431]
    assert talk(raw, HttpLimits(max_headers=1)).statuses == [431]


# --- how what is accepted is read -------------------------------------------------------------------------------------


def test_a_request_is_handed_on_as_it_was_sent():
    spoken = talk(
        b"GET /a%20b?x=%C3%A9&x=1+2&y HTTP/1.1\r\nHost: h:80\r\nX-Odd:  \t v w \t\r\nEmpty:\r\nx-odd: \xff\r\n\r\n"
    )
    request = spoken.request
    assert request.method == "GET"
    assert request.target == "/a%20b?x=%C3%A9&x=1+2&y"
    assert request.fields == (("host", "h:80"), ("x-odd", "v w"), ("empty", ""), ("x-odd", "\xff"))
    assert request.body == b""
    assert request.client == "10.0.0.9:5000"
    assert (request.version, request.scheme) == ("1.1", "http")


@pytest.mark.parametrize(
    ("target", "items"),
    [
        ("/", ()),
        ("/?", ()),
        ("/?a=1&a=2&b=&c", (("a", "1"), ("a", "2"), ("b", ""), ("c", ""))),
        ("/?a=1+2%2B3", (("a", "1 2+3"),)),
        ("/?%C3%A9=%E2%82%AC", (("é", "€"),)),
        ("/?a=%&b=%z1&c=%f", (("a", "%"), ("b", "%z1"), ("c", "%f"))),
        ("/?a=%ff", (("a", "\ufffd"),)),
    ],
)
def test_queries_are_kept_raw_and_decoded_once(target: str, items: tuple[tuple[str, str], ...]):
    request = talk(get(target)).request
    assert request.target == target
    assert request.query_items == items


def test_raw_utf8_in_a_target_is_kept_as_its_bytes():
    assert talk("GET /é?é HTTP/1.1\r\nHost: h\r\n\r\n".encode()).request.target.encode("latin-1") == "/é?é".encode()


@pytest.mark.parametrize(
    "method", ["GET", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "BREW", "get", "M-SEARCH", "!"]
)
def test_any_token_is_a_method(method: str):
    spoken = talk(with_line(method.encode() + b" /x HTTP/1.1"))
    assert spoken.request.method == method
    assert spoken.statuses == [200]


@pytest.mark.parametrize(
    ("line", "target", "host"),
    [
        (b"GET http://other:81/a?b HTTP/1.1", "/a?b", "other:81"),
        (b"GET HTTP://other HTTP/1.1", "/", "other"),
        (b"GET https://[::1]?q HTTP/1.1", "/?q", "[::1]"),
        (b"OPTIONS http://other HTTP/1.1", "*", "other"),
        (b"OPTIONS * HTTP/1.1", "*", "h"),
        (b"GET //other/a HTTP/1.1", "//other/a", "h"),
    ],
)
def test_an_absolute_target_becomes_origin_form_and_names_the_host(line: bytes, target: str, host: str):
    request = talk(with_line(line)).request
    assert request.target == target
    assert request.fields == (("host", host),)


@pytest.mark.parametrize(
    "host", ["h", "a.b-c.d_e", "h:", "h:65535", "127.0.0.1:8002", "[::1]:80", "[2001:db8::7]", "a%41"]
)
def test_a_host_is_any_authority(host: str):
    assert talk(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host.encode()).request.headers["host"] == host


def test_a_version_of_one_point_more_is_spoken_to_as_one_point_one():
    assert talk(with_line(b"GET / HTTP/1.2")).request.version == "1.1"


def test_a_few_empty_lines_before_a_request_are_passed_over():
    assert talk(b"\r\n" * 8 + get("/a") + b"\r\n\r\n" + get("/b")).statuses == [200, 200]


@pytest.mark.parametrize(
    "upgrade",
    [
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        b"Connection: keep-alive, upgrade\r\nUpgrade: whatever/7\r\n",
    ],
)
def test_an_upgrade_is_ignored_and_the_connection_goes_on(upgrade: bytes):
    spoken = talk(get("/a", upgrade) + post(b"abc", upgrade) + chunked(b"2\r\nab\r\n0\r\n\r\n", upgrade) + get("/b"))
    assert [(request.target, request.body) for request in spoken.requests] == [
        ("/a", b""), ("/p", b"abc"), ("/p", b"ab"), ("/b", b""),
    ]  # fmt: skip
    assert spoken.statuses == [200] * 4


@pytest.mark.parametrize(
    "encoded",
    [
        b"3\r\nabc\r\n0\r\n\r\n",
        b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        b"003\r\nabc\r\n000\r\n\r\n",
        b'3;a=b;c="d;e";f\r\nabc\r\n0;last\r\n\r\n',
        b"3\r\nabc\r\n0\r\nX-Trailer: y\r\nHost: evil\r\n\r\n",
        b"3\r\nabc\r\n0\r\nConnection: close, upgrade\r\nUpgrade: x\r\n\r\n",
    ],
)
def test_chunks_make_one_body_and_their_trailers_are_dropped(encoded: bytes):
    spoken = talk(chunked(encoded) + get("/next"))
    first, following = spoken.requests
    assert first.body == b"abc"
    assert first.fields == (("host", "h"), ("transfer-encoding", "chunked"))
    assert following.target == "/next"
    assert not spoken.finished


@pytest.mark.parametrize("size", [0, 1, 10, 4096])
def test_chunk_data_may_look_like_chunks(size: int):
    body = (b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n" * 200)[:size] or b"\n\r"
    raw = chunked(b"%X\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    assert talk(raw).request.body == body
    assert Talk().send(*(bytes([byte]) for byte in raw)).request.body == body


def test_leading_zeros_do_not_make_a_length_large():
    assert talk(with_field(b"Content-Length: " + b"0" * 5000 + b"3") + b"abc").request.body == b"abc"


def test_a_coding_is_told_by_its_name_in_any_case():
    raw = with_field(b"TRANSFER-ENCODING: \t CHUNKED ")
    assert talk(raw + b"1\r\nx\r\n0\r\n\r\n").request.body == b"x"


def test_a_get_may_have_a_body():
    assert talk(with_field(b"Content-Length: 3") + b"abc" + get("/n")).statuses == [200, 200]


# --- any split of the bytes -------------------------------------------------------------------------------------------

STREAMS = [
    get("/a") + b"\r\n" + post(b"hello") + get("/b") + chunked(b"2;x\r\nab\r\n1\r\nc\r\n0\r\nT: u\r\n\r\n") + get("/c"),
    b"\r\n\r\n" + with_line(b"BREW http://x/y HTTP/1.1") + b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" + get(),
    get("/a") + get("/b", b"Connection: close\r\n") + get("/never"),
    post(b"x" * 90) + get("/", b"X: " + b"y" * 250 + b"\r\n"),
    get() + get("/b", b"X: y\nZ: 1\r\n") + get("/never"),
    get() + b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello" + get("/z"),
]  # fmt: skip


def _without_interim(spoken: Talk) -> list[object]:
    return [answer for answer in spoken.answers if answer.status != 100]


@settings(deadline=None)
@given(st.sampled_from(STREAMS), st.sets(st.integers(1, 500)))
def test_any_split_of_the_bytes_gives_the_same_answers(stream: bytes, cuts: set[int]):
    whole = talk(stream, SMALL)
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    split = Talk(SMALL).send(*(stream[start:end] for start, end in pairwise(edges)))
    assert split.requests == whole.requests
    assert split.refusals == whole.refusals
    assert _without_interim(split) == _without_interim(whole)
    assert split.finished == whole.finished


@settings(deadline=None)
@given(st.binary(max_size=200), st.sets(st.integers(1, 200)))
def test_random_bytes_never_break_the_connection_and_any_split_ends_alike(noise: bytes, cuts: set[int]):
    for stream in (noise, b"GET / HTTP/1.1\r\n" + noise, with_field(noise), chunked(noise), get() + noise):
        whole = talk(stream, SMALL)
        edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
        split = Talk(SMALL).send(*(stream[start:end] for start, end in pairwise(edges)))
        assert split.requests == whole.requests
        assert [refusal.status for refusal in split.refusals] == [refusal.status for refusal in whole.refusals]


PIECES = [
    b"GET / HTTP/1.1\r\n", b"POST /p HTTP/1.1\r\n", b"Host: h\r\n", b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"\r\n", b"abc", b"3\r\n", b"0\r\n", b"\n", b"\r",
    b" ", b"X: y\r\n", b"\0", b"HTTP/1.1 ", b":", b"Expect: 100-continue\r\n",
    b"Upgrade: x\r\nConnection: upgrade\r\n", b";ext", b"GET /x HTTP/1.0\r\n\r\n",
]  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join), st.sets(st.integers(1, 400), max_size=40))
def test_requests_put_together_from_odd_parts_end_alike_however_they_are_cut(stream: bytes, cuts: set[int]):
    whole = talk(stream, SMALL)
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    split = Talk(SMALL).send(*(stream[start:end] for start, end in pairwise(edges)))
    assert split.requests == whole.requests
    assert [refusal.status for refusal in split.refusals] == [refusal.status for refusal in whole.refusals]
    assert _without_interim(split) == _without_interim(whole)


def test_answers_are_told_apart_strictly():
    with pytest.raises(AssertionError):
        parse_answers(b"HTTP/1.1 200 OK\r\n\r\n", ["GET"])
