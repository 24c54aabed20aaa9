"""A pool gets new code while it goes on serving; or it keeps the code it has."""

from __future__ import annotations

import signal

import pytest
from msgspec import structs

from primectl.config.model import SupervisorConfig
from primectl.wire.control import DrainOrder, Kill, ReloadOrder, Scale, Stop
from supervisor.events import Answer, Exited, HandlerFailed, Spawned
from tests.support.world import World, a_config, a_running_world


def a_world(
    compute: int = 2,
    *,
    spawn: str = "fork",
    surge: int = 1,
    pace: float = 0.0,
    supervisor: SupervisorConfig | None = None,
) -> World:
    """A running world whose code has just been changed."""
    config = a_config(compute=compute, spawn=spawn, supervisor=supervisor)
    settings = structs.replace(config.pools["compute"], reload_surge=surge, reload_pace=pace)
    world = a_running_world(structs.replace(config, pools={**config.pools, "compute": settings}))
    world.code = 2
    return world


def serving(world: World) -> int:
    """Workers of the pool that take jobs."""
    return sum(world.state(worker) == "running" for worker in world.workers("compute"))


def deliver_watching(world: World, target: int) -> int:
    """Deliver everything, event by event; the fewest workers that served meanwhile, and never fewer than `target`."""
    most = 0
    while world.pending:
        world.tell(world.pending.pop(0))
        assert serving(world) >= target
        most = max(most, len(world.workers("compute")))
    return most


# --- forth ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spawn", ["fork", "exec"])
def test_every_worker_is_replaced_under_its_id_and_capacity_never_falls_below_the_target(spawn):
    world = a_world(3, spawn=spawn)
    before = {name: life.incarnation for name, life in world.alive.items()}
    asker = world.ask(ReloadOrder("compute"))
    assert deliver_watching(world, 3) == 4
    answer = world.answer(asker)
    assert (answer.status, answer.body.processes) == (200, ["compute.1", "compute.2", "compute.3"])
    assert world.codes("compute") == {"compute.1": 2, "compute.2": 2, "compute.3": 2}
    assert all(world.alive[worker].incarnation > before[worker] for worker in world.workers("compute"))
    untouched = ("server.1", "proxy.compute", "proxy.parse", "parse.1")
    assert all(world.alive[process].incarnation == before[process] for process in untouched)
    assert world.told("reloaded") == [f"compute runs the new code: 3 workers, {answer.body.seconds:.2f} s"]


def test_it_has_steps_that_follow_each_other():
    """1. the new zygote imports. 2. an extra worker of it becomes READY. 3. only then an old one is asked to leave."""
    world = a_world(2)
    world.ask(ReloadOrder("compute"))
    assert world.zygotes("compute") == ["zygote.compute", "zygote.compute.next"]
    assert world.workers("compute") == ["compute.1", "compute.2"]
    while "compute.3" not in world.workers("compute"):
        world.tell(world.pending.pop(0))
    assert world.codes("compute") == {"compute.1": 1, "compute.2": 1, "compute.3": 2}
    while world.state("compute.1") == "running":
        assert world.state("compute.2") == "running"
        world.tell(world.pending.pop(0))
    assert world.state("compute.3") == "running"
    world.settle()
    assert world.zygotes("compute") == ["zygote.compute.next"]
    assert world.workers("compute") == ["compute.1", "compute.2"]


def test_its_progress_is_told_step_by_step():
    world = a_world(2)
    asker = world.ask(ReloadOrder("compute"))
    world.settle()
    answers = [action for action in world.actions if isinstance(action, Answer) and action.asker == asker]
    told = [answer.body.text for answer in answers if answer.status == 102]
    assert list(dict.fromkeys(told)) == [
        "compute: imports m:compute",
        "compute: 0 of 1 extra workers ready",
        "compute: 0 of 2 workers run the new code",
        "compute: 1 of 2 workers run the new code",
        "compute: waits for zygote.compute, compute.3 to leave",
        "compute: waits for compute.3 to leave",
    ]


def test_so_many_as_the_surge_says_are_replaced_at_once():
    world = a_world(6, surge=3)
    world.ask(ReloadOrder("compute"))
    assert deliver_watching(world, 6) == 9
    assert set(world.codes("compute").values()) == {2}


def test_a_small_pool_gets_no_more_extra_workers_than_it_has_workers():
    world = a_world(1, surge=4)
    world.ask(ReloadOrder("compute"))
    assert deliver_watching(world, 1) == 2


