"""Orders: each has a number; in a pool one rolls after the other; who asks the same is told the same."""

import pytest

from primectl.wire.control import DrainOrder, Kill, Restart, ResumeOrder, Scale, Stop
from supervisor.cluster import Cluster
from supervisor.desk import WAITERS_AT_ONCE
from supervisor.events import Asked, Tell
from tests.support.world import World, a_config, a_running_world


def under_way(world):
    return [(o.number, o.kind, o.target, o.state) for o in world.cluster.snapshot().operations]


def finish(world, asker):
    world.settle()
    answer = world.answer(asker)
    assert answer is not None
    return answer.status


def held_up(world, order, operator="alice"):
    """An order whose workers leave and do not come back until the zygote obeys again."""
    world.zygotes_hold_back = True
    asker = world.ask(order, operator)
    world.settle()
    assert world.answer(asker) is None
    return asker


def let_go(world):
    world.zygotes_hold_back = False
    for zygote in [life for life in world.alive.values() if life.process.startswith("zygote")]:
        world.die(zygote.process, -9)
    world.settle()


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_every_order_has_a_number_that_its_progress_its_result_and_its_events_bear():
    world = a_running_world()
    first = world.ask(Scale("compute", "8"))
    assert under_way(world) == [(1, "scale", "compute", "running")]
    world.settle()
    second = world.do(Kill("parse.1"))
    assert (world.answer(first).body.operation, second.body.operation) == (1, 2)
    assert {progress.operation for progress in world.progress(first)} == {1}
    told = [(a.kind, a.operation) for a in world.actions if isinstance(a, Tell) and a.operation]
    assert told == [("scale", 1), ("scaled", 1), ("kill", 2), ("killed", 2)]
    assert under_way(world) == []


def test_numbers_go_on_where_the_last_supervisor_left_off():
    world = World()
    world.cluster = Cluster(
        world.config,
        config_path="",
        dead_letters_file="",
        incarnation=1000,
        pid=1,
        jitter=lambda: 0.0,
        first_operation=41,
    )
    world.start()
    assert world.do(Scale("compute", "3")).body.operation == 41


def test_an_order_that_is_refused_at_once_has_no_number():
    world = a_running_world()
    assert world.do(Scale("compute", "99")).body.operation == 0
    assert world.do(Scale("compute", "3")).body.operation == 1


def test_what_is_under_way_says_who_wants_what_and_how_far_it_is():
    world = a_running_world()
    world.zygotes_hold_back = True
    world.ask(Scale("compute", "64"), "ana")
    world.now += 2.0
    world.cluster.handle_all((), world.now)
    [shown] = world.cluster.snapshot().operations
    assert (shown.operator, shown.wish, shown.text, shown.done, shown.total, shown.since_s) == (
        "ana",
        "64",
        "compute: 2 of 64 workers ready",
        2,
        64,
        2.0,
    )


# --- two operators ----------------------------------------------------------------------------------------------------


def test_of_two_different_sizes_the_newer_wins_and_the_older_is_told_by_whom():
    world = a_running_world()
    older = world.ask(Scale("compute", "8"), "ana")
    newer = world.ask(Scale("compute", "4"), "ben")
    assert world.answer(older).status == 409
    assert world.answer(older).body.what == "a newer scale of compute to 4 by ben took the place of this one"
    assert "operation 2" in world.answer(older).body.mend
    assert finish(world, newer) == 200
    assert len(world.workers("compute")) == 4


def test_two_who_want_the_same_size_both_hear_how_it_ends():
    world = a_running_world()
    one = world.ask(Scale("compute", "8"), "ana")
    other = world.ask(Scale("compute", "8"), "ben")
    assert under_way(world) == [(1, "scale", "compute", "running")]
    assert world.progress(other)[-1].operation == 1
    assert finish(world, one) == finish(world, other) == 200
    assert world.answer(one).body == world.answer(other).body
    assert world.told("joined") == ["scale compute is asked once more: the same as 1 scale compute -> 8"]


def test_who_joins_with_less_patience_is_told_so_alone():
    world = a_running_world()
    patient = held_up(world, Scale("compute", "8", timeout_s=60.0))
    hasty = world.ask(Scale("compute", "8", timeout_s=1.0))
    world.pass_time(1.5)
    assert world.answer(hasty).status == 504
    assert world.answer(hasty).body.what == "not done in time: compute: 2 of 8 workers ready"
    assert world.answer(hasty).body.operation == 1
    assert world.answer(patient) is None
    let_go(world)
    assert world.answer(patient).status == 200


def test_who_joins_with_more_patience_gets_it():
    world = a_running_world()
    hasty = held_up(world, Scale("compute", "8", timeout_s=1.0))
    patient = world.ask(Scale("compute", "8", timeout_s=10.0))
    world.pass_time(2.0)
    assert (world.answer(hasty).status, world.answer(patient)) == (504, None)
    let_go(world)
    assert world.answer(patient).status == 200


# --- in a pool, one after the other -----------------------------------------------------------------------------------


def test_a_restart_waits_for_the_one_under_way_in_its_pool_and_then_takes_place():
    world = a_running_world()
    first = held_up(world, Restart("compute.1"))
    second = world.ask(Restart("compute.2"))
    assert [progress.text for progress in world.progress(second)] == ["queued behind restart 1 of compute.1"]
    assert under_way(world) == [(1, "restart", "compute.1", "running"), (2, "restart", "compute.2", "queued")]
    let_go(world)
    assert world.answer(first).status == world.answer(second).status == 200
    assert world.answer(second).body.processes == ["compute.2"]


