"""What a server has to say to a proxy is said once, in order, and not at all when nobody needs it any more."""

from __future__ import annotations

from primectl.server.outgoing import CANCELS_KEPT, Outgoing
from primectl.wire import frames
from primectl.wire.job import Allow, Cancel, JobId, Jobs, JobsAgain, RequestId, WireJob, first_job, request_of


def a_job(serial: int, payload: bytes = b"") -> WireJob:
    return WireJob(first_job(1, serial), "server.1", 30.0, 0, True, payload)


def said(outgoing: Outgoing) -> list[object]:
    """All that is due now, without sending it."""
    work = [frames.to_proxy(frame) for frame, _ in (*outgoing.again(), *outgoing.jobs())]
    return [message for _, message in outgoing.urgent(0.0)] + work


def test_jobs_leave_in_order_as_far_as_they_are_taken():
    outgoing = Outgoing()
    jobs = [a_job(n, b"x" * 600_000) for n in range(5)]
    for job in jobs:
        outgoing.add(job)
    assert said(outgoing) == [Jobs(jobs[:2]), Jobs(jobs[2:4]), Jobs(jobs[4:])]
    outgoing.jobs_sent(2)
    assert said(outgoing) == [Jobs(jobs[2:4]), Jobs(jobs[4:])]
    outgoing.jobs_sent(3)
    assert outgoing.idle


def test_what_is_sent_again_goes_first_and_what_has_not_left_is_not_sent_again():
    outgoing = Outgoing()
    old, new = a_job(1), a_job(2)
    outgoing.add(new)
    outgoing.add_again([old, new])
    outgoing.add_again([old])
    assert said(outgoing) == [JobsAgain([old]), Jobs([new])]
    outgoing.again_sent(1)
    assert said(outgoing) == [Jobs([new])]


def test_what_was_lost_behind_another_pool_is_new_to_it_and_said_once():
    outgoing = Outgoing()
    waiting, again, lost = a_job(1), a_job(2), a_job(3)
    outgoing.add(waiting)
    outgoing.add_again([again])
    outgoing.add_anew([waiting, again, lost])
    assert said(outgoing) == [JobsAgain([again]), Jobs([waiting, lost])]


def test_a_cancel_waits_until_it_is_taken():
    outgoing = Outgoing()
    outgoing.cancel(RequestId(7), 30.0)
    for _ in range(2):
        ((_, message),) = outgoing.urgent(10.0)
        assert message == Cancel([RequestId(7)])
    outgoing.urgent_sent(message)
    assert outgoing.idle


def test_a_cancel_is_dropped_when_its_work_is_over_anyway():
    outgoing = Outgoing()
    outgoing.cancel(RequestId(7), 30.0)
    outgoing.cancel(RequestId(8), 40.0)
    assert [message for _, message in outgoing.urgent(30.0)] == [Cancel([RequestId(8)])]
    assert list(outgoing.urgent(40.0)) == []
    assert outgoing.idle


def test_cancels_for_a_proxy_that_never_listens_are_bounded_and_counted():
    outgoing = Outgoing()
    for number in range(CANCELS_KEPT + 5):
        outgoing.cancel(RequestId(number), 30.0)
    requests = [request for _, message in outgoing.urgent(0.0) for request in message.requests]  # type: ignore[union-attr]
    assert requests == list(range(5, CANCELS_KEPT + 5))
    assert outgoing.cancels_dropped == 5


def test_what_has_not_left_is_withdrawn_without_a_word():
    outgoing = Outgoing()
    first, second = a_job(1), a_job(2)
    outgoing.add(first)
    outgoing.add(second)
    wanted = frozenset({request_of(first.id), RequestId(99)})
    assert outgoing.withdraw(wanted) == {request_of(first.id)}
    assert said(outgoing) == [Jobs([second])]


def test_what_is_cancelled_is_not_sent_again():
    outgoing = Outgoing()
    job = a_job(1)
    outgoing.add_again([job])
    outgoing.cancel(request_of(job.id), 30.0)
    assert said(outgoing) == [Cancel([request_of(job.id)])]


def test_of_the_limits_of_a_streamed_answer_only_the_latest_is_said():
    outgoing = Outgoing()
    outgoing.allow(Allow(b"w", JobId(1), 100))
    ((_, early),) = outgoing.urgent(0.0)
    outgoing.allow(Allow(b"w", JobId(1), 200))
    outgoing.urgent_sent(early)
    assert said(outgoing) == [Allow(b"w", JobId(1), 200)]
    outgoing.forget_stream(JobId(1))
    assert outgoing.idle
