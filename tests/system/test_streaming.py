"""Answers that are streamed from a handler to a client: framed for its version, held back by its reading, cut where
they broke, and ended when it leaves."""

from __future__ import annotations

import http.client
import os
import signal
import socket
from contextlib import ExitStack, closing

import pytest

from tests.support.asking import ANSWER_S, Asker, pipelined
from tests.support.cases import part
from tests.support.cluster import ClusterOfCases, wait_until

MIB = 1 << 20
LENGTH = 64 << 10
POOLS = """
[pools.stream]
handler = "cases:parts"

[pools.slow]
handler = "cases:parts"
workers = 2

[pools.plain]
handler = "cases:work"
"""


def whole(number: int, length: int) -> bytes:
    return b"".join(part(n, length) for n in range(number))


def read_all(client: socket.socket) -> bytes:
    with client, client.makefile("rb") as answer:
        return answer.read()


def read_what_comes(answer: http.client.HTTPResponse) -> tuple[bytes, bool]:
    """The rest of an answer, and whether it was cut."""
    try:
        return answer.read(), False
    except http.client.IncompleteRead as cut:
        return cut.partial, True


@pytest.mark.parametrize(("number", "length"), [(1, 10), (3, 1000), (200, 1000), (30, LENGTH), (3, MIB)])
def test_a_client_of_1_1_gets_every_part_in_order_in_chunks_and_may_ask_on(asker: Asker, number: int, length: int):
    with closing(http.client.HTTPConnection(*asker.address, timeout=ANSWER_S)) as connection:
        for _ in range(2):
            connection.request("GET", f"/stream/parts?n={number}&bytes={length}")
            answer = connection.getresponse()
            assert (answer.status, answer.headers["transfer-encoding"]) == (200, "chunked")
            assert "content-length" not in answer.headers
            assert answer.read() == whole(number, length)
            assert not answer.will_close


def test_a_client_of_1_0_gets_the_bare_bytes_and_then_a_close(asker: Asker):
    head, _, body = read_all(asker.send("/stream/parts?n=20&bytes=5000", version="1.0")).partition(b"\r\n\r\n")
    assert head.split()[1] == b"200"
    assert b"transfer-encoding" not in head.lower()
    assert body == whole(20, 5000)


def test_parts_reach_the_client_as_they_are_made(cluster: ClusterOfCases, asker: Asker):
    with closing(http.client.HTTPConnection(*asker.address, timeout=ANSWER_S)) as connection:
        connection.request("GET", "/slow/parts?name=live&n=100&s=0.2")
        answer = connection.getresponse()
        assert answer.read(3000) == whole(3, 1000)
        assert len(cluster.notes("live part")) < 100, "most of it is still to be made"


def test_a_client_that_does_not_read_holds_back_the_handler_and_not_the_memory_of_the_server(
    cluster: ClusterOfCases, asker: Asker
):
    total, readers = 400, 2
    before = cluster.rss("server.1")
    with ExitStack() as stack:
        clients = []
        for _ in range(readers):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(ANSWER_S)
            client.connect(asker.address)
            client.sendall(pipelined([f"/slow/parts?name=unread&n={total}&bytes={LENGTH}"]))
            clients.append(client)
        noted = len(cluster.notes("unread part"))

        def stalled() -> bool:
            nonlocal noted
            last, noted = noted, len(cluster.notes("unread part"))
            return noted > 0 and all(asker.ask("/plain/quick").status == 200 for _ in range(50)) and noted == last

        wait_until(stalled, what="handlers that wait for their clients")
        assert len(cluster.notes("unread part")) < readers * total // 2
        assert cluster.rss("server.1") < before + readers * total * LENGTH // 2
        for client in clients:
            answer = http.client.HTTPResponse(client)
            answer.begin()
            assert answer.read() == whole(total, LENGTH), "whole, once it is read"


@pytest.mark.parametrize("how", ["fail", "die"])
def test_an_answer_that_breaks_half_way_is_seen_to_be_cut(cluster: ClusterOfCases, asker: Asker, how: str):
    with closing(http.client.HTTPConnection(*asker.address, timeout=ANSWER_S)) as connection:
        connection.request("GET", f"/stream/parts?n=20&bytes=10000&s=0.01&{how}=10")
        answer = connection.getresponse()
        assert answer.status == 200
        with pytest.raises((http.client.HTTPException, OSError)):
            answer.read()
    assert asker.ask("/stream/parts?n=2").body == whole(2, 1000), "the pool serves on"


def test_a_client_that_leaves_ends_the_handler(cluster: ClusterOfCases, asker: Asker):
    with asker.send("/stream/parts?name=left&n=100000&s=0.01") as client:
        assert client.recv(100)
    wait_until(lambda: cluster.notes("left ends"), what="the end of the handler")
    assert asker.ask("/stream/parts?n=2").body == whole(2, 1000)


def test_the_loss_of_its_proxy_spoils_no_byte_of_a_streamed_answer(cluster: ClusterOfCases, asker: Asker):
    """The parts go past the proxy, straight to the server: at worst the client sees a cut."""
    with closing(http.client.HTTPConnection(*asker.address, timeout=ANSWER_S)) as connection:
        connection.request("GET", "/stream/parts?n=20&bytes=1000&s=0.05")
        answer = connection.getresponse()
        begun = answer.read(1000)
        os.kill(cluster.pids()["proxy.stream"], signal.SIGKILL)
        rest, cut = read_what_comes(answer)
    assert whole(20, 1000).startswith(begun + rest)
    assert cut or begun + rest == whole(20, 1000)
    assert asker.ask("/stream/parts?n=2").body == whole(2, 1000)
