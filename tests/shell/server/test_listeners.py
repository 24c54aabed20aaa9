"""What a server can listen at besides plain HTTP on a port. The certificate was made for these tests alone."""

from __future__ import annotations

import socket
import ssl
import struct
from pathlib import Path

import pytest

from primectl.config.model import ClusterConfig, Config, PoolConfig, ServerConfig
from primectl.wire.job import WireJob
from tests.shell.server.bench import a_bench
from tests.support.plane import Plane, a_plane

TLS = Path(__file__).parents[2] / "support" / "tls"
ASK = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def config(listen: str, **more: str) -> Config:
    return Config(
        cluster=ClusterConfig(name="test"),
        server=ServerConfig(listen=listen, **more),
        routes={"/do": "web"},
        pools={"web": PoolConfig(handler="tests.support.handlers:echo")},
    )


def start(plane: Plane, listener: socket.socket) -> None:
    fd = listener.fileno()
    plane.start("primectl.server", "server.1", extra=("--listen-fd", str(fd)), fds=(fd,))


def everything(client: socket.socket) -> bytes:
    client.settimeout(20)
    client.sendall(ASK)
    received = b""
    while chunk := client.recv(65536):
        received += chunk
    return received


def test_https_is_spoken_with_tls_1_2_and_up():
    settings = config("https://127.0.0.1:0", certificate=str(TLS / "certificate.pem"), private_key=str(TLS / "key.pem"))
    with a_plane(settings) as plane, socket.create_server(("127.0.0.1", 0)) as listener:
        start(plane, listener)
        address = listener.getsockname()
        trust = ssl.create_default_context(cafile=str(TLS / "certificate.pem"))
        with (
            socket.create_connection(address) as plain,
            trust.wrap_socket(plain, server_hostname="localhost") as client,
        ):
            assert everything(client).startswith(b"HTTP/1.1 200 ")
        trust.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        trust.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(address) as plain, pytest.raises(ssl.SSLError):
            trust.wrap_socket(plain, server_hostname="localhost")
        with socket.create_connection(address) as plain:
            plain.sendall(ASK)
            assert b"200 OK" not in plain.recv(65536)
        with (
            socket.create_connection(address) as plain,
            ssl.create_default_context(cafile=str(TLS / "certificate.pem")).wrap_socket(
                plain, server_hostname="localhost"
            ) as client,
        ):
            assert everything(client).startswith(b"HTTP/1.1 200 ")


def test_large_answers_and_streams_are_whole_over_tls_and_a_client_that_reads_nothing_is_cut_off():
    """
    1. A client reads 8 MiB only after a while: they wait for it.
    2. It is streamed to.
    3. One that reads nothing at all is cut off.
    """
    tls = {"certificate": str(TLS / "certificate.pem"), "private_key": str(TLS / "key.pem")}
    with a_bench(listen="https://127.0.0.1:0", write_timeout=1.0, **tls) as bench:
        trust = ssl.create_default_context(cafile=str(TLS / "certificate.pem"))

        def ask() -> tuple[ssl.SSLSocket, WireJob]:
            client = trust.wrap_socket(bench.raw(b""), server_hostname="localhost")
            bench.clients.append(client)
            client.sendall(b"GET /do HTTP/1.1\r\nHost: a\r\n\r\n")
            (job,) = bench.jobs()
            return client, job

        (reading, first), (silent, second) = ask(), ask()
        bench.answer(first, b"y" * (8 << 20))
        received = bytearray()
        while not received.endswith(b"y" * 1000) or received.count(b"y") < 8 << 20:
            received += reading.recv(1 << 16)
        reading.sendall(b"GET /do HTTP/1.1\r\nHost: a\r\n\r\n")
        (job,) = bench.jobs()
        bench.begin(job, b"one")
        bench.part(job, b"two")
        bench.end(job)
        streamed = b""
        while not streamed.endswith(b"0\r\n\r\n"):
            streamed += reading.recv(1 << 16)
        assert streamed.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        bench.answer(second, b"y" * (32 << 20))
        bench.counter("write_timeouts")
        assert silent.fileno() >= 0


def test_a_unix_socket_serves_too():
    with a_plane(config("unix:/unused")) as plane, socket.socket(socket.AF_UNIX) as listener:
        path = f"{plane.place.runtime}/http.sock"
        listener.bind(path)
        listener.listen()
        start(plane, listener)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            assert everything(client).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_resets_its_connection_at_once_harms_nobody():
    with a_plane(config("http://127.0.0.1:0")) as plane, socket.create_server(("127.0.0.1", 0)) as listener:
        start(plane, listener)
        for _ in range(50):
            client = socket.create_connection(listener.getsockname())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(b"GET /do HT")
            client.close()
        with socket.create_connection(listener.getsockname()) as client:
            assert everything(client).startswith(b"HTTP/1.1 200 ")
