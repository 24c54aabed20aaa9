"""The floor: the least HTTP server that answers is_prime inline, in one process of uvloop, httptools and gmpy2.

What the cluster adds to this is the price of its processes; what it wins is that a slow number stops nobody.
`python -m tests.bench.bare_http [PORT]` prints the port it listens at (a free one by default) and serves until it
is ended.
"""

from __future__ import annotations

import asyncio
import signal
import sys

import gmpy2
import httptools
import uvloop

KEY = b"possible_prime="


class Bare(asyncio.Protocol):
    """No limits, no timeouts, no routes: not a server, a yardstick."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.out: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()
            return
        self.transport.write(b"".join(self.out))
        self.out.clear()

    def on_url(self, url: bytes) -> None:
        self.url = url
        self.body = b""

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        number = (self.body or self.url.partition(KEY)[2]).decode()
        if not number.isdigit():
            body, status = b"possible_prime must be a whole number", b"400 Bad Request"
        else:
            body, status = number.encode() if gmpy2.is_prime(int(number)) else b"-1", b"200 OK"
        self.out.append(
            b"HTTP/1.1 %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n\r\n%b"
            % (status, len(body), body)
        )


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = await loop.create_server(Bare, "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
