"""Streamed answers of a real worker: what its server is sent, and when."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from primectl.config.model import ServerConfig
from primectl.message import TEXT
from primectl.wire import frames
from primectl.wire.job import (
    STREAM_BROKEN,
    STREAM_COMPLETE,
    STREAM_GOES_ON,
    STREAM_WINDOW,
    Announce,
    Answer,
    Answers,
    Done,
    HandBack,
    StreamBegun,
    Streaming,
    StreamPart,
    first_job,
)
from tests.support.plane import wait_for
from tests.support.worker_bench import LANE, Bench, a_bench, job

STREAMS = ("stream", "astream")


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with a_bench(getattr(request, "param", "stream")) as bench:
        yield bench


def whole(bench: Bench, serial: int = 1, allowing: bool = False) -> tuple[Answer, bytes, int]:
    """The head of a stream, its body, and how it ended; `allowing`: its client reads along."""
    begun = bench.wait_for_message()
    assert isinstance(begun, StreamBegun)
    assert (begun.lane, begun.answer.job, begun.answer.worker) == (LANE, first_job(1, serial), "compute.1")
    body, end = begun.answer.body, STREAM_GOES_ON
    while end == STREAM_GOES_ON:
        if allowing:
            bench.allow(serial, len(body) + STREAM_WINDOW)
        part = bench.wait_for_message()
        assert isinstance(part, StreamPart)
        assert (part.job, part.attempt) == (first_job(1, serial), 1)
        assert len(part.data) <= STREAM_WINDOW
        body, end = body + part.data, part.end
    return begun.answer, body, end


def wait_for_word(bench: Bench, word: str, times: int = 1) -> None:
    wait_for(lambda: bench.plane.log("compute.1").count(word) >= times, f"{word!r} in the log")


@pytest.mark.parametrize("bench", STREAMS, indirect=True)
@pytest.mark.parametrize(
    ("items", "status", "content_type", "body"),
    [
        (["a", "b", "ü"], 200, TEXT, "abü".encode()),
        ([b"a", "b"], 200, "application/octet-stream", b"ab"),
        (["response", b"1\n", b"", "2\n"], 201, "text/csv", b"head,1\n2\n"),
    ],
)
def test_the_first_item_makes_the_head_and_all_of_them_the_body(
    bench: Bench, items: list[object], status: int, content_type: str, body: bytes
):
    bench.send(job(1, items))
    assert bench.wait_to_hear(Streaming) == Streaming(first_job(1, 1))
    answer, sent, end = whole(bench)
    assert (answer.status, answer.fields, sent, end) == (
        status,
        (("content-type", content_type),),
        body,
        STREAM_COMPLETE,
    )
    done = bench.wait_to_hear(Done)
    assert isinstance(done, Done)
    assert (done.jobs, done.failed) == ([first_job(1, 1)], 0)
    wait_for_word(bench, "the stream is closed")


@pytest.mark.parametrize("bench", STREAMS, indirect=True)
def test_a_chunk_does_not_wait_for_the_next_one_to_be_produced(bench: Bench):
    bench.send(job(1, ["one", "two", 60.0, "three"]))
    begun = bench.wait_for_message()
    assert isinstance(begun, StreamBegun)
    assert begun.answer.body == b"one"
    assert bench.wait_for_message() == StreamPart(first_job(1, 1), 1, b"two")


@pytest.mark.parametrize("bench", STREAMS, indirect=True)
def test_a_stream_without_an_item_is_an_empty_answer(bench: Bench):
    bench.send(job(1, []))
    answer = bench.wait_for_answer()
    assert structs.replace(answer, trail=b"") == Answer(first_job(1, 1), 200, (), b"", "compute.1")


@pytest.mark.parametrize("bench", STREAMS, indirect=True)
def test_a_forward_as_the_first_item_is_a_forward(bench: Bench):
    bench.send(job(1, ["forward", "never asked for"]))
    assert bench.next_pool.poll(20_000)
    (forwarded,) = frames.to_proxy(bench.next_pool.recv_multipart()[1]).jobs
    assert frames.decode_payload(forwarded.kind, forwarded.payload) == "onward"
    wait_for_word(bench, "the stream is closed")


@pytest.mark.parametrize("bench", STREAMS, indirect=True)
@pytest.mark.parametrize(("item", "status"), [("raise", 500), ("wrong", 500), ("http", 404)])
def test_what_goes_wrong_before_the_first_part_is_an_answer_like_any_other(bench: Bench, item: str, status: int):
    bench.send(job(1, [item]))
    assert bench.wait_for_answer().status == status
    wait_for_word(bench, "the stream is closed")


@pytest.mark.parametrize("bench", STREAMS, indirect=True)
@pytest.mark.parametrize("item", ["raise", "wrong", "http", "response", "forward"])
def test_what_goes_wrong_behind_the_first_part_breaks_the_stream_and_is_logged(bench: Bench, item: str):
    bench.send(job(1, ["sent", item, "never"]))
    _, body, end = whole(bench)
    assert (body, end) == (b"sent", STREAM_BROKEN)
    done = bench.wait_to_hear(Done)
    assert isinstance(done, Done)
    assert done.failed == 1
    assert "Traceback" in bench.plane.log("compute.1")
    wait_for_word(bench, "the stream is closed")
    bench.send(job(2, ["next"]))
    assert whole(bench, 2)[1:] == (b"next", STREAM_COMPLETE)


@pytest.mark.parametrize("bench", STREAMS, indirect=True)
def test_a_stream_stops_at_its_window_until_it_is_allowed_more(bench: Bench):
    size = 100 << 10
    bench.send(job(1, [size] * 8), job(2, []))
    begun = bench.wait_for_message()
    assert isinstance(begun, StreamBegun)
    got = len(begun.answer.body)
    # Jobs behind it are given back meanwhile.
    assert bench.wait_to_hear(HandBack) == HandBack([first_job(1, 2)])
    for limit in (STREAM_WINDOW, STREAM_WINDOW + 1, STREAM_WINDOW + size, 8 * size):
        bench.allow(1, limit)
        while got < limit:
            part = bench.wait_for_message()
            assert isinstance(part, StreamPart)
            got += len(part.data)
        assert got == limit
        if limit < 8 * size:
            assert bench.nothing_for_the_server(20)
            given = bench.plane.log("compute.1").count("giving")
            assert given == -(-limit // size) + (limit % size == 0), "the handler is asked only for what may be sent"
    part = bench.wait_for_message() if part.end == STREAM_GOES_ON else part
    assert isinstance(part, StreamPart)
    assert part.end == STREAM_COMPLETE


def test_an_item_of_any_size_travels_in_parts_of_at_most_a_window(bench: Bench):
    bench.send(job(1, [5 << 20, 3]))
    _, body, end = whole(bench, allowing=True)
    assert (len(body), end) == ((5 << 20) + 3, STREAM_COMPLETE)


def test_many_small_items_travel_together(bench: Bench):
    bench.send(job(1, ["x"] * 20_000))
    begun = bench.wait_for_message()
    assert isinstance(begun, StreamBegun)
    parts = 0
    body, end = begun.answer.body, STREAM_GOES_ON
    while end == STREAM_GOES_ON:
        part = bench.wait_for_message()
        assert isinstance(part, StreamPart)
        parts, body, end = parts + 1, body + part.data, part.end
    assert body == b"x" * 20_000
    assert parts < 5_000


@pytest.mark.parametrize("bench", STREAMS, indirect=True)
@pytest.mark.parametrize("items", [["one", 60.0, "two"], [STREAM_WINDOW, 1, 1]], ids=["producing", "blocked"])
def test_a_cancelled_stream_ends_and_its_handler_cleans_up(bench: Bench, items: list[object]):
    bench.send(job(1, items))
    assert isinstance(bench.wait_for_message(), StreamBegun)
    bench.cancel(1)
    bench.wait_for_done(1)
    wait_for_word(bench, "the stream is closed")
    bench.send(job(2, ["next"]))
    while isinstance(message := bench.wait_for_message(), StreamPart):
        assert message.end in (STREAM_GOES_ON, STREAM_BROKEN)
    assert isinstance(message, StreamBegun)
    assert message.answer.job == first_job(1, 2)


def test_a_generator_sees_that_it_is_cancelled_also_where_it_rests(bench: Bench):
    bench.send(job(1, [STREAM_WINDOW, 1, 1]))
    assert isinstance(bench.wait_for_message(), StreamBegun)
    bench.cancel(1)
    wait_for_word(bench, "the stream is cancelled")


def test_the_time_for_a_request_is_that_to_its_head_and_from_then_on_that_between_two_parts():
    with a_bench("stream", server=ServerConfig(request_timeout=0.8, write_timeout=0.8)) as bench:
        bench.send(job(1, ["a", 0.5, "b", 0.5, "c", 0.5, "d"], deadline=time.monotonic() + 0.8))
        assert whole(bench)[1:] == (b"abcd", STREAM_COMPLETE)
        bench.wait_for_done(1)
        bench.send(job(2, ["a", 60.0, "b"], deadline=time.monotonic() + 0.8))
        assert whole(bench, 2)[1:] == (b"a", STREAM_BROKEN)
        bench.wait_for_done(2)


def test_a_stream_that_nobody_reads_ends_after_a_while():
    with a_bench("stream", server=ServerConfig(request_timeout=0.3, write_timeout=0.3)) as bench:
        bench.send(job(1, [STREAM_WINDOW, 1, 1]))
        _, body, end = whole(bench)
        assert (len(body), end) == (STREAM_WINDOW, STREAM_BROKEN)


def test_a_stream_for_a_server_that_is_away_ends_and_the_worker_goes_on():
    with a_bench("stream", server=ServerConfig(processes=2)) as bench:
        bench.send(structs.replace(job(1, ["a", "b", "c"]), origin="server.2"))
        bench.wait_for_done(1)
        wait_for_word(bench, "the stream is closed")
        wait_for(lambda: any(sample.counters["answers_dropped"] == 1 for sample in bench.samples()), "the count")
        assert bench.process.poll() is None


def test_an_answer_finished_before_does_not_wait_for_a_stream(bench: Bench):
    bench.send(job(1, []), job(2, ["a", 60.0]))
    assert isinstance(bench.wait_for_message(), Answers)
    done = bench.wait_to_hear(Done)
    assert isinstance(done, Done)
    assert done.jobs == [first_job(1, 1)]


@pytest.mark.parametrize("bench", ["lines"], indirect=True)
def test_a_file_is_a_stream_of_its_lines(bench: Bench, tmp_path: Path):
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntwo\n")
    bench.send(job(1, str(path)))
    assert whole(bench)[1:] == (b"one\ntwo\n", STREAM_COMPLETE)


def test_a_new_proxy_hears_of_a_stream_that_is_held(bench: Bench):
    bench.send(job(1, ["a", 60.0]))
    assert isinstance(bench.wait_for_message(), StreamBegun)
    bench.announce_to_a_new_proxy()
    assert bench.wait_to_hear(Announce) == Announce("compute.1", 1, [first_job(1, 1)])