def test_the_same_asked_again_while_it_waits_is_done_once():
    world = a_running_world()
    held_up(world, Restart("compute"))
    second, third = world.ask(Restart("compute")), world.ask(Restart("compute", timeout_s=30.0))
    assert [number for number, *_ in under_way(world)] == [1, 2]
    let_go(world)
    assert world.answer(second).body == world.answer(third).body
    assert world.answer(third).body.operation == 2


def test_a_restart_in_one_pool_delays_nothing_in_another():
    world = a_running_world()
    held_up(world, Restart("compute"))
    world.zygotes_hold_back = False
    assert world.do(Restart("parse")).status == 200
    assert world.do(Scale("parse", "3")).status == 200
    assert world.do(Restart("role.server")).status == 200


def test_a_free_pool_is_not_kept_waiting_by_an_order_that_waits_for_another():
    world = a_running_world()
    held_up(world, Restart("compute"))
    everybody = world.ask(Restart("all"))
    world.zygotes_hold_back = False
    assert world.do(Restart("parse")).status == 200
    assert world.answer(everybody) is None
    let_go(world)
    assert sorted(world.answer(everybody).body.processes) == ["compute.1", "compute.2", "parse.1"]


def test_scale_kill_drain_and_resume_never_wait():
    world = a_running_world()
    restart = held_up(world, Restart("compute"))
    for order in (Kill("compute.2"), DrainOrder("compute.2"), ResumeOrder("compute.2"), Scale("compute", "5")):
        world.ask(order)
    assert {state for *_, state in under_way(world)} == {"running"}
    let_go(world)
    assert world.answer(restart).status == 200
    assert len(world.workers("compute")) == 5


def test_who_is_killed_while_a_restart_replaces_it_counts_as_replaced():
    world = a_running_world()
    before = world.alive["compute.1"].incarnation
    world.alive["compute.1"].deaf = True
    restart = world.ask(Restart("compute"))
    world.settle()
    killed = world.do(Kill("compute.1", grace_s=0.0))
    world.pass_time(0.0)
    world.settle()
    assert killed is None or killed.status == 200
    assert world.alive["compute.1"].incarnation > before
    assert world.answer(restart).status == 200


def test_one_that_has_waited_too_long_is_withdrawn_and_says_what_for():
    world = a_running_world()
    before = world.alive["compute.2"].incarnation
    held_up(world, Restart("compute.1"))
    second = world.ask(Restart("compute.2", timeout_s=1.0))
    world.pass_time(1.5)
    answer = world.answer(second)
    assert answer.status == 504
    assert answer.body.what == "restart compute.2 has not begun in time: queued behind restart 1 of compute.1"
    let_go(world)
    assert world.alive["compute.2"].incarnation == before


def test_one_whose_target_has_gone_meanwhile_is_refused_when_its_turn_comes():
    world = a_running_world(a_config(compute=3))
    held_up(world, Restart("compute.1"))
    second = world.ask(Restart("compute.3"))
    world.ask(DrainOrder("compute.3"))  # so that it is the one that the pool gives up
    world.ask(Scale("compute", "2"))
    world.settle()
    let_go(world)
    assert world.workers("compute") == ["compute.1", "compute.2"]
    assert world.answer(second).status == 404


def test_the_time_in_line_counts():
    world = a_running_world()
    held_up(world, Restart("compute.1", timeout_s=5.0))
    second = world.ask(Restart("compute.2", timeout_s=8.0))
    world.pass_time(6.0)
    assert under_way(world) == [(2, "restart", "compute.2", "running")]
    world.pass_time(3.0)
    assert world.answer(second).status == 504


# --- bounds and ends --------------------------------------------------------------------------------------------------


def test_more_than_so_many_at_once_are_refused():
    world = a_running_world()
    held_up(world, Restart("compute"))
    for _ in range(WAITERS_AT_ONCE - 1):
        world.ask(Restart("compute"))
    refused = world.do(Scale("parse", "2"))
    assert (refused.status, refused.body.what) == (409, f"{WAITERS_AT_ONCE} orders are under way already")


@pytest.mark.parametrize("timeout_s", [0.0, 5.0])
def test_a_stop_ends_what_is_under_way_and_what_waits(timeout_s):
    world = a_running_world()
    running = held_up(world, Restart("compute"))
    waiting, scaling = world.ask(Restart("compute.1")), world.ask(Scale("parse", "3"))
    stop = world.ask(Stop(timeout_s))
    for asker in (running, waiting, scaling):
        assert world.answer(asker).status == 409
        assert world.answer(asker).body.what == "cluster test is stopping"
    world.settle()
    world.pass_time(10.0)
    assert world.answer(stop).body.operation == 4


def test_an_order_for_which_nobody_waits_is_carried_out_and_told():
    world = a_running_world()
    held_up(world, Restart("compute"))
    world.tell(Asked(Restart("compute.2"), "SIGHUP"))
    world.pass_time(90.0)
    let_go(world)
    world.pass_time(5.0)
    [told] = [a for a in world.actions if isinstance(a, Tell) and a.kind == "restarted" and a.operation == 2]
    assert (told.operator, told.subject) == ("SIGHUP", "compute.2")


def test_a_drain_that_takes_long_delays_nobody():
    world = a_running_world(a_config(compute=2))
    world.ask(DrainOrder("compute", timeout_s=30.0))
    world.settle()
    assert world.do(Scale("compute", "4")).status == 200
    assert world.do(Restart("parse")).status == 200
    assert under_way(world) == [(1, "drain", "compute", "running")]
