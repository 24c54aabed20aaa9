"""Every open request has exactly one end."""

from __future__ import annotations

from primectl.server.ledger import Ledger
from primectl.wire.job import STREAM_WINDOW, Answer, JobId, WireJob, first_job, request_of

LANE = b"parse.1#3"


def a_ledger(limit: int = 3, size_limit: int = 1 << 20) -> Ledger[str]:
    return Ledger("server.1", 5, limit=limit, size_limit=size_limit, timeout_s=30.0)


def an_answer(job: WireJob, attempt: int = 1, status: int = 200) -> Answer:
    return Answer(job.id, status, (), b"", "parse.1", attempt)


def a_streaming_ledger(attempt: int = 1) -> tuple[Ledger[str], WireJob]:
    ledger = a_ledger()
    job = admit(ledger, "a")
    entry = ledger.begin(an_answer(job, attempt), "parse", LANE, 10.0)
    assert entry is not None
    assert entry.stream is not None
    assert (entry.stream.pool, entry.stream.lane) == ("parse", LANE)
    return ledger, job


def admit(ledger: Ledger[str], slot: str, now: float = 0.0, *, retryable: bool = True) -> WireJob:
    job = ledger.admit(slot, "parse", 0, b"payload", retryable, now)
    assert job is not None
    return job


def test_an_admitted_request_becomes_a_job_with_an_id_a_deadline_and_its_origin():
    job = admit(a_ledger(), "a", now=10.0)
    assert job == WireJob(first_job(5, 1), "server.1", 40.0, 0, True, b"payload", 1)


def test_an_answer_finds_its_slot_once_whatever_hop_it_comes_from():
    ledger = a_ledger()
    job = admit(ledger, "a")
    entry = ledger.answer(JobId(job.id + 3))
    assert entry is not None
    assert entry.slot == "a"
    assert ledger.answer(job.id) is None
    assert ledger.contradict(job.id, 1) is None
    assert ledger.snapshot().stray_answers == 1


def test_an_answer_of_an_earlier_run_finds_nothing():
    ledger = a_ledger()
    admit(ledger, "a")
    assert ledger.answer(first_job(4, 1)) is None


def test_more_than_the_limit_is_refused_and_counted():
    ledger = a_ledger(limit=1)
    job = admit(ledger, "a")
    assert ledger.admit("b", "parse", 0, b"", True, 0.0) is None
    ledger.answer(job.id)
    admit(ledger, "c")
    assert ledger.snapshot().refused == 1


def test_requests_expire_in_the_order_of_their_deadlines():
    ledger = a_ledger()
    admit(ledger, "a", now=0.0)
    admit(ledger, "b", now=1.0)
    assert ledger.next_deadline() == 30.0
    assert [entry.slot for _, entry in ledger.expire(30.5)] == ["a"]
    assert ledger.next_deadline() == 31.0
    assert len(ledger) == 1


def test_a_request_whose_client_left_is_abandoned_once():
    ledger = a_ledger()
    request = request_of(admit(ledger, "a").id)
    assert ledger.abandon(request)
    assert not ledger.abandon(request)
    assert ledger.next_deadline() is None


def test_what_was_sent_to_a_lost_proxy_is_sent_again_and_of_the_rest_what_may_run_twice():
    ledger = a_ledger(limit=9)
    post = admit(ledger, "post", retryable=False)
    get = admit(ledger, "get")
    elsewhere = ledger.admit("c", "other", 0, b"", True, 0.0)
    ledger.admit("d", "other", 0, b"", False, 0.0)
    assert ledger.lost_with("parse") == {"parse": [post, get], "other": [elsewhere]}


def test_what_has_begun_to_be_answered_is_not_sent_again():
    ledger = a_ledger()
    job = admit(ledger, "a")
    ledger.begin(an_answer(job), "parse", LANE, 1.0)
    assert ledger.lost_with("parse") == {}


def test_closing_ends_everything():
    ledger = a_ledger()
    admit(ledger, "a")
    admit(ledger, "b")
    assert [entry.slot for _, entry in ledger.close_all()] == ["a", "b"]
    assert len(ledger) == 0


def test_names_are_never_given_out_twice():
    ledger = a_ledger()
    names = {ledger.name_next(), request_of(admit(ledger, "a").id), ledger.name_next()}
    assert len(names) == 3


