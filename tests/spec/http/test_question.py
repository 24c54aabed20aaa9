"""Requests, to bytes."""

from __future__ import annotations

import pytest

from primectl.errors import ConfigError
from primectl.http.address import Address, parse_address
from primectl.http.question import encode_question
from primectl.message import Headers


@pytest.mark.parametrize(
    ("method", "fields", "body", "raw"),
    [
        ("GET", (), b"", b"GET /a?b HTTP/1.1\r\nhost: h:1\r\n\r\n"),
        ("GET", (("X-A", "é"),), b"", b"GET /a?b HTTP/1.1\r\nhost: h:1\r\nX-A: \xe9\r\n\r\n"),
        ("GET", (("Host", "other"),), b"", b"GET /a?b HTTP/1.1\r\nHost: other\r\n\r\n"),
        ("POST", (), b"", b"POST /a?b HTTP/1.1\r\nhost: h:1\r\ncontent-length: 0\r\n\r\n"),
        ("GET", (), b"xy", b"GET /a?b HTTP/1.1\r\nhost: h:1\r\ncontent-length: 2\r\n\r\nxy"),
        (
            "PUT",
            (("Content-Length", "9"), ("Transfer-Encoding", "chunked"), ("a", "b")),
            b"xy",
            b"PUT /a?b HTTP/1.1\r\nhost: h:1\r\na: b\r\ncontent-length: 2\r\n\r\nxy",
        ),
    ],
)
def test_a_question_has_its_host_and_one_length(method: str, fields: Headers, body: bytes, raw: bytes):
    assert encode_question(method, "/a?b", fields, body, "h:1") == raw


@pytest.mark.parametrize(
    ("method", "target", "fields", "why"),
    [
        ("GET", "/", (("a", "b\r\nc: d"),), "line break"),
        ("GET", "/", (("a", "b\nc"),), "line break"),
        ("GET", "/", (("a", "b\r"),), "line break"),
        ("GET", "/", (("a\n", "b"),), "line break"),
        ("GET", "/", (("a", "b\0"),), "line break"),
        ("GET", "/", (("a", "Ω"),), '"Ω" cannot be sent in a header field'),
        ("GET x", "/", (), '"GET x" is no method'),
        ("", "/", (), '"" is no method'),
        ("GET", "/a b", (), '"/a b" is no request target'),
        ("GET", "/Ω", (), '"/Ω" is no request target'),
        ("GET", "/\r\n", (), "is no request target"),
        ("GET", "", (), '"" is no request target'),
    ],
)
def test_what_would_be_read_as_something_else_is_not_sent(method: str, target: str, fields: Headers, why: str):
    with pytest.raises(ValueError, match=why):
        encode_question(method, target, fields, b"", "h")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://h:81", Address("http", "h", 81, authority="h:81")),
        ("http://h/", Address("http", "h", 80, authority="h")),
        ("https://[::1]:8443", Address("https", "::1", 8443, authority="[::1]:8443")),
        ("https://H.example", Address("https", "h.example", 443, authority="H.example")),
        ("unix:/run/s", Address("unix", path="/run/s")),
    ],
)
def test_an_address_is_a_host_and_port_or_a_path(url: str, address: Address):
    assert parse_address(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h:80",
        "ftp://h",
        "http://",
        "http://:80",
        "http://h:0",
        "http://h:x",
        "http://h:99999",
        "http://[::1",
        "http://h/path",
        "http://h?q",
        "http://u:p@h",
        "http://h h",
        "http://a..b",
        "http://é",
        "unix:s",
        "http://h\n",
    ],
)
def test_what_nobody_could_ask_is_refused(url: str):
    with pytest.raises(ConfigError, match=r'expected "http://host:port", "https://host:port" or "unix:/path"'):
        parse_address(url)
