"""Wanted and observed to steps; what a name means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from primectl.wire.control import Refusal
from supervisor import plan
from supervisor.events import Kind
from supervisor.lifecycle import ProcessState as S
from supervisor.plan import Forget, Promote, Retire, Seen, Start, Wanted, extra_numbers, reconcile, worker_numbers


def worker(number, state=S.RUNNING, *, busy=False, leaving=False, retry_at=None):
    return Seen(f"compute.{number}", Kind.WORKER, "compute", number, state, busy, leaving, retry_at)


def wanted(workers):
    return Wanted(targets={"compute": workers})


def test_an_empty_place_gets_servers_then_proxies_then_zygotes_then_workers():
    whole = Wanted(2, ("compute",), {"zygote.compute": "compute"}, {"compute": 1})
    assert [step.id for step in reconcile(whole, [], 0.0)] == [
        "server.1",
        "server.2",
        "proxy.compute",
        "zygote.compute",
        "compute.1",
    ]


def test_a_cluster_as_it_should_be_needs_no_step():
    assert reconcile(wanted(2), [worker(1), worker(2, S.STARTING)], 0.0) == []


def test_a_grown_pool_adds_the_lowest_free_numbers():
    assert reconcile(wanted(4), [worker(2), worker(5)], 0.0) == [
        Start("compute.1", Kind.WORKER, "compute", 1),
        Start("compute.3", Kind.WORKER, "compute", 3),
    ]


def test_a_number_is_not_given_again_before_its_worker_has_left():
    leaving = worker(1, S.DRAINING, leaving=True)
    assert worker_numbers(1, [leaving]) == [2]
    assert reconcile(wanted(0), [leaving], 0.0) == []


def test_a_shrunk_pool_retires_idle_workers_first_and_then_the_highest_numbers():
    workers = [worker(1), worker(2), worker(3, busy=True), worker(4, busy=True)]
    assert reconcile(wanted(3), workers, 0.0) == [Retire("compute.2")]
    assert reconcile(wanted(1), workers, 0.0) == [Retire("compute.1"), Retire("compute.2"), Retire("compute.4")]


def test_a_shrunk_pool_gives_up_what_does_not_run_before_what_does():
    workers = [worker(1, S.FAILED), worker(2, S.STARTING), worker(3)]
    assert reconcile(wanted(1), workers, 0.0) == [Forget("compute.1"), Retire("compute.2")]


def test_what_was_asked_to_end_and_is_wanted_starts_at_once():
    assert reconcile(wanted(1), [worker(1, S.EXITED)], 0.0) == [Start("compute.1", Kind.WORKER, "compute", 1)]


def test_backoff_is_waited_out():
    waiting = worker(1, S.BACKOFF, retry_at=5.0)
    assert reconcile(wanted(1), [waiting], 4.9) == []
    assert reconcile(wanted(1), [waiting], 5.0) == [Start("compute.1", Kind.WORKER, "compute", 1)]


def test_what_failed_waits_for_an_operator():
    assert reconcile(wanted(1), [worker(1, S.FAILED)], 1e9) == []


@pytest.mark.parametrize("state", [S.EXITED, S.BACKOFF, S.FAILED])
def test_what_is_gone_and_not_wanted_is_forgotten(state):
    assert reconcile(wanted(0), [worker(1, state, retry_at=9.0)], 0.0) == [Forget("compute.1")]


SEEN = st.builds(
    worker,
    number=st.integers(1, 12),
    state=st.sampled_from([S.RUNNING, S.STARTING, S.BACKOFF, S.FAILED, S.EXITED, S.STOPPING]),
    busy=st.booleans(),
    leaving=st.booleans(),
)


@given(target=st.integers(0, 12), workers=st.lists(SEEN, unique_by=lambda seen: seen.id))
def test_a_pool_always_gets_as_many_numbers_as_it_should_have_each_once(target, workers):
    numbers = worker_numbers(target, workers)
    assert len(numbers) == len(set(numbers)) == target
    assert not {seen.number for seen in workers if seen.leaving} & set(numbers)


def surging(workers, surge):
    return Wanted(targets={"compute": workers}, surge={"compute": surge})


def an_extra(number, state=S.RUNNING, **more):
    return structs.replace(worker(number, state, **more), extra=True)


def test_extra_workers_have_numbers_beyond_the_size_of_their_pool():
    started = [Start("compute.4", Kind.WORKER, "compute", 4, True), Start("compute.5", Kind.WORKER, "compute", 5, True)]
    assert reconcile(surging(2, 2), [worker(1), worker(2), worker(3, S.DRAINING, leaving=True)], 0.0) == started
    assert reconcile(surging(2, 2), [worker(1), worker(2), an_extra(4), an_extra(5, S.EXITED)], 0.0) == started[1:]


def test_extra_workers_that_are_no_longer_wanted_leave_and_nobody_else():
    seen = [worker(1, busy=True), worker(2), an_extra(3, busy=True), an_extra(4)]
    assert reconcile(surging(2, 1), seen, 0.0) == [Retire("compute.4")]
    assert reconcile(wanted(2), seen, 0.0) == [Retire("compute.3"), Retire("compute.4")]


def test_a_pool_that_grows_takes_its_extra_workers_over_before_it_starts_others():
    assert reconcile(surging(4, 1), [worker(1), worker(2), an_extra(3)], 0.0) == [
        Promote("compute.3"),
        Start("compute.4", Kind.WORKER, "compute", 4),
        Start("compute.5", Kind.WORKER, "compute", 5, True),
    ]


EXTRAS = st.builds(lambda seen, extra: structs.replace(seen, extra=extra), SEEN, st.booleans())


@given(target=st.integers(0, 12), surge=st.integers(0, 4), workers=st.lists(EXTRAS, unique_by=lambda seen: seen.id))
def test_extra_workers_never_take_the_number_of_another(target, surge, workers):
    own, extra = worker_numbers(target, workers), extra_numbers(surge, target, workers)
    assert (len(own), len(set(extra))) == (target, surge)
    assert not set(own) & set(extra)
    assert not {seen.number for seen in workers if seen.leaving or not seen.extra} & set(extra)


@pytest.mark.parametrize(
    ("given_size", "result"), [("8", 8), ("+2", 6), ("-1", 3), ("-4", 0), ("0", 0), ("+0", 4), ("64", 64), ("007", 7)]
)
def test_a_size_is_a_number_or_a_change(given_size, result):
    assert plan.size(given_size, before=4, most=64, pool="compute") == result


@pytest.mark.parametrize(
    "given_size", ["", "+", "-", "-5", "65", "+61", "eight", "1.5", "1e3", "²", "٣", "--1", "+-1", " 8", "9" * 5000]
)
def test_any_other_size_is_refused_with_what_is_possible(given_size):
    refused = plan.size(given_size, before=4, most=64, pool="compute")
    assert isinstance(refused, Refusal)
    assert "0 to 64" in refused.mend
    assert len(refused.what) < 200


PROCESSES = [
    Seen("server.1", Kind.SERVER, "", 1, S.RUNNING),
    Seen("proxy.compute", Kind.PROXY, "compute", 0, S.RUNNING),
    Seen("zygote.compute", Kind.ZYGOTE, "compute", 0, S.RUNNING),
    worker(1),
    worker(10),
]


@pytest.mark.parametrize(
    ("target", "topics", "processes"),
    [
        ("all", ("role.worker",), ("compute.1", "compute.10")),
        ("compute", ("proc.compute.1", "proc.compute.10"), ("compute.1", "compute.10")),
        ("compute.1", ("proc.compute.1",), ("compute.1",)),
        ("proxy.compute", ("proc.proxy.compute",), ("proxy.compute",)),
        ("role.proxy", ("role.proxy",), ("proxy.compute",)),
        ("role.server", ("role.server",), ("server.1",)),
    ],
)
def test_a_target_names_processes_and_the_topics_that_reach_just_those(target, topics, processes):
    assert plan.resolve(target, ["compute"], PROCESSES) == plan.Target(topics, processes)


@pytest.mark.parametrize(
    ("target", "mend"),
    [("comput", 'Did you mean "compute"?'), ("compute.2", 'Did you mean "compute.1"?'), ("zzz", "Known are: compute")],
)
def test_an_unknown_target_is_refused_with_the_nearest_name(target, mend):
    refused = plan.resolve(target, ["compute"], PROCESSES)
    assert isinstance(refused, Refusal)
    assert refused.mend.startswith(mend)


def test_a_refusal_does_not_carry_control_characters_on():
    refused = plan.resolve("\x1b[2J" + "x" * 500, ["compute"], PROCESSES)
    assert refused.what.isprintable()
    assert len(refused.what) < 200
