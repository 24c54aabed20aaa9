"""A plain HTTP client for tests: http.client of the standard library, which knows nothing of ours.

`Asker` asks one cluster, many questions at once where a test needs that; an answer that is cut short raises
http.client.IncompleteRead, a connection that is cut RemoteDisconnected or another OSError. `send` is for clients that
do not wait for their answer.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

ANSWER_S = 60.0
"""For an answer to come at all; what a test shows does not depend on it."""


class Answered(NamedTuple):
    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def pipelined(targets: Iterable[str], body: bytes = b"") -> bytes:
    """Requests in one go: POST where there is a body."""
    method, length = ("POST", f"Content-Length: {len(body)}\r\n") if body else ("GET", "")
    return b"".join(f"{method} {target} HTTP/1.1\r\nHost: test\r\n{length}\r\n".encode() + body for target in targets)


def read_answers(client: socket.socket, number: int) -> list[Answered]:
    """So many answers of one connection, each framed by its Content-Length."""
    answers = []
    with client.makefile("rb") as stream:
        for _ in range(number):
            status = int(stream.readline().split()[1])
            lines = iter(stream.readline, b"\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.decode().partition(":") for line in lines)
            }
            answers.append(Answered(status, headers, stream.read(int(headers["content-length"]))))
    return answers


class Asker:
    """Asks the cluster at `url`, each question by a connection of its own."""

    def __init__(self, url: str, at_once: int = 32) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.address = (parts.hostname, parts.port)
        self._threads = ThreadPoolExecutor(at_once)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=kind is None)  # a test that has failed has nothing to wait for

    def ask(self, target: str, method: str = "GET", body: bytes | None = None) -> Answered:
        with contextlib.closing(http.client.HTTPConnection(*self.address, timeout=ANSWER_S)) as connection:
            connection.request(method, target, body)
            answer = connection.getresponse()
            return Answered(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def begin(self, target: str, method: str = "GET", body: bytes | None = None) -> Future[Answered]:
        """Ask without waiting."""
        return self._threads.submit(self.ask, target, method, body)

    def ask_all(self, targets: Iterable[str], method: str = "GET") -> list[Answered]:
        """All at once, as far as there are threads; the answers in the same order."""
        return [begun.result() for begun in [self.begin(target, method) for target in targets]]

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=ANSWER_S)

    def send(self, target: str, method: str = "GET", body: bytes = b"", version: str = "1.1") -> socket.socket:
        """Send one request; the socket is the caller's."""
        client = self.connect()
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        client.sendall(f"{method} {target} HTTP/{version}\r\nHost: test\r\n{length}\r\n".encode() + body)
        return client

    @contextlib.contextmanager
    def sent(self, targets: Iterable[str], method: str = "GET", body: bytes = b"") -> Iterator[None]:
        """While the body runs these are open; then all the clients leave."""
        clients = [self.send(target, method, body) for target in targets]
        try:
            yield
        finally:
            for client in clients:
                client.close()