def test_between_two_steps_there_is_the_pause_that_the_config_asks_for():
    world = a_world(3, pace=5.0)
    asker = world.ask(ReloadOrder("compute"))
    world.settle()
    assert sorted(world.codes("compute").values()) == [1, 1, 2, 2], "one step, and the extra worker"
    world.pass_time(4.9)
    assert sorted(world.codes("compute").values()) == [1, 1, 2, 2]
    world.pass_time(0.2)
    assert sorted(world.codes("compute").values()) == [1, 2, 2, 2]
    world.pass_time(5.0)
    assert world.answer(asker).status == 200


def test_the_names_of_the_zygotes_take_turns():
    world = a_world(1)
    for expected in (["zygote.compute.next"], ["zygote.compute"], ["zygote.compute.next"]):
        assert world.do(ReloadOrder("compute")).status == 200
        assert world.zygotes("compute") == expected
        world.code += 1
    assert world.do(Scale("compute", "3")).status == 200
    assert world.codes("compute") == {"compute.1": 4, "compute.2": 4, "compute.3": 4}


def test_in_a_pool_without_workers_only_the_zygote_changes():
    world = a_world(0)
    answer = world.do(ReloadOrder("compute"))
    assert (answer.status, answer.body.processes) == (200, [])
    assert world.zygotes("compute") == ["zygote.compute.next"]
    world.do(Scale("compute", "1"))
    assert world.codes("compute") == {"compute.1": 2}


def test_a_pool_of_its_greatest_size_gets_its_extra_worker_all_the_same():
    world = a_world(64)
    assert world.do(ReloadOrder("compute")).status == 200
    assert set(world.codes("compute").values()) == {2}
    assert len(world.workers("compute")) == 64


def test_a_long_job_is_finished_by_the_old_worker_while_the_extra_one_serves_in_its_place():
    world = a_world(2)
    world.alive["compute.1"].deaf = True
    asker = world.ask(ReloadOrder("compute"))
    world.settle()
    assert world.answer(asker) is None
    assert world.codes("compute") == {"compute.1": 1, "compute.2": 1, "compute.3": 2}
    assert serving(world) == 2
    world.die("compute.1", 0)
    world.settle()
    assert world.answer(asker).status == 200
    assert world.codes("compute") == {"compute.1": 2, "compute.2": 2}


def test_a_reload_that_takes_too_long_is_answered_and_goes_on():
    world = a_world(2)
    world.alive["compute.1"].deaf = True
    asker = world.ask(ReloadOrder("compute", timeout_s=5.0))
    world.settle()
    world.pass_time(6.0)
    answer = world.answer(asker)
    assert (answer.status, answer.body.what) == (504, "not done in time: compute: 0 of 2 workers run the new code")
    world.die("compute.1", 0)
    world.settle()
    assert set(world.codes("compute").values()) == {2}
    assert len(world.told("reloaded")) == 1


def test_drained_workers_are_replaced_too_and_stay_drained():
    world = a_world(2)
    world.do(DrainOrder("compute.1"))
    assert world.do(ReloadOrder("compute")).status == 200
    assert world.codes("compute") == {"compute.1": 2, "compute.2": 2}
    assert world.state("compute.1") == "draining"


def test_workers_that_had_failed_try_the_new_code():
    world = a_world(2, supervisor=SupervisorConfig(crash_limit=1))
    world.die("compute.2", 1)
    assert world.state("compute.2") == "failed"
    assert world.do(ReloadOrder("compute")).status == 200
    assert world.codes("compute") == {"compute.1": 2, "compute.2": 2}


def test_all_pools_are_reloaded_side_by_side_and_answered_together():
    world = a_world(2)
    answer = world.do(ReloadOrder("all"))
    assert (answer.status, answer.body.target) == (200, "all")
    assert sorted(answer.body.processes) == ["compute.1", "compute.2", "parse.1"]
    assert {**world.codes("compute"), **world.codes("parse")} == {"compute.1": 2, "compute.2": 2, "parse.1": 2}


# --- what happens meanwhile -------------------------------------------------------------------------------------------


def test_a_scale_meanwhile_waits_for_nothing_and_the_extra_worker_becomes_one_of_the_pool():
    world = a_world(2)
    world.alive["compute.1"].deaf = True
    asker = world.ask(ReloadOrder("compute"))
    world.settle()
    extra = world.alive["compute.3"].incarnation
    scaled = world.ask(Scale("compute", "4"))
    world.settle()
    world.die("compute.1", 0)
    world.settle()
    assert world.answer(asker).status == world.answer(scaled).status == 200
    assert world.codes("compute") == {f"compute.{number}": 2 for number in (1, 2, 3, 4)}
    assert world.alive["compute.3"].incarnation == extra


