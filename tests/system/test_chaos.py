"""Chaos for a few seconds; `make chaos` does it for longer."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from tests.support.chaos import Report, half_of_each, run, strikes
from tests.support.load import Result

SECONDS = 6.0


def test_killing_and_stopping_processes_at_random_costs_no_request_and_runs_no_post_twice():
    report = run(SECONDS, seed=7)
    assert report.faults == []
    assert report.load.requests > 500
    assert sum(report.kills.values()) + report.stops >= 5


def test_half_of_the_workers_serve_everything_when_the_supervisor_and_the_other_half_are_killed():
    report = run(SECONDS, seed=7, supervisor_killed=True)
    assert report.faults == []
    assert report.load.requests > 500
    assert report.kills == {"supervisor": 1, "worker": 4}


def test_supervisors_that_die_one_after_the_other_cost_no_request_and_restart_nothing():
    report = run(3 * SECONDS, seed=7, supervisors_killed=True)
    assert report.faults == []
    assert report.load.requests > 500
    assert report.kills["supervisor"] == len(report.adopted) >= 2


def test_a_seed_strikes_the_same_again():
    first, again, other = (list(itertools.islice(strikes(seed), 200)) for seed in (1, 1, 2))
    assert first == again != other
    assert {strike.stop_s is None for strike in first} == {True, False}


def test_half_of_each_pool_is_chosen_and_one_worker_is_always_left():
    pools = {"a": ["a.1"], "b": ["b.1", "b.2", "b.3"], "c": ["c.1", "c.2", "c.3", "c.4"]}
    chosen = half_of_each(pools, seed=3)
    assert Counter(name[0] for name in chosen) == {"b": 1, "c": 2}
    assert len(set(chosen)) == 3


@pytest.mark.parametrize(
    ("load", "posts", "twice", "fault"),
    [
        (Result(requests=9, failed=1), Result(requests=9), [], "GET: 1 failed"),
        (Result(requests=9, wrong=2), Result(requests=9), [], "GET: 2 wrong"),
        (Result(requests=9), Result(requests=9, refused=1), [], "POST: 1 refused"),
        (Result(requests=9), Result(requests=9), ["17"], "run more than once: POST 17"),
        (Result(), Result(requests=9), [], "GET: nothing was answered"),
    ],
)
def test_chaos_reports_what_went_wrong(load: Result, posts: Result, twice: list[str], fault: str):
    report = Report(1, False, {"worker": 1}, load=load, posts=posts, twice=twice)
    report.judge()
    assert report.faults == [fault]


def test_chaos_without_a_kill_has_shown_nothing():
    report = Report(1, False, load=Result(requests=9), posts=Result(requests=9))
    report.judge()
    assert report.faults == ["nothing was killed"]
