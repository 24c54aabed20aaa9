"""Drain and resume: what proxies are told, when an order is done, what is shown, and what outlives whom."""

import pytest
from msgspec import structs

from primectl.wire.control import (
    Drain,
    Drained,
    DrainOrder,
    Kill,
    ProcessReady,
    Readiness,
    Restart,
    Resume,
    Resumed,
    ResumeOrder,
    Roster,
    Scale,
    Stop,
)
from primectl.wire.stats import Acknowledged, ProxySample, WorkerLoad
from tests.support.world import a_config, a_running_world

PROXY = "proc.proxy.compute"


def sample(world, *, holding=(), drained=(), draining=False, queued=0):
    """What the proxy of `compute` says: jobs held by the workers that it has seated, in order."""
    loads = [
        WorkerLoad(worker, world.alive[worker].incarnation, held, draining=worker in drained)
        for worker, held in holding
    ]
    held = sum(held for _, held in holding)
    return ProxySample(queued, held, 0.0, 0, 0, 0, 0, 0.0, [], loads, draining=draining)


def pool(world, name="compute"):
    return next(pool for pool in world.cluster.snapshot().pools if pool.name == name)


def told(world):
    """The drains and resumes that the proxy of `compute` was sent, without their numbers."""
    return [
        (type(command), command.workers)
        for topic, command in world.sent(world.actions)
        if topic == PROXY and isinstance(command, Drain | Resume)
    ]


def outcome(world, asker):
    answer = world.answer(asker)
    return None if answer is None else (answer.status, structs.replace(answer.body, seconds=0.0, operation=0))


# --- an order and its end ---------------------------------------------------------------------------------------------


def test_a_worker_is_drained_once_its_proxy_has_acknowledged_and_then_says_that_it_holds_nothing():
    world = a_running_world()
    asker = world.ask(DrainOrder("compute.1"))
    assert told(world) == [(Drain, ["compute.1"])]
    world.report("proxy.compute", sample(world, holding=[("compute.1", 0)], drained=["compute.1"]))
    assert world.answer(asker) is None, "it was said before the proxy had heard of the drain"
    world.settle()
    world.report("proxy.compute", sample(world, holding=[("compute.1", 2)], drained=["compute.1"]))
    assert world.answer(asker) is None
    world.report("proxy.compute", sample(world, holding=[("compute.1", 0)], drained=["compute.1"]))
    assert outcome(world, asker) == (200, Drained("compute.1", ["compute.1"], 0.0))


def test_a_pool_is_drained_when_its_queue_and_its_workers_are_empty():
    world = a_running_world()
    asker = world.ask(DrainOrder("compute"))
    assert told(world) == [(Drain, [])]
    world.settle()
    holding = [("compute.1", 0), ("compute.2", 0)]
    world.report("proxy.compute", sample(world, holding=holding, queued=1, draining=True))
    assert world.answer(asker) is None
    world.report("proxy.compute", sample(world, holding=[("compute.1", 1)], draining=True))
    assert world.answer(asker) is None
    world.report("proxy.compute", sample(world, holding=holding, draining=True))
    assert outcome(world, asker) == (200, Drained("compute", ["compute.1", "compute.2"], 0.0))


def test_a_worker_that_no_proxy_has_seated_holds_nothing():
    world = a_running_world()
    asker = world.ask(DrainOrder("compute.2"))
    world.settle()
    world.report("proxy.compute", sample(world, holding=[("compute.1", 5)]))
    assert world.answer(asker).status == 200


def test_progress_says_what_is_left_and_who_has_not_confirmed():
    world = a_running_world()
    world.ask(DrainOrder("compute.1"))
    world.settle()
    for held in (3, 1):
        world.report("proxy.compute", sample(world, holding=[("compute.1", held)], drained=["compute.1"]))
    shown = [(a.body.text, a.body.done, a.body.total) for a in world.actions if getattr(a, "status", 0) == 102]
    assert shown == [
        ("draining compute.1: proxy.compute has not confirmed it", 0, 0),
        ("compute.1 finishes 3 jobs", 0, 3),
        ("compute.1 finishes 1 job", 2, 3),
    ]


def test_a_drain_that_is_not_done_in_time_says_how_far_it_is_and_stays():
    world = a_running_world()
    asker = world.ask(DrainOrder("compute.1", timeout_s=2.0))
    world.settle()
    world.report("proxy.compute", sample(world, holding=[("compute.1", 1)], drained=["compute.1"]))
    world.pass_time(2.0)
    answer = world.answer(asker)
    assert (answer.status, answer.body.what) == (504, "after 2 s compute.1 still has 1 job")
    assert answer.body.mend == "It takes no more and goes on finishing; `primectl resume compute.1` ends that"
    assert world.state("compute.1") == "draining"


