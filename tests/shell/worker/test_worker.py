"""A real worker process; the test plays proxy, server and supervisor."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from primectl.config.topology import pool_in
from primectl.control.begun import read_begun
from primectl.wire import frames
from primectl.wire.control import KillNow, ProcessReady, Retire, pool_topic
from primectl.wire.job import URGENT, Announce, Beat, Done, Goodbye, HandBack, Leave, WhoIsThere, first_job
from primectl.wire.stats import WorkerSample
from tests.support.plane import exit_status, random_frames, wait_for
from tests.support.worker_bench import LANE, Bench, a_bench, job


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with a_bench(getattr(request, "param", "echo")) as bench:
        yield bench


def test_an_answer_goes_to_the_origin_and_then_the_proxy_hears_that_it_is_done(bench: Bench):
    bench.send(job(1, "hello"))
    answer = bench.wait_for_answer()
    assert (answer.job, answer.status, answer.body, answer.worker) == (first_job(1, 1), 200, b"hello", "compute.1")
    done = bench.wait_to_hear(Done)
    assert isinstance(done, Done)
    assert (done.jobs, done.failed) == ([first_job(1, 1)], 0)


@pytest.mark.parametrize("bench", ["sleep"], indirect=True)
def test_jobs_behind_a_long_one_are_handed_back_by_the_urgent_lane_and_do_not_run(bench: Bench):
    bench.send(job(1, 0.0), job(2, 0.5), job(3, 0.0), job(4, 0.0))
    hand_back = bench.wait_to_hear(HandBack, passing=(Done,))
    assert isinstance(hand_back, HandBack)
    assert bench.said[-1][0] == URGENT + LANE
    # The first job is a long one too if the machine stalls in it: then the second goes back with the others.
    kept = [job for job in (first_job(1, 1), first_job(1, 2)) if job not in hand_back.jobs]
    assert kept + hand_back.jobs == [first_job(1, serial) for serial in (1, 2, 3, 4)]
    # One answer a frame: the first has not waited behind the long job.
    assert [bench.wait_for_answer().job for _ in kept] == kept
    assert not bench.answers.poll(200), "a job that was handed back has run"


@pytest.mark.parametrize("bench", ["onward"], indirect=True)
def test_a_forward_goes_to_the_other_pool_one_hop_further(bench: Bench):
    bench.send(job(1, {"to": "other", "payload": 10**40}))
    assert bench.next_pool.poll(20_000)
    (forwarded,) = frames.to_proxy(bench.next_pool.recv_multipart()[1]).jobs
    assert forwarded.id == first_job(1, 1) + 1
    assert frames.decode_payload(forwarded.kind, forwarded.payload) == 10**40
    assert isinstance(bench.wait_to_hear(Done), Done)


@pytest.mark.parametrize("bench", ["onward"], indirect=True)
@pytest.mark.parametrize(
    ("value", "hop", "words"), [({"to": "nowhere"}, 0, "no pool"), ({"to": "other"}, 5, "max_hops")]
)
def test_a_forward_that_cannot_be_is_500_with_the_reason(bench: Bench, value: object, hop: int, words: str):
    bench.send(job(1, value, hop))
    answer = bench.wait_for_answer()
    assert answer.status == 500
    assert words in answer.body.decode()


@pytest.mark.parametrize("bench", ["noisy"], indirect=True)
def test_an_exception_is_500_with_its_traceback_in_the_log_and_the_worker_lives(bench: Bench):
    for serial in (1, 2):
        bench.send(job(serial, "bad\nnews"))
        assert bench.wait_for_answer().status == 500
        done = bench.wait_to_hear(Done)
        assert isinstance(done, Done)
        assert done.failed == 1
    log = bench.plane.log("compute.1")
    assert "noise on stdout" in log
    assert "  | ValueError: bad" in log
    assert bench.process.poll() is None


@pytest.mark.parametrize("bench", ["sleep"], indirect=True)
def test_a_retiring_worker_finishes_its_job_takes_leave_and_is_gone(bench: Bench):
    bench.send(job(1, 0.3), job(2, 0.0))
    bench.wait_to_hear(HandBack)
    bench.plane.tell(pool_topic("compute"), Retire(1))
    assert bench.wait_for_answer().body == b"slept 0.3"
    bench.wait_to_hear(Done)
    bench.wait_to_hear(Leave)
    bench.send(job(3, 0.0))
    assert bench.wait_to_hear(HandBack) == HandBack([first_job(1, 3)])
    bench.out.send_multipart([LANE, frames.encode(Goodbye())])
    assert exit_status(bench.process) == 0


def test_a_worker_leaves_on_sigterm_even_if_the_proxy_says_nothing(bench: Bench):
    bench.process.send_signal(signal.SIGTERM)
    assert exit_status(bench.process) == 0


@pytest.mark.parametrize("bench", ["sleep"], indirect=True)
def test_kill_is_obeyed_in_the_middle_of_a_job(bench: Bench):
    bench.send(job(1, 60.0))
    bench.wait_until_busy()
    bench.plane.tell("all", KillNow(1))
    assert exit_status(bench.process) == 0


@pytest.mark.parametrize("bench", ["sleep"], indirect=True)
def test_a_busy_worker_announces_itself_to_a_new_proxy_with_what_it_holds(bench: Bench):
    bench.send(job(1, 1.0))
    bench.wait_until_busy()
    bench.plane.tell("all", ProcessReady("proxy.compute", 2))
    assert bench.wait_to_hear(Announce) == Announce("compute.1", 1, [first_job(1, 1)])


def test_asked_who_it_is_a_worker_says_so(bench: Bench):
    bench.wait_to_hear(Beat)
    bench.out.send_multipart([URGENT + LANE, frames.encode(WhoIsThere())])
    assert bench.wait_to_hear(Announce) == Announce("compute.1", 1, [])


def test_garbage_on_either_lane_is_counted_and_survived(bench: Bench):
    bench.wait_to_hear(Beat)
    for lane in (LANE, URGENT + LANE):
        for message in random_frames(60):
            bench.out.send_multipart([lane, *message])
    bench.plane.commands.send_multipart([b"all", b"\x01garbage"])
    bench.plane.commands.send_multipart([b"all"])
    bench.send(job(1, "still here"))
    assert bench.wait_for_answer().body == b"still here"
    wait_for(
        lambda: any(
            isinstance(e.report, WorkerSample) and e.report.counters["malformed"] >= 100
            for e in bench.plane.reports(50)
        ),
        "the count of malformed frames",
    )


def test_the_process_bears_its_name_and_its_log_is_private(bench: Bench):
    title = Path(f"/proc/{bench.process.pid}/cmdline").read_bytes().rstrip(b"\0").decode()
    assert title == "primectl: test/compute.1"
    assert os.stat(bench.plane.place.log_file("compute.1")).st_mode & 0o777 == 0o600


FAILURES = [
    "exit",
    "interrupt",
    "memory",
    "recursion",
    "cancelled",
    "generator",
    "group",
    "unshown",
    "none",
    "tuple",
    "status",
    "surrogate",
    "payload",
    "hostile",
    "key",
    "thread",
]


@pytest.mark.parametrize("bench", ["fail", "afail"], indirect=True)
def test_whatever_a_handler_raises_or_returns_is_500_at_once_and_the_worker_lives(bench: Bench):
    for serial, kind in enumerate(FAILURES, 1):
        bench.send(job(serial, kind))
        assert bench.wait_for_answer().status == 500, kind
        done = bench.wait_to_hear(Done)
        assert isinstance(done, Done)
        assert (done.jobs, done.failed) == ([first_job(1, serial)], 1), kind
    bench.send(job(99, "fine"))
    assert bench.wait_for_answer().body == b"fine"
    assert bench.plane.log("compute.1").count(" ERROR ") == len(FAILURES)


@pytest.mark.parametrize("bench", ["fail"], indirect=True)
def test_a_thread_that_a_handler_has_left_does_not_hold_a_leaving_worker(bench: Bench):
    bench.send(job(1, "thread"))
    assert bench.wait_for_answer().status == 500
    bench.process.send_signal(signal.SIGTERM)
    assert exit_status(bench.process) == 0


@pytest.mark.parametrize("bench", ["fail"], indirect=True)
def test_a_child_that_a_handler_forks_and_lets_return_is_not_a_second_worker(bench: Bench):
    bench.send(job(1, "fork"))
    answer = bench.wait_for_answer()
    assert (answer.status, answer.body[:6]) == (200, b"child ")
    assert answer.body != b"child 0"
    bench.wait_for_done(1)
    assert bench.nothing_for_the_server(50)


@pytest.mark.parametrize("bench", ["die"], indirect=True)
def test_what_a_dead_worker_had_begun_can_be_read_and_what_it_had_not_is_not_there(bench: Bench):
    bench.send(job(1, "first", retryable=False), job(2, "second", retryable=False))
    assert exit_status(bench.process) == -signal.SIGKILL
    begun = read_begun(bench.plane.place.begun_file("compute.1"))
    assert begun is not None
    assert (begun.current, begun.ids, begun.complete_since) == (first_job(1, 1), {first_job(1, 1)}, 0.0)


def test_a_worker_that_has_sent_what_it_made_notes_that_it_rests(bench: Bench):
    bench.send(job(1, "x", retryable=False))
    bench.wait_for_done(1)

    def current() -> int:
        begun = read_begun(bench.plane.place.begun_file("compute.1"))
        assert begun is not None
        assert begun.ids == {first_job(1, 1)}
        return begun.current

    wait_for(lambda: current() == 0, "the note")


def test_the_proxy_is_told_the_key_of_the_job_that_ran_last(bench: Bench):
    keyed = [structs.replace(job(serial, "x"), key=key) for serial, key in ((1, "red"), (2, "blue"))]
    bench.send(*keyed)
    done = bench.wait_to_hear(Done)
    assert isinstance(done, Done)
    assert done.key in ("red", "blue")  # of the batch's last, or of its first where the machine stalled in between
    if done.jobs[-1] != first_job(1, 2):
        done = bench.wait_to_hear(Done)
        assert isinstance(done, Done)
    assert done.key == "blue"
    bench.announce_to_a_new_proxy()
    assert bench.wait_to_hear(Announce) == Announce("compute.1", 1, [], "blue")


def test_a_forwarded_job_has_the_key_that_its_pool_makes_of_the_payload_or_that_the_handler_names():
    with a_bench("onward", affinity="key_of") as bench:
        for serial, (payload, named, key) in enumerate(
            [("red", "", "red"), (7, "", "7"), ("red", "blue", "blue"), (None, "", ""), ("bad", "", ""), (1.5, "", "")]
        ):
            bench.send(job(serial, {"to": "other", "payload": payload, "key": named}))
            assert bench.next_pool.poll(20_000)
            (forwarded,) = frames.to_proxy(bench.next_pool.recv_multipart()[1]).jobs
            assert forwarded.key == key, payload
        wait_for(lambda: any(sample.counters["affinity_errors"] == 2 for sample in bench.samples()), "the count")
        assert bench.plane.log("compute.1").count("gives no key") == 1


@pytest.mark.parametrize("bench", ["rounds"], indirect=True)
def test_a_short_request_behind_two_long_ones_ends_after_its_own_rounds(bench: Bench):
    """Three requests on one worker; each round of one is a job. What is forwarded stands behind what waits already."""
    queue = [job(serial, rounds) for serial, rounds in ((1, 100), (2, 100), (3, 1))]
    ran = 0
    while bench.nothing_for_the_server():
        bench.send(*queue)
        bench.wait_until_done({each.id for each in queue})
        ran += len(queue)
        queue = []
        while bench.own_pool.poll(0):
            queue += frames.to_proxy(bench.own_pool.recv_multipart()[1]).jobs
    assert bench.wait_for_answer().job == first_job(1, 3) + 1
    assert ran <= 3 * 3


def refuses(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as caller:
        return caller.connect_ex(path) != 0


@pytest.mark.parametrize("bench", ["onward"], indirect=True)
def test_a_worker_that_cannot_forward_lets_go_of_what_is_cancelled_and_gives_back_what_it_has_not_begun(bench: Bench):
    """1. The other pool's proxy is away. 2. The job that forwards to it ends, but is not done. 3. The job behind it is
    given back. 4. Its client leaves: it is done, and the worker is free."""
    door = bench.plane.place.endpoint(pool_in("other")).removeprefix("ipc://")
    bench.next_pool.close()
    wait_for(lambda: refuses(door), "the other pool's door to be shut")
    bench.send(job(1, {"to": "other", "wait": 0.002}), job(2, {"to": "other"}))
    assert bench.wait_to_hear(HandBack) == HandBack([first_job(1, 2)])
    bench.cancel(1)
    bench.wait_for_done(1)
    bench.send(job(3, {"to": "nowhere"}))
    assert bench.wait_for_answer().status == 500