# --- how much ---------------------------------------------------------------------------------------------------------


def test_payloads_count_as_long_as_their_requests_are_open():
    ledger = a_ledger(limit=9, size_limit=16)
    first = admit(ledger, "a")
    admit(ledger, "b")
    assert ledger.size == 14
    assert ledger.admit("c", "parse", 0, b"abc", True, 0.0) is None
    assert "hold 14 bytes" in ledger.refusal(3)
    assert ledger.refusal(2) == ""
    ledger.answer(first.id)
    assert ledger.size == 7


def test_whichever_way_requests_end_nothing_of_their_size_is_left():
    ledger = a_ledger(limit=9)
    ended = [admit(ledger, str(number)) for number in range(6)]
    ledger.answer(ended[0].id)
    ledger.abandon(request_of(ended[1].id))
    ledger.begin(an_answer(ended[2]), "parse", LANE, 0.0)
    ledger.end(request_of(ended[2].id))
    ledger.begin(an_answer(ended[3]), "parse", LANE, 0.0)
    ledger.contradict(ended[3].id, 1)
    ledger.expire(30.0)
    assert (len(ledger), ledger.size) == (0, 0)
    admit(ledger, "last")
    ledger.close_all()
    assert ledger.size == 0


# --- answers that come bit by bit -------------------------------------------------------------------------------------


def test_parts_find_the_request_as_long_as_they_are_of_the_attempt_that_began():
    ledger, job = a_streaming_ledger(attempt=2)
    entry = ledger.part(job.id, 2, 100, 11.0)
    assert entry is not None
    assert entry.stream is not None
    assert entry.stream.received == 100
    assert ledger.part(job.id, 1, 100, 11.0) is None
    assert ledger.part(JobId(job.id + 1), 2, 100, 11.0) is None
    ledger.end(request_of(job.id))
    assert ledger.part(job.id, 2, 100, 11.0) is None
    assert (ledger.snapshot().stray_parts, ledger.snapshot().answered) == (3, 1)


def test_an_answer_to_what_is_being_answered_ends_it():
    """Its worker was given up: there will be no more of it."""
    ledger, job = a_streaming_ledger()
    assert ledger.answer(job.id) is None
    entry = ledger.contradict(job.id, 1)
    assert entry is not None
    assert entry.slot == "a"
    assert len(ledger) == 0


def test_a_late_word_of_an_earlier_attempt_changes_nothing():
    ledger, job = a_streaming_ledger(attempt=2)
    assert ledger.contradict(job.id, 1) is None
    assert ledger.part(job.id, 2, 1, 11.0) is not None


def test_a_streamed_answer_has_its_time_from_part_to_part():
    ledger, job = a_streaming_ledger()
    assert ledger.next_deadline() == 40.0
    assert ledger.expire(35.0) == []
    ledger.part(job.id, 1, 1, 35.0)
    assert ledger.silent_streams(64.9) == []
    assert [request for request, _ in ledger.silent_streams(65.0)] == [request_of(job.id)]
    ledger.renew(request_of(job.id), 65.0)
    assert ledger.next_deadline() == 95.0
    ledger.give_up(request_of(job.id))
    assert (len(ledger), ledger.snapshot().timed_out, ledger.snapshot().answered) == (0, 1, 0)


def test_streams_are_open_requests_too():
    ledger = a_ledger(limit=1)
    ledger.begin(an_answer(admit(ledger, "a")), "parse", LANE, 0.0)
    assert ledger.admit("b", "parse", 0, b"", True, 0.0) is None
    assert "1 requests are open" in ledger.refusal(0)


def test_a_client_that_reads_along_allows_more_in_steps_of_half_a_window():
    ledger, job = a_streaming_ledger()
    entry = ledger.part(job.id, 1, STREAM_WINDOW // 2 - 1, 11.0)
    assert entry is not None
    assert entry.stream is not None
    assert entry.stream.allow(0) is None
    ledger.part(job.id, 1, 1, 11.0)
    assert entry.stream.allow(1) is None
    assert entry.stream.allow(0) == STREAM_WINDOW * 3 // 2
    assert entry.stream.allow(0) is None