def test_a_proxy_that_does_not_acknowledge_is_told_again_and_named_at_the_end():
    world = a_running_world()
    world.alive["proxy.compute"].deaf = True
    asker = world.ask(DrainOrder("compute.1", timeout_s=2.5))
    world.pass_time(2.5)
    assert told(world) == [(Drain, ["compute.1"])] * 3
    assert world.answer(asker).body.what == "after 2.5 s proxy.compute has not confirmed it"


def test_draining_what_is_drained_already_is_no_mistake():
    world = a_running_world()
    for _ in range(2):
        asker = world.ask(DrainOrder("compute.1"))
        world.settle()
        world.report("proxy.compute", sample(world, holding=[("compute.1", 0)], drained=["compute.1"]))
        assert world.answer(asker).status == 200


def test_resume_ends_it_when_the_proxy_has_acknowledged():
    world = a_running_world()
    world.ask(DrainOrder("compute.1"))
    world.settle()
    world.actions.clear()
    asker = world.ask(ResumeOrder("compute.1"))
    assert told(world) == [(Resume, ["compute.1"])]
    assert world.answer(asker) is None
    world.settle()
    assert (world.answer(asker).status, world.answer(asker).body) == (
        200,
        Resumed("compute.1", ["compute.1"], operation=2),
    )
    assert world.state("compute.1") == "running"


def test_resume_of_a_pool_resumes_its_workers_too():
    world = a_running_world()
    world.ask(DrainOrder("compute.1"))
    world.ask(DrainOrder("compute"))
    world.settle()
    world.actions.clear()
    assert world.do(ResumeOrder("compute")).body == Resumed("compute", ["compute.1", "compute.2"], operation=3)
    assert told(world) == [(Resume, ["compute.1"]), (Resume, [])]
    assert pool(world).state == "running"
    assert world.state("compute.1") == "running"


def test_a_worker_of_a_pool_that_drains_as_a_whole_is_not_resumed_alone():
    world = a_running_world()
    world.ask(DrainOrder("compute"))
    world.settle()
    answer = world.do(ResumeOrder("compute.1"))
    assert (answer.status, answer.body.what) == (409, "pool compute is draining as a whole")


def test_resume_overtakes_a_drain_that_is_under_way():
    world = a_running_world()
    asker = world.ask(DrainOrder("compute.1"))
    world.settle()
    world.do(ResumeOrder("compute.1"))
    assert (world.answer(asker).status, world.answer(asker).body.what) == (
        409,
        "compute.1 has been resumed meanwhile",
    )


def test_a_resume_that_nobody_acknowledges_says_so():
    world = a_running_world()
    world.do(DrainOrder("compute.1"))
    world.alive["proxy.compute"].deaf = True
    asker = world.ask(ResumeOrder("compute.1"))
    world.pass_time(5.0)
    assert world.answer(asker).status == 504


@pytest.mark.parametrize(
    ("target", "status", "what"),
    [
        ("compute.9", 404, 'no pool or worker is called "compute.9"'),
        ("compile", 404, 'no pool or worker is called "compile"'),
        ("proxy.compute", 400, "proxy.compute cannot be drained, its pool can"),
        ("server.1", 400, "server.1 cannot be drained: pools and workers can"),
        ("all", 400, "all cannot be drained: pools and workers can"),
        ("supervisor", 400, "supervisor cannot be drained: pools and workers can"),
        ("zygote.compute", 404, 'no pool or worker is called "zygote.compute"'),
    ],
)
@pytest.mark.parametrize("order", [DrainOrder, ResumeOrder])
def test_only_pools_and_workers_can_be_drained_and_resumed(order, target, status, what):
    world = a_running_world()
    answer = world.do(order(target))
    assert (answer.status, answer.body.what) == (status, what)
    assert told(world) == []


def test_who_drained_and_resumed_what_is_an_event():
    world = a_running_world()
    world.ask(DrainOrder("compute.1"))
    world.settle()
    world.report("proxy.compute", sample(world, holding=[("compute.1", 0)], drained=["compute.1"]))
    world.do(ResumeOrder("compute.1"))
    assert world.told("drain") == ["drain compute.1: no more jobs for it"]
    assert world.told("drained") == ["compute.1 holds nothing any more, 0.00 s"]
    assert world.told("resumed") == ["compute.1 takes jobs again"]
    assert {a.operator for a in world.actions if getattr(a, "kind", "") in ("drain", "drained", "resumed")} == {"alice"}


def test_a_stop_ends_the_wait_for_a_drain():
    world = a_running_world()
    asker = world.ask(DrainOrder("compute"))
    world.ask(Stop(5.0))
    world.settle()
    assert world.answer(asker).status == 409
    assert world.outcome is not None


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_a_drained_worker_is_shown_as_draining_and_counted_among_the_workers():
    world = a_running_world()
    world.do(DrainOrder("compute.1"))
    assert world.state("compute.1") == "draining"
    assert world.state("compute.2") == "running"
    shown = pool(world)
    assert (shown.state, shown.workers, shown.draining) == ("running", 2, 1)


