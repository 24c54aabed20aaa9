"""A server that is told to leave: whom it still lets in, what it still answers, how it ends the rest."""

from __future__ import annotations

import http.client
import os
import signal
import socket
from collections.abc import Callable, Iterator

import pytest

from primectl.wire.control import Readiness, Retire
from primectl.wire.job import Cancel, request_of
from tests.shell.server.bench import Bench, a_bench
from tests.support.plane import exit_status, wait_for

ASK = b"GET /do HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with a_bench(**getattr(request, "param", {})) as bench:
        yield bench


def retire_while_asleep(bench: Bench, meanwhile: Callable[[], None], timeout_s: float = 20.0) -> None:
    """The order to leave, and what clients do at that moment, are found by the server together when it wakes up."""
    bench.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, bench.process.pid, os.WSTOPPED | os.WNOWAIT)
    meanwhile()
    bench.plane.tell("role.server", Retire(1, timeout_s))
    bench.process.send_signal(signal.SIGCONT)


def all_of(client: socket.socket) -> bytes:
    received = b""
    while chunk := client.recv(1 << 16):
        received += chunk
    return received


@pytest.mark.parametrize("bench", [{}, {"max_connections": 5}], indirect=True)
def test_everybody_whom_the_kernel_has_let_in_is_answered_however_many_they_are(bench: Bench):
    kept = [bench.ask("GET", "/health") for _ in range(5)]
    assert {client.getresponse().read() for client in kept} == {b"ok\n"}
    crowd: list[http.client.HTTPConnection] = []
    retire_while_asleep(bench, lambda: crowd.extend(bench.ask("POST", "/do", b"%d" % n) for n in range(500)))
    for job in bench.jobs(500):
        bench.answer(job)
    answers = [client.getresponse() for client in crowd]
    assert {(answer.status, answer.headers["connection"]) for answer in answers} == {(200, "close")}
    assert exit_status(bench.process) == 0


def test_a_request_on_a_kept_alive_connection_at_the_very_moment_of_the_stop_is_answered(bench: Bench):
    client = bench.ask("GET", "/health")
    assert client.getresponse().read() == b"ok\n"
    retire_while_asleep(bench, lambda: client.request("POST", "/do", b"x"))
    bench.answer(*bench.jobs())
    answer = client.getresponse()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert exit_status(bench.process) == 0


def test_an_idle_connection_sees_an_orderly_end(bench: Bench):
    client = bench.raw(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
    bench.plane.tell("role.server", Retire(1, 20.0))
    assert all_of(client).endswith(b"ok\n")
    client.sendall(ASK)
    assert client.recv(1) == b""
    assert exit_status(bench.process) == 0


def test_a_large_answer_that_its_client_still_reads_is_whole(bench: Bench):
    client = bench.raw(ASK)
    body = os.urandom(1 << 20) * 16
    bench.answer(*bench.jobs(), body)
    received = client.recv(1 << 10)
    bench.plane.tell("role.server", Retire(1, 20.0))
    wait_for(lambda: any(sample.draining for sample in bench.samples()), "the drain")
    assert (received + all_of(client)).endswith(body)
    assert exit_status(bench.process) == 0


def test_readiness_is_gone_on_connections_that_were_there_and_liveness_is_not(bench: Bench):
    bench.plane.tell("role.server", Readiness(ready=True))
    kept = [bench.raw(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET %b HTTP" % path) for path in (b"/ready", b"/health")]
    for client in kept:
        assert client.recv(1 << 16).endswith(b"ok\n")
    bench.plane.tell("role.server", Retire(1, 20.0))
    wait_for(lambda: any(sample.draining for sample in bench.samples()), "the drain")
    for client in kept:
        client.sendall(b"/1.1\r\nHost: a\r\n\r\n")
    answers = [all_of(client) for client in kept]
    assert [answer[9:12] for answer in answers] == [b"503", b"200"]
    assert all(b"connection: close" in answer.lower() for answer in answers)
    assert exit_status(bench.process) == 0


def test_when_the_time_is_up_everybody_gets_503_first(bench: Bench):
    waiting = bench.ask("GET", "/do")
    streaming = bench.raw(ASK)
    behind = bench.raw(ASK * 2)
    jobs = bench.jobs(4)
    bench.begin(jobs[1], b"begun ")
    bench.begin(jobs[3], b"never seen")
    assert streaming.recv(1 << 16)
    sending = bench.raw(b"POST /do HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
    typing = bench.raw(b"GET /do HTT")
    bench.plane.tell("role.server", Retire(1, 0.4))
    assert waiting.getresponse().status == 503
    assert all_of(behind).count(b"HTTP/1.1 503 ") == 2
    for client in (sending, typing):
        answer = all_of(client)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"connection: close" in answer.lower()
    assert not all_of(streaming).endswith(b"0\r\n\r\n")
    assert exit_status(bench.process) == 0
    assert [sample.counters["cancelled"] for sample in bench.samples() if sample.last] == [4]


def test_what_nobody_waits_for_any_more_is_cancelled(bench: Bench):
    client = bench.ask("GET", "/do")
    (job,) = bench.jobs()
    bench.plane.tell("role.server", Retire(1, 0.1))
    assert client.getresponse().status == 503
    assert bench.hear_urgent() == Cancel([request_of(job.id)])


def test_who_asks_when_the_time_is_up_already_gets_503_too(bench: Bench):
    client = bench.ask("GET", "/health")
    assert client.getresponse().read() == b"ok\n"
    retire_while_asleep(bench, lambda: client.request("POST", "/do", b"x"), timeout_s=0.0)
    assert client.getresponse().status == 503
    assert exit_status(bench.process) == 0


def test_a_client_that_reads_nothing_holds_a_drain_up_no_longer_than_its_time(bench: Bench):
    bench.raw(ASK)
    bench.answer(*bench.jobs(), bytes(64 << 20))
    bench.plane.tell("role.server", Retire(1, 0.5))
    assert exit_status(bench.process) == 0


def test_the_last_word_is_said_once_and_has_the_whole_count(bench: Bench):
    clients = [bench.ask("GET", "/do") for _ in range(3)]
    jobs = bench.jobs(3)
    bench.plane.tell("role.server", Retire(1, 20.0))
    wait_for(lambda: any(sample.draining for sample in bench.samples()), "the drain")
    for job in jobs:
        bench.answer(job)
    assert [client.getresponse().status for client in clients] == [200, 200, 200]
    assert exit_status(bench.process) == 0
    assert [sample.counters["finished"] for sample in bench.samples() if sample.last] == [3]
