"""Whether a client that has shut its write side is still there."""

from __future__ import annotations

from primectl.config.model import ServerConfig
from primectl.http.connection import Exchange, HttpConnection, HttpLimits
from primectl.message import Response

PROBE = b"HTTP/1.1 102 Processing\r\n\r\n"


def a_connection(data: bytes) -> tuple[HttpConnection, list[Exchange]]:
    limits = HttpLimits.from_config(ServerConfig())
    connection = HttpConnection(limits, "127.0.0.1:1", request_id=lambda: "1", date=lambda: b"now", now=0.0)
    exchanges = [item for item in connection.receive(data, 0.0) if isinstance(item, Exchange)]
    return connection, exchanges


def test_a_client_that_has_shut_its_side_and_is_owed_an_answer_is_sent_a_102_before_it():
    connection, (exchange,) = a_connection(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    connection.receive_eof(0.0)
    connection.probe()
    assert connection.take_output() == PROBE
    connection.answer(exchange, Response.text("x"), "1", 1.0)
    assert connection.take_output().startswith(b"HTTP/1.1 200 ")


def test_nothing_is_sent_to_a_client_that_may_still_write_or_is_owed_nothing_or_speaks_1_0():
    open_still, _ = a_connection(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    open_still.probe()
    assert open_still.take_output() == b""
    idle, _ = a_connection(b"")
    idle.receive_eof(0.0)
    idle.probe()
    assert idle.take_output() == b""
    old, _ = a_connection(b"GET / HTTP/1.0\r\n\r\n")
    old.receive_eof(0.0)
    old.probe()
    assert old.take_output() == b""
