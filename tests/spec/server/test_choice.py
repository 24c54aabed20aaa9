"""Which requests are recorded where only a share of them is."""

from __future__ import annotations

import pytest

from primectl.server.choice import Choice, troubled
from primectl.wire.job import RequestId, first_job, request_of
from primectl.wire.journal import BROKEN, DEAD, LEFT, STREAMED, TIMED_OUT

NONE = Choice(sample=0.0, slow_s=1.0)
REQUESTS = [request_of(first_job(0xABCD, serial)) for serial in range(20_000)]


@pytest.mark.parametrize(
    ("status", "flags"), [(0, 0), (500, 0), (503, 0), (200, DEAD), (200, LEFT), (504, TIMED_OUT), (200, BROKEN)]
)
def test_what_went_wrong_is_always_recorded(status: int, flags: int):
    assert troubled(status, flags)
    assert NONE.takes(RequestId(1), status, flags, 0.0)


@pytest.mark.parametrize(("status", "flags"), [(200, 0), (404, 0), (302, 0), (200, STREAMED)])
def test_what_went_well_or_was_the_clients_fault_is_not_trouble(status: int, flags: int):
    assert not troubled(status, flags)
    assert not NONE.takes(RequestId(1), status, flags, 0.999)
    assert NONE.takes(RequestId(1), status, flags, 1.0), "it was slow"


@pytest.mark.parametrize("sample", [0.0, 0.01, 0.5, 0.9, 1.0])
def test_of_requests_in_a_row_about_the_share_is_recorded_that_was_asked_for(sample: float):
    choice = Choice(sample=sample)
    taken = sum(choice.takes(request, 200, 0, 0.0) for request in REQUESTS)
    assert abs(taken / len(REQUESTS) - sample) < 0.005


def test_a_request_that_is_taken_is_taken_with_every_larger_share_too():
    taken = [request for request in REQUESTS if Choice(sample=0.1).takes(request, 200, 0, 0.0)]
    assert taken
    assert all(Choice(sample=0.3).takes(request, 200, 0, 0.0) for request in taken)
