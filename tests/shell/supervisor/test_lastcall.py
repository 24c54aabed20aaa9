"""The end of listening: whom the kernel has let in is not lost, and nobody else is let in."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from supervisor.lastcall import LastCall, let_nobody_begin
from supervisor.listen import Listeners

REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"


@pytest.fixture(params=["http://127.0.0.1:0", "http://[::1]:0", "unix"])
def listen(request: pytest.FixtureRequest) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"unix:{folder}/s" if request.param == "unix" else request.param


class Place:
    """Opens sockets, all of which are closed at its end."""

    def __init__(self, opened: ExitStack, listen: str, servers: int = 1) -> None:
        self._opened = opened
        self.listeners = Listeners(listen, servers)
        opened.callback(self.listeners.remove)
        opened.callback(self.listeners.close)

    def connect(self, timeout_s: float = 20.0) -> socket.socket:
        listener = self.listeners.sockets[0]
        client = self._opened.enter_context(socket.socket(listener.family))
        client.settimeout(timeout_s)
        client.connect(listener.getsockname())
        return client

    def server(self, number: int = 1) -> socket.socket:
        """A server's copy of its listening socket."""
        return self._opened.enter_context(self.listeners.sockets[number - 1].dup())

    def last_call(self, *unserved: str) -> None:
        """From its begin to its end."""

        async def called() -> None:
            await LastCall(asyncio.get_running_loop(), self.listeners, unserved).over

        asyncio.run(called())


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def answer(client: socket.socket) -> bytes:
    received = b""
    while chunk := client.recv(1 << 16):
        received += chunk
    return received


def test_who_is_connected_can_still_be_accepted_and_spoken_to_and_nobody_else_connects(listen: str, opened: ExitStack):
    place = Place(opened, listen)
    waiting = place.connect()
    waiting.sendall(b"early")
    server = place.server()
    let_nobody_begin(place.listeners.sockets[0])
    with pytest.raises(OSError, match=r"timed out|refused"):
        place.connect(timeout_s=0.2)
    with server.accept()[0] as accepted:
        assert accepted.recv(9) == b"early"
        waiting.sendall(b"late")
        assert accepted.recv(9) == b"late"
        accepted.sendall(b"answer")
    assert answer(waiting) == b"answer"


def test_clients_of_a_server_that_does_not_run_are_answered_503_and_the_port_is_free(listen: str, opened: ExitStack):
    place = Place(opened, listen)
    clients = [place.connect() for _ in range(20)]
    for client in clients:
        client.sendall(REQUEST)
    place.last_call("server.1")
    answers = {answer(client) for client in clients}
    assert [told.partition(b"\r\n")[0] for told in answers] == [b"HTTP/1.1 503 Service Unavailable"]
    assert b"connection: close" in answers.pop()
    place.listeners.remove()
    assert Place(opened, place.listeners.url).connect()


def test_clients_of_a_server_that_runs_are_left_to_it(listen: str, opened: ExitStack):
    place = Place(opened, listen)
    server = place.server()
    client = place.connect()
    place.last_call()
    with server.accept()[0] as accepted:
        accepted.sendall(b"mine")
    assert answer(client) == b"mine"


def test_of_several_servers_each_has_its_own_clients(opened: ExitStack):
    place = Place(opened, "http://127.0.0.1:0", 2)
    first = place.server(1)
    clients = [place.connect() for _ in range(40)]
    place.last_call("server.2")
    accepted = 0
    with suppress(BlockingIOError):
        while True:
            with first.accept()[0] as theirs:
                theirs.sendall(b"mine")
            accepted += 1
    answers = [answer(client)[:12] for client in clients]
    assert 0 < accepted < 40
    assert (answers.count(b"mine"), answers.count(b"HTTP/1.1 503")) == (accepted, 40 - accepted)


def test_servers_that_share_a_unix_socket_serve_each_others_clients(opened: ExitStack):
    folder = opened.enter_context(tempfile.TemporaryDirectory())
    place = Place(opened, f"unix:{folder}/s", 2)
    first = place.server(1)
    client = place.connect()
    place.last_call("server.2")
    with first.accept()[0] as accepted:
        accepted.sendall(b"mine")
    assert answer(client) == b"mine"


def test_who_expects_tls_is_sent_nothing_that_it_could_not_read(opened: ExitStack):
    place = Place(opened, "https://127.0.0.1:0")
    client = place.connect()
    place.last_call("server.1")
    assert answer(client) == b""