@pytest.mark.parametrize("size", [0, 1])
def test_a_pool_may_shrink_meanwhile(size):
    world = a_world(3)
    asker = world.ask(ReloadOrder("compute"))
    for _ in range(6):
        world.tell(world.pending.pop(0))
    assert world.do(Scale("compute", str(size))).status == 200
    assert world.answer(asker).status == 200
    assert list(world.codes("compute").values()) == [2] * size


@pytest.mark.parametrize("status", [1, -signal.SIGSEGV, -signal.SIGKILL])
def test_the_end_of_an_old_worker_is_no_fault_of_the_new_code(status):
    world = a_world(3)
    world.alive["compute.1"].deaf = True
    asker = world.ask(ReloadOrder("compute"))
    world.settle()
    world.die("compute.2", status)
    world.settle()
    world.die("compute.1", 0)
    world.settle()
    assert world.answer(asker).status == 200
    assert set(world.codes("compute").values()) == {2}


def test_an_operators_kill_meanwhile_is_no_fault_of_the_new_code():
    world = a_world(3)
    asker = world.ask(ReloadOrder("compute"))
    for _ in range(8):
        world.tell(world.pending.pop(0))
    assert world.do(Kill("compute")).status == 200
    assert world.answer(asker).status == 200
    assert set(world.codes("compute").values()) == {2}


def test_sigkill_from_outside_to_a_new_worker_is_no_fault_of_the_new_code():
    world = a_world(2)
    world.alive["compute.1"].deaf = True
    asker = world.ask(ReloadOrder("compute"))
    world.settle()
    world.pass_time(1.0)
    world.die("compute.3", -signal.SIGKILL)
    world.settle()
    world.die("compute.1", 0)
    world.settle()
    assert world.answer(asker).status == 200


@pytest.mark.parametrize("zygote", ["zygote.compute", "zygote.compute.next"])
def test_the_death_of_either_zygote_from_outside_is_no_fault_of_the_new_code(zygote):
    world = a_world(2)
    world.alive["compute.1"].deaf = True
    asker = world.ask(ReloadOrder("compute"))
    world.settle()
    world.pass_time(1.0)
    world.die(zygote, -signal.SIGKILL)
    world.die("compute.1", 0)
    world.settle()
    assert world.answer(asker).status == 200
    assert set(world.codes("compute").values()) == {2}
    assert world.zygotes("compute") == ["zygote.compute.next"]


def test_what_the_new_zygote_was_asked_and_did_not_tell_is_asked_of_its_next_life_and_not_of_the_old_one():
    world = a_world(2)
    asker = world.ask(ReloadOrder("compute"))
    world.zygotes_hold_back = True
    world.settle()
    world.pass_time(1.0)
    world.zygotes_hold_back = False
    world.die("zygote.compute.next", -signal.SIGKILL)
    world.settle()
    assert world.answer(asker).status == 200
    assert set(world.codes("compute").values()) == {2}


@pytest.mark.parametrize("events", range(0, 24, 3))
def test_a_stop_at_any_moment_ends_it_and_leaves_nobody(events):
    world = a_world(2)
    asker = world.ask(ReloadOrder("compute"))
    for _ in range(min(events, len(world.pending))):
        world.tell(world.pending.pop(0))
    world.do(Stop(5.0))
    assert world.alive == {}
    assert world.answer(asker).status in (200, 409)


# --- back -------------------------------------------------------------------------------------------------------------


def test_code_that_cannot_be_imported_changes_nothing_and_the_operator_sees_the_error():
    world = a_world(2)
    before = {name: life.incarnation for name, life in world.alive.items()}
    world.faults[2] = "import"
    answer = world.do(ReloadOrder("compute"))
    assert answer.status == 500
    assert (
        answer.body.what == "reload of compute: the new code cannot be imported: NameError: code 2; the old code stays"
    )
    assert answer.body.lines == ["Traceback …", "NameError: code 2"]
    assert {name: life.incarnation for name, life in world.alive.items()} == before
    assert world.told("reload_failed") == [answer.body.what]
    assert world.told("crashed") == ["zygote.compute.next ended: NameError: code 2; the reload gives it up"]
    world.pass_time(60.0)
    assert {name: life.incarnation for name, life in world.alive.items()} == before, "the new zygote stays away"


@pytest.mark.parametrize("spawn", ["fork", "exec"])
@pytest.mark.parametrize(
    ("fault", "what", "lines"),
    [
        ("die", "compute.3 with the new code: exit status 1: ValueError: code 2", ["ValueError: code 2"]),
        ("mute", "compute.3 with the new code: not READY within 30 s", []),
    ],
)
def test_new_workers_that_do_not_come_up_change_nothing(spawn, fault, what, lines):
    world = a_world(2, spawn=spawn)
    before = {name: life.incarnation for name, life in world.alive.items()}
    world.faults[2] = fault
    asker = world.ask(ReloadOrder("compute"))
    world.settle()
    world.pass_time(31.0)
    answer = world.answer(asker)
    assert (answer.status, answer.body.what, answer.body.lines) == (
        500,
        f"reload of compute: {what}; the old code stays",
        lines,
    )
    world.pass_time(60.0)
    assert {name: life.incarnation for name, life in world.alive.items()} == before


