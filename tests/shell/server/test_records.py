"""What a real server tells the recorder, which the test plays: a record for every request, whatever became of it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import zmq

from primectl.config.model import ClusterConfig, Config, JournalConfig, PoolConfig, ServerConfig
from primectl.config.topology import RECORDER, ClusterFile
from primectl.journal.redact import TOKEN
from primectl.message import Request
from primectl.server.client import RESET
from primectl.wire import frames
from primectl.wire.control import ProcessReady, Reread, Retire, process_topic
from primectl.wire.job import (
    REQUEST,
    STREAM_BROKEN,
    STREAM_COMPLETE,
    Answer,
    Answers,
    Cancel,
    Whereabouts,
    request_name,
    request_of,
)
from primectl.wire.journal import (
    BROKEN,
    DEAD,
    LEFT,
    STREAMED,
    TIMED_OUT,
    Hop,
    Record,
    Records,
    Written,
    add_hop,
    hops_of,
)
from tests.shell.server.bench import Bench
from tests.support.plane import ROOT, Plane, a_plane, exit_status, random_frames, wait_for

TRAIL = add_hop(b"", Hop("web.1", 1.0, 2.0))


class Recorder:
    """A recorder that the test plays; `rows` are what it has written, by number."""

    def __init__(self, plane: Plane, *, writes: bool = True) -> None:
        self.plane = plane
        self.writes = writes
        self.socket = plane.bind(zmq.PULL, RECORDER)
        self.loopback = plane.connect(zmq.PUSH, "loopback.server.1")
        self.rows: dict[int, Record] = {}
        self.dropped = 0
        self.repeated = 0

    def hear(self, wait_ms: int = 20_000) -> Records:
        assert self.socket.poll(wait_ms), "the recorder heard nothing"
        said = frames.to_recorder(self.socket.recv())
        assert isinstance(said, Records)
        assert (said.server, said.incarnation) == ("server.1", 1)
        self.dropped = said.dropped
        for number, record in enumerate(said.records, said.first):
            self.repeated += number in self.rows
            self.rows[number] = record
        if self.writes:
            self.write(max(self.rows))
        return said

    def write(self, last: int, incarnation: int = 1) -> None:
        self.loopback.send(frames.encode(Written(incarnation, last)))

    def records(self, count: int) -> list[Record]:
        """So many more, in order."""
        known = set(self.rows)
        while len(self.rows) < len(known) + count:
            self.hear()
        return [self.rows[number] for number in sorted(self.rows.keys() - known)]

    def record(self) -> Record:
        (record,) = self.records(1)
        return record

    def die(self) -> None:
        self.socket.close(linger=0)
        self.loopback.close(linger=0)


def a_config(journal: JournalConfig, **server: object) -> Config:
    return Config(
        cluster=ClusterConfig(name="test"),
        server=ServerConfig(**server),  # type: ignore[arg-type]
        routes={"GET,POST,HEAD /do": "web", "/users/{id}": "web"},
        pools={"web": PoolConfig(handler="tests.support.handlers:echo")},
        journal=journal,
    )


@contextmanager
def a_bench(journal: JournalConfig | None = None, **server: object) -> Iterator[tuple[Bench, Recorder]]:
    with a_plane(a_config(journal or JournalConfig(), **server)) as plane:
        recorder = Recorder(plane)
        bench = Bench(plane)
        yield bench, recorder
        bench.close()


@pytest.fixture
def both() -> Iterator[tuple[Bench, Recorder]]:
    with a_bench() as both:
        yield both


def asked(record: Record) -> Request:
    request = frames.decode_payload(REQUEST, record.asked)
    assert isinstance(request, Request)
    return request


def serve(bench: Bench, count: int = 1) -> None:
    """Requests from their question to their answer."""
    for _ in range(count):
        client = bench.ask("GET", "/do")
        bench.answer(*bench.jobs())
        assert client.getresponse().read() == b"fine"


def test_an_answered_request_is_recorded_with_all_that_is_known_of_it(both: tuple[Bench, Recorder]):
    bench, recorder = both
    client = bench.client()
    client.request("POST", "/do?a=1", b"question", {"X-Own": "yes"})
    (job,) = bench.jobs()
    answer = Answer(job.id, 201, (("x-seen", "no"),), b"answer", "web.1", 2, TRAIL)
    bench.loopback.send(frames.encode(Answers([answer])))
    client.getresponse().read()
    record = recorder.record()
    request = asked(record)
    assert record.asked == job.payload
    assert (request.method, request.target, request.body) == ("POST", "/do?a=1", b"question")
    assert ("x-own", "yes") in request.fields
    assert request.client.startswith("127.0.0.1:")
    assert (record.request, record.pool, record.worker) == (request_of(job.id), "web", "web.1")
    assert (record.status, record.fields, record.body) == (201, answer.fields, b"answer")
    assert (record.asked_bytes, record.body_bytes, record.attempts, record.trail) == (8, 6, 2, TRAIL)
    assert (record.flags, record.problem) == (0, "")
    assert 0.0 < record.began < record.ended


def test_what_the_server_answers_by_itself_is_recorded_but_for_its_own_paths():
    with a_bench(max_inflight=1) as (bench, recorder):
        for target in ("/health", "/ready"):
            bench.ask("GET", target).getresponse().read()
        assert bench.ask("GET", "/nowhere").getresponse().status == 404
        assert bench.ask("DELETE", "/do").getresponse().status == 405
        bench.raw(b"GET /do HTTP/9.9\r\n\r\n").recv(1)
        bench.ask("GET", "/do")
        bench.jobs()
        assert bench.ask("GET", "/do?two").getresponse().status == 503
        first, second, third, fourth = recorder.records(4)
        told = [(asked(each).target, each.status, each.pool, each.worker) for each in (first, second, fourth)]
        assert told == [
            ("/nowhere", 404, "", "server.1"),
            ("/do", 405, "", "server.1"),
            ("/do?two", 503, "web", "server.1"),
        ]
        assert (third.status, third.pool, third.body_bytes > 0, third.problem != "") == (505, "", True, True)
        assert fourth.problem == "1 requests are open, the most this server takes"
        assert json.loads(first.body)["request_id"] == request_name(first.request)


def test_a_refused_request_is_recorded_as_far_as_it_was_understood(both: tuple[Bench, Recorder]):
    bench, recorder = both
    bench.raw(b"GET /do?x HTTP/1.1\r\nHost: a\r\nContent-Length: many\r\n\r\n").recv(1)
    record = recorder.record()
    assert (asked(record).method, asked(record).target, record.status) == ("GET", "/do?x", 400)
    assert asked(record).client.startswith("127.0.0.1:")


def test_a_dead_letter_says_so_and_why(both: tuple[Bench, Recorder]):
    bench, recorder = both
    client = bench.ask("GET", "/do")
    bench.fail(*bench.jobs(), detail="3 workers were lost")
    assert client.getresponse().status == 502
    record = recorder.record()
    assert (record.status, record.flags, record.attempts, record.worker) == (502, DEAD, 3, "proxy.web")
    assert record.problem == "3 workers were lost"


def test_a_client_that_leaves_has_status_0(both: tuple[Bench, Recorder]):
    bench, recorder = both
    client = bench.ask("GET", "/do")
    bench.jobs()
    client.close()
    record = recorder.record()
    assert (record.status, record.flags, record.pool) == (0, LEFT, "web")
    assert "left" in record.problem


def test_a_request_that_nobody_answered_in_time_says_so():
    with a_bench(request_timeout=0.2) as (bench, recorder):
        client = bench.ask("GET", "/do")
        bench.jobs()
        assert client.getresponse().status == 504
        record = recorder.record()
        assert (record.status, record.flags, record.problem) == (504, TIMED_OUT, "no answer within 0.2 s")


@pytest.mark.parametrize("told", ["before it is over", "after it"])
def test_a_request_that_nobody_answered_in_time_shows_where_it_was(told: str):
    with a_bench(request_timeout=0.2) as (bench, recorder):
        client = bench.ask("GET", "/do")
        (job,) = bench.jobs()
        place = Whereabouts([(request_of(job.id), TRAIL)])
        if told == "before it is over":
            bench.loopback.send(frames.encode(place))
        else:
            assert bench.hear_urgent() == Cancel([request_of(job.id)])
            bench.loopback.send(frames.encode(place))
        assert client.getresponse().status == 504
        record = recorder.record()
        assert (record.status, record.flags, record.trail) == (504, TIMED_OUT, TRAIL)


def test_fields_that_cannot_be_sent_are_recorded_as_the_500_that_the_client_got(both: tuple[Bench, Recorder]):
    bench, recorder = both
    client = bench.ask("GET", "/do")
    bench.answer(*bench.jobs(), fields=(("bad name", "value"),))
    assert client.getresponse().status == 500
    record = recorder.record()
    assert (record.status, record.fields, record.body) == (500, (), b"")
    assert record.problem == "the handler's header fields cannot be sent"


def test_bodies_are_cut_to_the_limit_and_their_lengths_are_told():
    with a_bench(JournalConfig(max_body=10)) as (bench, recorder):
        for size in (10, 11):
            client = bench.ask("POST", "/do", bytes(range(size)))
            bench.answer(*bench.jobs(), body=bytes(range(size)))
            client.getresponse().read()
            record = recorder.record()
            assert (asked(record).body, asked(record).target) == (bytes(range(10)), "/do")
            assert (record.body, record.body_bytes, record.asked_bytes) == (bytes(range(10)), size, size)


def test_a_streamed_answer_is_recorded_at_its_end_with_the_begin_of_its_body():
    with a_bench(JournalConfig(max_body=8)) as (bench, recorder):
        client = bench.ask("GET", "/do")
        (job,) = bench.jobs()
        bench.begin(job, b"one ", trail=TRAIL)
        bench.part(job, b"two three")
        serve(bench)
        assert recorder.record().flags == 0, "the other one ended first"
        bench.part(job, b"", STREAM_COMPLETE)
        assert client.getresponse().read() == b"one two three"
        record = recorder.record()
        assert (record.status, record.flags, record.body, record.body_bytes) == (200, STREAMED, b"one two ", 13)
        (hop,) = hops_of(record.trail)
        assert (hop.worker, hop.begun, hop.ended, hop.failed) == ("web.1", 1.0, record.ended, False)


def test_a_stream_that_breaks_is_recorded_as_broken(both: tuple[Bench, Recorder]):
    bench, recorder = both
    client = bench.ask("GET", "/do")
    (job,) = bench.jobs()
    bench.begin(job, b"half", trail=TRAIL)
    bench.part(job, b"", STREAM_BROKEN)
    client.getresponse()
    record = recorder.record()
    assert (record.status, record.flags, record.body) == (200, STREAMED | BROKEN, b"half")
    assert [hop.failed for hop in hops_of(record.trail)] == [True]
    assert "the handler failed" in record.problem


def test_a_stream_whose_client_leaves_says_so(both: tuple[Bench, Recorder]):
    bench, recorder = both
    client = bench.raw(b"GET /do HTTP/1.1\r\nHost: a\r\n\r\n")
    (job,) = bench.jobs()
    bench.begin(job, b"half")
    assert client.recv(1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    record = recorder.record()
    assert (record.status, record.flags, record.body) == (200, STREAMED | LEFT, b"half")


def test_a_stream_that_falls_silent_says_so():
    with a_bench(request_timeout=0.2) as (bench, recorder):
        bench.ask("GET", "/do")
        bench.begin(*bench.jobs(), b"half")
        record = recorder.record()
        assert (record.status, record.flags) == (200, STREAMED | BROKEN | TIMED_OUT)


def test_a_streamed_answer_to_head_is_recorded_at_once(both: tuple[Bench, Recorder]):
    bench, recorder = both
    client = bench.ask("HEAD", "/do")
    bench.begin(*bench.jobs(), b"body", trail=TRAIL)
    assert client.getresponse().status == 200
    record = recorder.record()
    assert (record.status, record.flags, record.trail) == (200, STREAMED, TRAIL)


# --- the recorder's lives ---------------------------------------------------------------------------------------------


def test_a_recorder_that_dies_before_it_has_written_costs_nothing_its_successor_gets_it_in_order(
    both: tuple[Bench, Recorder],
):
    bench, first = both
    serve(bench, 2)
    first.records(2)
    first.writes = False
    serve(bench, 3)
    first.records(3)
    first.die()
    serve(bench, 2)
    second = Recorder(bench.plane)
    bench.plane.tell("all", ProcessReady(RECORDER, 2))
    begin = second.hear().first
    assert begin <= 3, "the first two may have been said to be written in time, or not"
    while 7 not in second.rows:
        second.hear()
    assert list(second.rows) == list(range(begin, 8))
    assert (second.repeated, second.dropped) == (0, 0)


def test_a_recorder_is_found_even_if_nobody_says_that_it_is_ready(both: tuple[Bench, Recorder]):
    bench, first = both
    first.die()
    serve(bench)
    second = Recorder(bench.plane)
    second.records(1)
    assert sorted(second.rows) == [1]


def test_without_a_recorder_requests_are_served_and_what_has_no_room_is_counted():
    with a_plane(a_config(JournalConfig(max_body=8 << 20))) as plane:
        bench = Bench(plane)
        body = bytes(4 << 20)
        for _ in range(6):
            client = bench.ask("GET", "/do")
            bench.answer(*bench.jobs(), body=body)
            assert client.getresponse().read() == body
        bench.counter("journal_dropped", 1)
        recorder = Recorder(plane)
        plane.tell("all", ProcessReady(RECORDER, 1))
        recorder.records(4)
        serve(bench)
        recorder.record()
        assert (sorted(recorder.rows), recorder.dropped) == ([1, 2, 3, 4, 7], 2)
        bench.close()


def test_garbage_from_a_recorder_is_counted_and_harms_nobody(both: tuple[Bench, Recorder]):
    bench, recorder = both
    for message in random_frames():
        recorder.loopback.send_multipart(message)
    recorder.write(1 << 60)
    recorder.write(-1)
    recorder.write(5, incarnation=9)
    bench.counter("malformed", 200)
    serve(bench, 3)
    assert [each.status for each in recorder.records(3)] == [200, 200, 200]


def test_a_recorder_that_reads_nothing_slows_nobody():
    with a_bench(JournalConfig(max_body=8 << 20)) as (bench, recorder):
        for _ in range(6):
            client = bench.ask("GET", "/do")
            bench.answer(*bench.jobs(), body=bytes(4 << 20))
            assert len(client.getresponse().read()) == 4 << 20
        bench.counter("journal_dropped", 2)
        assert len(recorder.records(4)) == 4


# --- settings ---------------------------------------------------------------------------------------------------------


def reread(bench: Bench, journal: JournalConfig) -> None:
    """As the supervisor has it done after `apply`."""
    plane = bench.plane
    file = ClusterFile(plane.place, a_config(journal), "test.toml", str(ROOT))
    Path(plane.place.cluster_file).write_bytes(msgspec.json.encode(file))
    plane.tell(process_topic("server.1"), Reread(17))
    wait_for(
        lambda: any(getattr(each.report, "command", None) == 17 for each in plane.reports(50)),
        "the word that it is done",
    )


def test_a_share_is_recorded_and_the_rest_is_counted_but_trouble_always_is():
    with a_bench(JournalConfig(sample=0.0)) as (bench, recorder):
        serve(bench, 3)
        client = bench.ask("GET", "/do")
        bench.fail(*bench.jobs())
        client.getresponse().read()
        bench.counter("journal_left_out", 3)
        assert recorder.record().status == 502
        assert sorted(recorder.rows) == [1]


def test_settings_change_while_it_runs():
    with a_bench(JournalConfig(enabled=False)) as (bench, recorder):
        serve(bench)
        reread(bench, JournalConfig(max_body=2, redact_headers=("x-mine",)))
        client = bench.client()
        client.request("GET", "/do", headers={"X-Mine": "secret", "Authorization": "shown"})
        bench.fail(*bench.jobs())
        client.getresponse().read()
        record = recorder.record()
        assert (sorted(recorder.rows), len(record.body)) == ([1], 2)
        fields = dict(json.loads(Path(bench.plane.place.dead_letters_file).read_text())["fields"])
        assert (TOKEN.fullmatch(fields["x-mine"]) is not None, fields["authorization"]) == (True, "shown")
        reread(bench, JournalConfig(enabled=False))
        serve(bench)
        reread(bench, JournalConfig(sample=0.0))
        serve(bench)
        bench.counter("journal_left_out", 1)
        reread(bench, JournalConfig())
        serve(bench)
        recorder.record()
        assert sorted(recorder.rows) == [1, 2]


# --- the end ----------------------------------------------------------------------------------------------------------


def test_a_server_that_leaves_has_told_what_became_of_its_last_requests(both: tuple[Bench, Recorder]):
    bench, recorder = both
    clients = [bench.ask("GET", "/do") for _ in range(3)]
    jobs = bench.jobs(3)
    bench.plane.tell(process_topic("server.1"), Retire(1, 0.2))
    bench.answer(jobs[0])
    assert [client.getresponse().status for client in clients] == [200, 503, 503]
    records = recorder.records(3)
    assert sorted((each.status, each.problem) for each in records) == [
        (200, ""),
        (503, "the server is stopping"),
        (503, "the server is stopping"),
    ]
    assert exit_status(bench.process) == 0


@pytest.mark.parametrize("there", [True, False])
def test_a_server_leaves_whether_its_records_are_written_or_not(both: tuple[Bench, Recorder], there: bool):
    bench, recorder = both
    recorder.writes = False
    serve(bench)
    recorder.record()
    if not there:
        recorder.die()
    bench.plane.tell(process_topic("server.1"), Retire(1))
    assert exit_status(bench.process) == 0
