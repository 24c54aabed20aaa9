"""Answers that come bit by bit through a real server process; the test plays the worker that sends them."""

from __future__ import annotations

import re
import select
import socket
from collections.abc import Iterator

import pytest

from primectl.wire.job import STREAM_BROKEN, STREAM_WINDOW, Allow, Cancel, JobsAgain, request_of
from tests.shell.server.bench import LANE, Bench, a_bench
from tests.support.plane import wait_for

GET = b"GET /do HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with a_bench(**getattr(request, "param", {})) as bench:
        yield bench


def read_until(client: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        chunk = client.recv(1 << 16)
        assert chunk, f"closed after {received[-200:]!r}"
        received += chunk
    return received


def read_all(client: socket.socket) -> bytes:
    received = b""
    while chunk := client.recv(1 << 16):
        received += chunk
    return received


def slow_client(bench: Bench, raw: bytes = GET) -> socket.socket:
    """One whose kernel keeps little for it, as over a slow line."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
    client.settimeout(20)
    client.connect(("127.0.0.1", bench.port))
    bench.clients.append(client)
    client.sendall(raw)
    return client


def test_each_part_reaches_the_client_as_it_comes_and_the_connection_goes_on(bench: Bench):
    client = bench.raw(GET)
    (job,) = bench.jobs()
    bench.begin(job, b"one", (("content-type", "text/event-stream"),))
    head = read_until(client, b"3\r\none\r\n")
    assert b"\r\ntransfer-encoding: chunked\r\n" in head
    assert b"\r\ncontent-type: text/event-stream\r\n" in head
    for number in range(20):
        bench.part(job, b"part %d" % number)
        read_until(client, b"part %d\r\n" % number)
    bench.end(job)
    read_until(client, b"0\r\n\r\n")
    client.sendall(GET)
    (following,) = bench.jobs()
    bench.answer(following)
    assert read_until(client, b"fine").startswith(b"HTTP/1.1 200 OK")


def test_an_ordinary_client_reads_it_as_one_body(bench: Bench):
    client = bench.ask("GET", "/do")
    (job,) = bench.jobs()
    bench.begin(job, b"a" * 1000)
    bench.part(job, b"b" * 100_000)
    bench.end(job)
    assert client.getresponse().read() == b"a" * 1000 + b"b" * 100_000


def test_a_declared_length_is_kept(bench: Bench):
    client = bench.ask("GET", "/do")
    (job,) = bench.jobs()
    bench.begin(job, b"abc", (("Content-Length", "6"),))
    bench.part(job, b"def")
    bench.end(job)
    answer = client.getresponse()
    assert (answer.headers["content-length"], answer.headers["transfer-encoding"]) == ("6", None)
    assert answer.read() == b"abcdef"


def test_a_handler_that_breaks_its_declared_length_is_cut_and_cancelled(bench: Bench):
    client = bench.raw(GET)
    (job,) = bench.jobs()
    bench.begin(job, b"abc", (("Content-Length", "4"),))
    bench.part(job, b"def")
    assert read_all(client).endswith(b"\r\n\r\nabc")
    assert bench.hear_urgent() == Cancel([request_of(job.id)])
    wait_for(lambda: "more than the Content-Length" in bench.plane.log("server.1"), "the log line")


def test_to_http_1_0_the_end_of_the_connection_is_the_end(bench: Bench):
    client = bench.raw(b"GET /do HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    (job,) = bench.jobs()
    bench.begin(job, b"one ")
    bench.part(job, b"two")
    bench.end(job)
    received = read_all(client)
    assert received.endswith(b"\r\n\r\none two")
    assert b"\r\nconnection: close\r\n" in received


def test_a_broken_answer_is_seen_as_broken(bench: Bench):
    client = bench.raw(GET)
    (job,) = bench.jobs()
    bench.begin(job, b"some")
    bench.part(job, b"", STREAM_BROKEN)
    assert read_all(client).endswith(b"4\r\nsome\r\n")
    bench.counter("streams_cut")


def test_a_broken_answer_to_http_1_0_does_not_pass_for_a_whole_one(bench: Bench):
    client = bench.raw(b"GET /do HTTP/1.0\r\n\r\n")
    (job,) = bench.jobs()
    bench.begin(job, b"some")
    read_until(client, b"some")
    bench.part(job, b"", STREAM_BROKEN)
    with pytest.raises(ConnectionResetError):
        read_all(client)


@pytest.mark.parametrize("attempt", [1, 2])
def test_when_its_worker_is_lost_the_client_sees_the_cut_and_the_request_is_a_dead_letter(bench: Bench, attempt: int):
    client = bench.raw(GET)
    (job,) = bench.jobs()
    bench.begin(job, b"some")
    read_until(client, b"some\r\n")
    bench.fail(job, attempt=attempt)
    assert read_all(client) == b""
    assert bench.hear_urgent() == Cancel([request_of(job.id)])
    bench.counter("dead_letters")


def test_a_second_beginning_cuts_the_first(bench: Bench):
    client = bench.raw(GET)
    (job,) = bench.jobs()
    bench.begin(job, b"some")
    read_until(client, b"some\r\n")
    bench.begin(job, b"again", attempt=2)
    assert read_all(client) == b""


def test_late_words_of_an_earlier_attempt_do_not_disturb_a_stream(bench: Bench):
    client = bench.raw(GET)
    (job,) = bench.jobs()
    bench.begin(job, b"two", attempt=2)
    bench.answer(job)
    bench.part(job, b"one", attempt=1)
    bench.part(job, b"", 1, attempt=2)
    assert read_until(client, b"0\r\n\r\n").endswith(b"3\r\ntwo\r\n0\r\n\r\n")
    bench.counter("stray_answers")
    bench.counter("stray_parts")


def test_the_answer_to_head_has_no_body_and_the_work_is_cancelled(bench: Bench):
    client = bench.raw(b"HEAD /do HTTP/1.1\r\nHost: a\r\n\r\n")
    (job,) = bench.jobs()
    bench.begin(job, b"some")
    read_until(client, b"\r\n\r\n")
    assert bench.hear_urgent() == Cancel([request_of(job.id)])
    bench.part(job, b"more")
    client.sendall(GET)
    (following,) = bench.jobs()
    bench.answer(following)
    assert read_until(client, b"fine").startswith(b"HTTP/1.1 200 OK")


def test_a_client_that_leaves_in_the_middle_cancels_with_the_next_part_at_the_latest(bench: Bench):
    client = bench.raw(GET)
    (job,) = bench.jobs()
    bench.begin(job, b"some")
    read_until(client, b"some\r\n")
    client.close()
    bench.part(job, b"more")
    assert bench.hear_urgent() == Cancel([request_of(job.id)])
    bench.counter("abandoned")


def test_pipelined_streams_come_in_their_order_and_one_that_breaks_before_its_turn_is_a_502(bench: Bench):
    client = bench.raw(GET * 3)
    jobs = bench.jobs(3)
    bench.begin(jobs[2], b"<2>")
    bench.begin(jobs[1], b"<1>")
    bench.part(jobs[1], b"", STREAM_BROKEN)
    bench.part(jobs[2], b"<end>", 1)
    bench.begin(jobs[0], b"<0>")
    bench.end(jobs[0])
    received = read_until(client, b"0\r\n\r\n")
    while received.count(b"HTTP/1.1") < 3 or not received.endswith(b"0\r\n\r\n"):
        received += client.recv(1 << 16)
    assert re.findall(rb"HTTP/1.1 (\d+)|(<\w+>)", received) == [
        (b"200", b""), (b"", b"<0>"), (b"502", b""), (b"200", b""), (b"", b"<2>"), (b"", b"<end>"),
    ]  # fmt: skip


def test_a_client_that_reads_lets_the_worker_go_on_window_by_window(bench: Bench):
    client = bench.raw(GET)
    (job,) = bench.jobs()
    bench.begin(job, b"x" * STREAM_WINDOW)
    read_until(client, b"x\r\n")
    sent, limit = STREAM_WINDOW, 2 * STREAM_WINDOW
    for _ in range(8):
        assert bench.hear_urgent() == Allow(LANE, job.id, limit)
        bench.part(job, b"x" * (limit - sent))
        read_until(client, b"x\r\n")
        sent, limit = limit, limit + STREAM_WINDOW
    bench.end(job)
    read_until(client, b"0\r\n\r\n")


def test_a_client_that_does_not_read_stops_its_worker_and_costs_hardly_more_than_a_window(bench: Bench):
    """
    1. Ten clients that read nothing are streamed to, as far as their workers are allowed to send.
    2. The server holds about a window of each, and says no more; others are served.
    3. When they read, the rest comes, every byte of it.
    """
    before = bench.rss()
    clients = [slow_client(bench) for _ in range(10)]
    jobs = bench.jobs(10)
    limits = dict.fromkeys((job.id for job in jobs), STREAM_WINDOW)
    sent = dict.fromkeys((job.id for job in jobs), 0)
    for job in jobs:
        bench.begin(job)

    def send_what_is_allowed() -> None:
        for job in jobs:
            if sent[job.id] < limits[job.id]:
                bench.part(job, b"x" * (limits[job.id] - sent[job.id]))
                sent[job.id] = limits[job.id]

    def heard(wait_ms: int) -> bool:
        if not bench.lane.poll(wait_ms):
            return False
        allow = bench.hear_urgent()
        assert isinstance(allow, Allow)
        limits[allow.job] = allow.limit
        return True

    send_what_is_allowed()
    while heard(500):
        send_what_is_allowed()
    assert sum(sent.values()) < 10 * (16 << 20), "nothing held the workers back"
    assert bench.rss() - before < 10 * 4 * STREAM_WINDOW + (16 << 20)
    other = bench.ask("GET", "/do")
    (another,) = bench.jobs()
    bench.answer(another)
    assert other.getresponse().read() == b"fine"
    for job in jobs:
        bench.end(job)
    for client in clients:
        received = read_until(client, b"0\r\n\r\n")
        assert received.count(b"x") == sent[jobs[clients.index(client)].id] + received[:200].count(b"x-request-id")


@pytest.mark.parametrize("bench", [{"request_timeout": 0.4}], indirect=True)
def test_a_stream_without_a_next_part_is_cut_when_its_time_is_over(bench: Bench):
    client = bench.raw(GET)
    (job,) = bench.jobs()
    bench.begin(job, b"some")
    assert read_all(client).endswith(b"4\r\nsome\r\n")
    assert bench.hear_urgent() == Cancel([request_of(job.id)])
    bench.counter("timed_out")


@pytest.mark.parametrize("bench", [{"request_timeout": 0.5}], indirect=True)
def test_a_stream_may_take_longer_than_a_request_as_long_as_parts_come(bench: Bench):
    client = bench.raw(GET)
    (job,) = bench.jobs()
    bench.begin(job, b"x")
    read_until(client, b"x\r\n")
    for _ in range(8):
        assert not select.select([client], [], [], 0.2)[0], "the stream was ended"
        bench.part(job, b"y")
        read_until(client, b"y\r\n")
    bench.end(job)
    read_until(client, b"0\r\n\r\n")


@pytest.mark.parametrize("bench", [{"write_timeout": 0.5}], indirect=True)
def test_a_client_that_reads_nothing_of_a_stream_is_cut_off_and_the_work_cancelled(bench: Bench):
    slow_client(bench)
    (job,) = bench.jobs()
    bench.begin(job)
    limit = STREAM_WINDOW
    bench.part(job, b"x" * limit)
    while isinstance(said := bench.hear_urgent(), Allow):
        bench.part(job, b"x" * (said.limit - limit))
        limit = said.limit
    assert said == Cancel([request_of(job.id)])
    bench.counter("write_timeouts")


def test_what_is_streaming_is_not_sent_again(bench: Bench):
    bench.raw(GET)
    client = bench.raw(GET)
    first, second = bench.jobs(2)
    bench.begin(second, b"some")
    read_until(client, b"some\r\n")
    bench.replace_proxy(2)
    assert bench.hear() == JobsAgain([first])


def test_a_streamed_request_is_one_line_of_the_access_log_with_what_was_sent(bench: Bench):
    client = bench.raw(GET)
    (job,) = bench.jobs()
    bench.begin(job, b"12345")
    bench.part(job, b"678")
    bench.end(job)
    read_until(client, b"0\r\n\r\n")
    wait_for(lambda: '"GET /do HTTP/1.1" 200 8 ' in bench.plane.log("server.1"), "the line")
    assert bench.plane.log("server.1").count("\n") == 1
