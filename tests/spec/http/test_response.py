"""Answers as bytes."""

from __future__ import annotations

import pytest

from primectl.http.response import CLOSE, KEEP_ALIVE, Unusable, http_date, render
from primectl.message import Response

DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"


def test_an_answer_is_framed_by_its_length():
    assert render(Response.text("97"), "r1", DATE) == (
        b"HTTP/1.1 200 OK\r\n"
        b"content-type: text/plain; charset=utf-8\r\n"
        b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        b"x-request-id: r1\r\n"
        b"content-length: 2\r\n"
        b"\r\n"
        b"97"
    )


@pytest.mark.parametrize("status", [204, 304])
def test_answers_that_have_no_body_have_no_length_either(status: int):
    assert render(Response(status, (("etag", "x"),), b"ignored"), "r1", DATE) == (
        b"HTTP/1.1 %d %b\r\netag: x\r\ndate: %b\r\nx-request-id: r1\r\n\r\n"
        % (status, b"No Content" if status == 204 else b"Not Modified", DATE)
    )


def test_reset_content_is_empty():
    assert render(Response(205, (), b"ignored"), "r1", DATE).endswith(b"content-length: 0\r\n\r\n")


def test_the_answer_to_head_tells_the_length_and_keeps_the_body():
    assert render(Response(200, (), b"hello"), "r1", DATE, head=True).endswith(b"content-length: 5\r\n\r\n")
    assert b"content-length" not in render(Response(204, (), b""), "r1", DATE, head=True)


def test_the_connection_is_spoken_of_when_there_is_something_to_say():
    assert b"\r\nconnection: close\r\n" in render(Response(), "r1", DATE, connection=CLOSE)
    assert b"\r\nconnection: keep-alive\r\n" in render(Response(204), "r1", DATE, connection=KEEP_ALIVE)
    assert b"connection" not in render(Response(), "r1", DATE)


def test_what_belongs_to_the_connection_is_ours():
    theirs = tuple(
        (name, "theirs")
        for name in (
            "Content-Length",
            "TRANSFER-ENCODING",
            "connection",
            "Date",
            "X-Request-Id",
            "Keep-Alive",
            "Upgrade",
        )
    )
    assert render(Response(200, theirs, b"x"), "r1", DATE) == render(Response(200, (), b"x"), "r1", DATE)


def test_fields_are_kept_in_order_and_as_often_as_given():
    rendered = render(Response(200, (("Set-Cookie", "a=1"), ("X-Caf", "\xe9 "), ("Set-Cookie", "b=2"))), "r1", DATE)
    assert b"\r\nSet-Cookie: a=1\r\nX-Caf: \xe9\r\nSet-Cookie: b=2\r\n" in rendered


def test_a_status_without_a_name_is_sent_by_its_number():
    assert render(Response(299), "r1", DATE).startswith(b"HTTP/1.1 299 \r\n")


@pytest.mark.parametrize("request_id", ["a\r\nb", "é", "a\tb"])
def test_a_request_id_cannot_inject_either(request_id: str):
    with pytest.raises(Unusable):
        render(Response(), request_id, DATE)


def test_what_is_wrong_with_an_unusable_answer_is_said():
    with pytest.raises(Unusable, match="the value of x-evil holds"):
        render(Response(200, (("x-evil", "a\r\nb"),)), "r1", DATE)
    with pytest.raises(Unusable, match="'x evil' is no name"):
        render(Response(200, (("x evil", "a"),)), "r1", DATE)
    with pytest.raises(Unusable, match="101 is no status"):
        render(Response(101), "r1", DATE)


def test_thousands_of_different_answers_are_all_rendered_right():
    for number in range(3000):
        assert b"\r\netag: %d\r\n" % number in render(Response(200, (("etag", str(number)),)), "r1", DATE)


@pytest.mark.parametrize(
    ("wall_s", "date"),
    [
        (0.0, b"Thu, 01 Jan 1970 00:00:00 GMT"),
        (784111777.9, b"Sun, 06 Nov 1994 08:49:37 GMT"),
        (1709164800.0, b"Thu, 29 Feb 2024 00:00:00 GMT"),
        (4102444799.0, b"Thu, 31 Dec 2099 23:59:59 GMT"),
    ],
)
def test_dates_are_written_as_http_wants_them(wall_s: float, date: bytes):
    assert http_date(wall_s) == date