def test_a_new_worker_that_crashes_meanwhile_takes_everything_back_and_capacity_stays():
    world = a_world(3)
    world.alive["compute.3"].deaf = True
    asker = world.ask(ReloadOrder("compute"))
    deliver_watching(world, 3)
    assert world.codes("compute") == {"compute.1": 2, "compute.2": 2, "compute.3": 1, "compute.4": 2}
    world.die("compute.2", 1, "ValueError: now and then")
    deliver_watching(world, 2)
    assert world.answer(asker) is None, "compute.3 was asked to leave and has not yet"
    world.die("compute.3", 0)
    deliver_watching(world, 2)
    answer = world.answer(asker)
    assert answer.status == 500
    what = "reload of compute: compute.2 with the new code: exit status 1: ValueError: now and then; the old code stays"
    assert answer.body.what == what
    assert world.codes("compute") == {"compute.1": 1, "compute.2": 1, "compute.3": 1}
    assert world.zygotes("compute") == ["zygote.compute"]


def test_workers_with_interpreters_of_their_own_cannot_go_back_and_that_is_said():
    world = a_world(3, spawn="exec")
    world.alive["compute.2"].deaf = True
    asker = world.ask(ReloadOrder("compute"))
    world.settle()
    assert world.codes("compute") == {"compute.1": 2, "compute.2": 1, "compute.3": 1, "compute.4": 2}
    world.die("compute.4", 1, "ValueError: now and then")
    world.settle()
    answer = world.answer(asker)
    assert answer.status == 500
    assert answer.body.what.endswith("compute.1 run the new code and cannot go back")
    world.die("compute.2", 0)
    world.settle()
    assert world.workers("compute") == ["compute.1", "compute.2", "compute.3"]
    assert world.codes("compute")["compute.1"] == 2


def test_after_a_reload_that_failed_the_next_one_finds_everything_as_it_was():
    world = a_world(2)
    world.faults[2] = "import"
    assert world.do(ReloadOrder("compute")).status == 500
    world.code = 3
    assert world.do(ReloadOrder("compute")).status == 200
    assert world.codes("compute") == {"compute.1": 3, "compute.2": 3}


def test_a_new_zygote_that_imports_and_never_forks_is_given_up():
    world = a_world(2)
    asker = world.ask(ReloadOrder("compute"))
    world.zygotes_hold_back = True
    world.settle()
    world.pass_time(31.0)
    world.zygotes_hold_back = False
    world.settle()
    answer = world.answer(asker)
    assert (answer.status, answer.body.what) == (
        500,
        "reload of compute: zygote.compute.next with the new code: not able to fork within 30 s; the old code stays",
    )
    assert world.codes("compute") == {"compute.1": 1, "compute.2": 1}
    assert world.zygotes("compute") == ["zygote.compute"]


def test_of_all_pools_those_that_can_be_are_reloaded_and_the_others_named():
    world = a_world(2)
    world.ask(ReloadOrder("all"))
    zygote = world.alive.pop("zygote.parse.next")
    world.pending = [e for e in world.pending if getattr(e, "process", "") != "zygote.parse.next"]
    world.tell(Spawned(zygote.process, zygote.incarnation, zygote.pid))
    world.tell(HandlerFailed(zygote.process, zygote.incarnation, "NameError: parse"))
    world.tell(Exited(zygote.process, zygote.incarnation, 1))
    world.settle()
    answer = next(a for a in world.actions if getattr(a, "status", 102) != 102)
    assert answer.status == 500
    assert answer.body.what == (
        "reload of parse: the new code cannot be imported: NameError: parse; the old code stays. Reloaded are compute"
    )
    assert {**world.codes("compute"), **world.codes("parse")} == {"compute.1": 2, "compute.2": 2, "parse.1": 1}


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "status", "what"),
    [
        ("compile", 404, 'there is no pool "compile"'),
        ("compute.1", 400, "compute.1 cannot be reloaded by itself, its pool can"),
        ("server.1", 400, "server.1 runs no handler: pools are reloaded"),
        ("zygote.compute", 404, 'there is no pool "zygote.compute"'),
    ],
)
def test_what_cannot_be_reloaded_is_refused_in_words(target, status, what):
    answer = a_world().do(ReloadOrder(target))
    assert (answer.status, answer.body.what) == (status, what)