def test_a_drained_pool_is_shown_as_draining_and_so_are_its_workers():
    world = a_running_world()
    world.do(DrainOrder("compute"))
    assert (pool(world).state, pool(world, "parse").state) == ("draining", "running")
    assert (world.state("compute.1"), world.state("parse.1")) == ("draining", "running")


def test_servers_are_not_ready_while_a_pool_drains_or_all_of_its_workers_do():
    world = a_running_world()

    def readiness():
        return world.sent(world.pass_time(1.0))[-1][1]

    world.do(DrainOrder("compute.1"))
    assert readiness() == Readiness(True)
    world.do(DrainOrder("compute.2"))
    assert readiness() == Readiness(False, "all workers of pool compute are draining")
    world.do(DrainOrder("compute"))
    assert readiness() == Readiness(False, "pool compute is draining")
    world.do(ResumeOrder("compute"))
    assert readiness() == Readiness(True)


# --- what outlives whom -----------------------------------------------------------------------------------------------


def test_a_new_proxy_is_told_whom_the_old_one_served_and_who_is_drained_before_anybody_hears_of_it():
    world = a_running_world(a_config(compute=3))
    world.do(DrainOrder("compute.1"))
    world.do(DrainOrder("compute.3"))
    world.do(DrainOrder("compute"))
    world.die("proxy.compute", -9)
    world.actions.clear()
    world.settle()
    sent = [(t, c) for t, c in world.sent(world.actions) if isinstance(c, Roster | Drain | ProcessReady)]
    served = [(worker, world.alive[worker].incarnation) for worker in ("compute.1", "compute.2", "compute.3")]
    assert [(topic, type(command)) for topic, command in sent] == [
        (PROXY, Roster),
        (PROXY, Drain),
        (PROXY, Drain),
        ("all", ProcessReady),
    ]
    assert sent[0][1].workers == served
    assert told(world) == [(Drain, []), (Drain, ["compute.1", "compute.3"])]


def test_the_first_life_of_a_proxy_gets_no_roster():
    world = a_running_world()
    fresh = a_running_world()
    assert not [command for _, command in fresh.sent(world.actions) if isinstance(command, Roster)]


def test_a_roster_names_those_that_are_ready_and_nobody_else():
    world = a_running_world(a_config(compute=2, spawn="exec"))
    world.ask(Scale("compute", "3"))
    world.alive["compute.3"].deaf = True
    world.die("proxy.compute", -9)
    world.settle()
    (roster,) = [command for topic, command in world.sent(world.actions) if isinstance(command, Roster)]
    assert [worker for worker, _ in roster.workers] == ["compute.1", "compute.2"]


def test_a_drain_that_was_asked_while_the_proxy_was_away_is_told_to_the_next():
    world = a_running_world()
    world.die("proxy.compute", -9)
    asker = world.ask(DrainOrder("compute.1"))
    assert told(world) == []
    world.settle()
    assert told(world) == [(Drain, ["compute.1"])]
    world.report("proxy.compute", sample(world, holding=[("compute.1", 0)], drained=["compute.1"]))
    assert world.answer(asker).status == 200


def test_an_acknowledgement_from_an_earlier_life_of_the_proxy_confirms_nothing():
    world = a_running_world()
    asker = world.ask(DrainOrder("compute.1"))
    late = world.pending.pop()
    assert isinstance(late.envelope.report, Acknowledged)
    world.die("proxy.compute", -9)
    world.tell(late)
    world.alive["proxy.compute"].deaf = False
    world.pending = [event for event in world.pending if event is not late]
    assert world.answer(asker) is None


@pytest.mark.parametrize("order", [Kill("compute.1"), Restart("compute.1")])
def test_a_worker_that_is_replaced_stays_drained_and_its_proxy_is_told_again(order):
    world = a_running_world()
    world.do(DrainOrder("compute.1"))
    world.actions.clear()
    assert world.do(order).status == 200
    world.settle()
    assert world.state("compute.1") == "draining"
    assert told(world) == [(Drain, ["compute.1"])]


def test_a_worker_that_is_scaled_away_takes_its_drain_along():
    world = a_running_world(a_config(compute=3))
    world.do(DrainOrder("compute.2"))
    world.actions.clear()
    assert world.do(Scale("compute", "2")).status == 200
    assert world.workers("compute") == ["compute.1", "compute.3"], "the drained one is given up first"
    assert told(world) == [(Resume, ["compute.2"])]
    world.do(Scale("compute", "3"))
    assert world.state("compute.2") == "running"


def test_a_drain_under_way_is_done_when_its_worker_is_scaled_away():
    world = a_running_world(a_config(compute=3))
    asker = world.ask(DrainOrder("compute.3"))
    world.do(Scale("compute", "2"))
    assert outcome(world, asker) == (200, Drained("compute.3", [], 0.0))


def test_a_pool_that_drains_can_be_scaled_and_its_new_workers_drain_too():
    world = a_running_world()
    world.do(DrainOrder("compute"))
    assert world.do(Scale("compute", "3")).status == 200
    assert world.state("compute.3") == "draining"
