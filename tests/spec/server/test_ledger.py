"""Every open request has exactly one end."""

from __future__ import annotations

from primectl.server.ledger import Ledger
from primectl.wire.job import JobId, WireJob, first_job, request_of


def a_ledger(limit: int = 3) -> Ledger[str]:
    return Ledger("server.1", 5, limit=limit, timeout_s=30.0)


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


def test_only_what_may_run_twice_is_sent_again():
    ledger = a_ledger()
    admit(ledger, "get")
    admit(ledger, "post", retryable=False)
    assert [entry.slot for entry in ledger.retryable()] == ["get"]


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
