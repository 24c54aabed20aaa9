"""A real HTTP server process; the test plays clients, a pool's proxy and the supervisor."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator

import pytest

from primectl.message import Request
from primectl.wire import frames
from primectl.wire.control import KillNow, ProcessReady, Readiness, Retire
from primectl.wire.job import (
    Cancel,
    JobsAgain,
    WireJob,
    first_job,
    request_name,
    request_of,
)
from tests.shell.server.bench import Bench, a_bench
from tests.support.plane import exit_status, random_frames, wait_for


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with a_bench(**getattr(request, "param", {})) as bench:
        yield bench


def test_a_request_becomes_a_job_and_its_answer_finds_the_client(bench: Bench):
    client = bench.ask("POST", "/do?a=1", b"payload")
    (job,) = bench.jobs()
    request = frames.decode_payload(job.kind, job.payload)
    assert isinstance(request, Request)
    assert (request.method, request.target, request.body) == ("POST", "/do?a=1", b"payload")
    assert (job.origin, job.retryable) == ("server.1", False)
    bench.answer(job, b"done", (("x-own", "yes"),))
    answer = client.getresponse()
    assert (answer.status, answer.read(), answer.headers["x-own"]) == (200, b"done", "yes")
    assert answer.headers["x-request-id"] == request_name(request_of(job.id))


def test_path_parameters_reach_the_handler(bench: Bench):
    bench.ask("GET", "/users/4%207")
    (job,) = bench.jobs()
    assert frames.decode_payload(job.kind, job.payload).path_params == {"id": "4 7"}


def test_pipelined_requests_are_answered_in_order_whatever_order_the_answers_come_in(bench: Bench):
    client = bench.raw(b"GET /do?1 HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
    jobs = bench.jobs(3)
    for number in (2, 0, 1):
        bench.answer(jobs[number], f"<{number}>".encode())
    received = b""
    while b"<2>" not in received:
        received += client.recv(65536)
    assert re.findall(rb"<\d>", received) == [b"<0>", b"<1>", b"<2>"]


def test_thousands_of_pipelined_requests_that_the_server_answers_itself_are_all_answered(bench: Bench):
    count = 5000
    client = bench.raw(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n" * count)
    answered = 0
    rest = b""
    while answered < count:
        chunk = client.recv(1 << 20)
        assert chunk, f"the server closed after {answered}"
        rest += chunk
        answered += rest.count(b"HTTP/1.1 200 OK\r\n")
        rest = rest[-16:] if not rest.endswith(b"HTTP/1.1 200 OK\r\n") else b""


def test_no_route_and_a_wrong_method_are_answered_here(bench: Bench):
    assert bench.ask("GET", "/nowhere").getresponse().status == 404
    answer = bench.ask("DELETE", "/do").getresponse()
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert json.loads(answer.read())["status"] == 405


def test_health_is_the_server_alone_and_readiness_what_the_supervisor_says(bench: Bench):
    def ready() -> int:
        return bench.ask("GET", "/ready").getresponse().status

    assert bench.ask("GET", "/health").getresponse().status == 200
    assert ready() == 503
    bench.plane.tell("role.server", Readiness(ready=True))
    wait_for(lambda: ready() == 200, "readiness")
    bench.plane.tell("role.server", Readiness(ready=False, reason="pool web has no worker"))
    wait_for(lambda: ready() == 503, "the end of readiness")
    assert "no worker" in bench.ask("GET", "/ready").getresponse().read().decode()


@pytest.mark.parametrize("bench", [{"request_timeout": 0.2}], indirect=True)
def test_a_request_without_an_answer_is_504_and_cancelled_and_a_late_answer_is_dropped(bench: Bench):
    client = bench.ask("GET", "/do")
    (job,) = bench.jobs()
    answer = client.getresponse()
    assert answer.status == 504
    assert answer.headers["content-type"] == "application/problem+json"
    assert bench.hear_urgent() == Cancel([request_of(job.id)])
    bench.answer(job)
    wait_for(lambda: any(sample.counters["stray_answers"] == 1 for sample in bench.samples()), "the stray answer")


def test_a_client_that_leaves_cancels_what_it_asked_for(bench: Bench):
    client = bench.ask("GET", "/do")
    (job,) = bench.jobs()
    client.close()
    assert bench.hear_urgent() == Cancel([request_of(job.id)])
    wait_for(lambda: any(sample.counters["abandoned"] == 1 for sample in bench.samples()), "the abandoned request")


@pytest.mark.parametrize("bench", [{"max_inflight": 2}], indirect=True)
def test_more_than_max_inflight_is_503_with_retry_after(bench: Bench):
    clients = [bench.ask("GET", "/do") for _ in range(2)]
    jobs = bench.jobs(2)
    answer = bench.ask("GET", "/do").getresponse()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    for job in jobs:
        bench.answer(job)
    assert [client.getresponse().status for client in clients] == [200, 200]


@pytest.mark.parametrize("bench", [{"max_connections": 2}], indirect=True)
def test_connections_beyond_the_limit_wait_until_others_have_gone(bench: Bench):
    first = [bench.ask("GET", "/health") for _ in range(2)]
    assert [client.getresponse().status for client in first] == [200, 200]
    third = bench.ask("GET", "/health")
    first[0].close()
    assert third.getresponse().status == 200


def test_after_a_proxys_restart_all_that_is_unanswered_is_sent_again_once(bench: Bench):
    bench.ask("GET", "/do")
    bench.ask("POST", "/do", b"x")
    jobs = bench.jobs(2)
    bench.plane.tell("all", ProcessReady("proxy.web", 2))
    bench.plane.tell("all", ProcessReady("proxy.web", 2))
    said = bench.hear()
    assert isinstance(said, JobsAgain)
    assert sorted(job.id for job in said.jobs) == sorted(job.id for job in jobs)
    bench.ask("GET", "/do?next")
    (following,) = bench.jobs()
    assert following.id not in {job.id for job in jobs}


def test_a_drain_finishes_what_is_open_refuses_nobody_it_let_in_and_leaves(bench: Bench):
    idle = bench.ask("GET", "/health")
    assert idle.getresponse().read() == b"ok\n"
    client = bench.ask("GET", "/do")
    (job,) = bench.jobs()
    bench.plane.tell("role.server", Retire(1, 20.0))
    wait_for(lambda: _refused(bench.port), "the end of accepting")
    bench.answer(job)
    answer = client.getresponse()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert exit_status(bench.process) == 0
    assert [(s.counters["finished"], s.counters["cancelled"]) for s in bench.samples() if s.draining][-1] == (1, 0)


def test_a_drain_that_takes_too_long_answers_503(bench: Bench):
    client = bench.ask("GET", "/do")
    bench.jobs()
    bench.plane.tell("role.server", Retire(1, 0.2))
    assert client.getresponse().status == 503
    assert exit_status(bench.process) == 0
    assert [s.counters["cancelled"] for s in bench.samples() if s.draining][-1] == 1


def test_garbage_on_the_loopback_is_counted_and_survived(bench: Bench):
    for message in random_frames(100):
        bench.loopback.send_multipart(message)
    client = bench.ask("GET", "/do")
    (job,) = bench.jobs()
    bench.answer(WireJob(first_job(9, 9), "server.1", 0.0, 0, True, b""))
    bench.answer(job)
    assert client.getresponse().status == 200
    wait_for(lambda: any(sample.counters["malformed"] >= 100 for sample in bench.samples()), "the malformed frames")


def test_malformed_http_is_400_and_close_and_the_server_lives(bench: Bench):
    client = bench.raw(b"\x16\x03\x01\x02\x00\x01\x00 nonsense\r\n\r\n")
    received = b""
    while chunk := client.recv(65536):
        received += chunk
    assert received.startswith(b"HTTP/1.1 400 ")
    assert bench.ask("GET", "/health").getresponse().status == 200


def test_a_header_that_would_split_the_answer_is_500_and_a_line_in_the_log(bench: Bench):
    client = bench.ask("GET", "/do")
    (job,) = bench.jobs()
    bench.answer(job, b"x", (("x-evil", "a\r\nSet-Cookie: b"),))
    answer = client.getresponse()
    assert answer.status == 500
    assert answer.headers["set-cookie"] is None
    wait_for(lambda: "header fields cannot be sent" in bench.plane.log("server.1"), "the log line")


def test_every_request_is_one_line_of_the_access_log(bench: Bench):
    bench.raw(b'GET /nowhere"\xe4 HTTP/1.1\r\nHost: a\r\n\r\n').recv(65536)
    bench.ask("GET", "/health").getresponse().read()
    wait_for(lambda: bench.plane.log("server.1").count("\n") >= 2, "the log lines")
    refused, health = bench.plane.log("server.1").splitlines()
    assert re.fullmatch(r"\S+Z 127\.0\.0\.1:\d+ \"GET /health HTTP/1\.1\" 200 3 \d+\.\dms [0-9a-f]{13}", health)
    assert refused.isascii()


def test_kill_ends_at_once(bench: Bench):
    bench.ask("GET", "/do")
    bench.jobs()
    bench.plane.tell("all", KillNow(1))
    assert exit_status(bench.process) == 0


def _refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_client_that_has_left_does_not_hold_up_a_drain(bench: Bench):
    leaving = bench.ask("GET", "/health")
    assert leaving.getresponse().read() == b"ok\n"
    leaving.close()
    bench.plane.tell("role.server", Retire(1, 20.0))
    assert exit_status(bench.process) == 0
    last = [sample for sample in bench.samples() if sample.draining][-1]
    assert last.connections == 0
