"""A supervisor dies; the next one goes on with what runs. What is told to whom, what is started, what is left alone."""

import signal

import pytest

from primectl.config.model import SupervisorConfig
from primectl.wire.control import (
    Drain,
    DrainOrder,
    Hello,
    Lend,
    ProcessGone,
    ProcessReady,
    Readiness,
    Restart,
    Resume,
    Roster,
    Scale,
)
from primectl.wire.stats import ClusterState, ServerSample
from supervisor.adoption import GUESS_S, LEND_TIMES, SETTLE_S
from supervisor.events import Broadcast, CameUp, Exec, Exited, Fork, Kind, Signal, SignalStray, Subscribed
from supervisor.lifecycle import ProcessState as S
from supervisor.memory import Memory, PoolMemory, Sized
from tests.support.world import World, a_config, a_running_world

READY = ("role.server", Readiness(True))


def taken_over(config=None, *, dead=(), silent=()):
    """A world whose supervisor has died, and the `dead` after it; the next one has begun, and nobody has answered."""
    world = a_running_world(config)
    world.supervisor_dies()
    for process in dead:
        world._end(world.alive[process], -signal.SIGKILL)
    for process in silent:
        world.alive[process].deaf = True
    world.actions.clear()
    world.take_over()
    return world


def shown(world, process):
    return next(found for found in world.cluster.snapshot().processes if found.id == process)


def came_up(world):
    return [action for action in world.actions if isinstance(action, CameUp)]


def started(world):
    forked = [w.process for action in world.actions if isinstance(action, Fork) for w in action.workers]
    return forked + [action.process for action in world.actions if isinstance(action, Exec)]


def heard(world, process, *kinds):
    return [command for command in world.alive[process].heard if isinstance(command, kinds)]


# --- those that live --------------------------------------------------------------------------------------------------


def test_whatever_runs_goes_on_as_it_is_and_only_zygotes_are_started():
    world = a_running_world()
    before = {life.process: (life.pid, life.incarnation) for life in world.alive.values() if life.kind != Kind.ZYGOTE}
    world.supervisor_dies()
    world.actions.clear()
    world.take_over()
    world.settle()
    assert started(world) == ["zygote.parse", "zygote.compute"]
    after = {life.process: (life.pid, life.incarnation) for life in world.alive.values() if life.kind != Kind.ZYGOTE}
    assert after == before
    assert {name: shown(world, name).pid for name in before} == {name: pid for name, (pid, _) in before.items()}
    assert {shown(world, name).state for name in before} == {"running"}
    assert came_up(world) == [CameUp(adopted=6)]
    assert not [action for action in world.actions if isinstance(action, SignalStray)]


def test_the_cluster_is_running_from_the_beginning_and_its_age_and_theirs_go_on():
    world = taken_over()
    snapshot = world.cluster.snapshot()
    assert snapshot.state is ClusterState.RUNNING
    assert snapshot.uptime_s == 60.0
    assert shown(world, "compute.1").uptime_s == 50.0
    assert shown(world, "supervisor").uptime_s == 0.0
    assert shown(world, "compute.1").state == "starting"
    assert snapshot.progress.startswith("0 of 6 processes ready, waiting for ")


def test_restarts_are_counted_on():
    world = a_running_world()
    world.die("compute.1")
    world.settle()
    world.supervisor_dies()
    world.take_over()
    world.settle()
    assert shown(world, "compute.1").restarts == 1
    world.supervisor_dies()
    world._end(world.alive["compute.1"], 0)
    world.take_over()
    world.settle()
    assert shown(world, "compute.1").restarts == 2


def test_it_does_not_wait_for_zygotes():
    world = World()
    world.start()
    world.supervisor_dies()
    world.imports = False
    world.actions.clear()
    world.take_over()
    world.settle()
    assert came_up(world) == [CameUp(adopted=6)]


def test_an_adopted_proxy_is_no_new_proxy():
    world = taken_over()
    world.settle()
    told = [action.command for action in world.actions if isinstance(action, Broadcast)]
    assert not [command for command in told if isinstance(command, Roster | ProcessReady | ProcessGone)]


def test_who_was_ready_and_says_nothing_is_taken_for_running_after_a_moment_and_greeted_on():
    world = taken_over(silent=["compute.1"], dead=["parse.1"])
    world.settle()
    world.pass_time(SETTLE_S - 0.1)
    assert shown(world, "compute.1").state == "starting"
    assert came_up(world) == []
    world.pass_time(0.2)
    assert shown(world, "compute.1").state == "running"
    assert came_up(world) == [CameUp(adopted=5, started=1)]
    assert not [action for action in world.actions if isinstance(action, Signal) and action.process == "compute.1"]
    assert ("proc.compute.1", Hello()) in world.sent(world.pass_time(1.1))


def test_who_was_not_ready_yet_has_the_time_that_a_start_has():
    world = World(a_config(spawn="exec"))
    world.start()
    world.ask(Scale("compute", "3"))
    world.alive["compute.3"].deaf = True
    world.settle()
    world.supervisor_dies()
    world.actions.clear()
    world.take_over()
    world.pass_time(29.0)
    assert (shown(world, "compute.3").state, came_up(world)) == ("starting", [])
    world.alive["compute.3"].deaf = False
    world.actions.clear()
    assert ("proc.compute.3", Hello()) in world.sent(world.pass_time(1.0))
    assert came_up(world) == [CameUp(adopted=7)]


def test_who_was_about_to_leave_is_told_again():
    world = a_running_world()
    world.alive["compute.2"].deaf = True
    world.ask(Scale("compute", "1"))
    world.supervisor_dies()
    world.alive["compute.2"].deaf = False
    world.actions.clear()
    world.take_over()
    life = world.alive.get("compute.2")
    assert life is None
    assert [(a.process, a.number) for a in world.actions if isinstance(a, Signal)] == [("compute.2", signal.SIGTERM)]
    world.settle()
    assert world.workers("compute") == ["compute.1"]


def test_who_was_to_be_killed_is_killed():
    world = a_running_world()
    world.alive["compute.2"].deaf = True
    record = world.cluster.record("compute.2", world.alive["compute.2"].incarnation)
    record.state = S.STOPPING
    world._keep()
    world.supervisor_dies()
    world.actions.clear()
    world.take_over()
    assert [(a.process, a.number) for a in world.actions if isinstance(a, Signal)] == [("compute.2", signal.SIGKILL)]
    world.settle()
    assert shown(world, "compute.2").state == "running"


def test_nobody_learns_how_an_adopted_process_ended_and_it_is_no_crash():
    policy = SupervisorConfig(crash_limit=2, crash_window=100.0)
    world = taken_over(a_config(supervisor=policy))
    world.settle()
    for _ in range(3):
        world._end(world.alive["compute.1"], 1)
        world.settle()
        assert shown(world, "compute.1").state == "running"
        world.supervisor_dies()
        world.take_over()
        world.settle()
    world._end(world.alive["compute.1"], 1)
    world.settle()
    text = "compute.1 ended: ended; its exit status is unknown, since an earlier supervisor started it"
    assert world.told("crashed")[-1] == f"{text}; starts again at once"


def test_dead_letters_that_an_earlier_supervisor_told_of_are_not_told_again():
    world = taken_over()
    world.settle()
    sample = ServerSample(0, 0, 9, [0] * 6, [], False, {"dead_letters": 3})
    world.report("server.1", sample)
    world.pass_time(1.1)
    assert world.told("dead_letter") == []
    world.report("server.1", ServerSample(0, 0, 9, [0] * 6, [], False, {"dead_letters": 5}))
    world.pass_time(1.1)
    assert len(world.told("dead_letter")) == 1
    assert world.told("dead_letter")[0].startswith("2 requests could")


# --- those that have fallen -------------------------------------------------------------------------------------------


def test_what_ended_meanwhile_is_started_and_those_concerned_hear_of_the_end_with_their_first_answer():
    world = a_running_world()
    old = world.alive["compute.2"].incarnation
    world.supervisor_dies()
    world._end(world.alive["compute.2"], -signal.SIGKILL)
    world.take_over()
    world.settle()
    gone = [ProcessGone("compute.2", old)]
    concerned = {"proxy.compute", "compute.1", "server.1"}
    told = {life.process for life in world.alive.values() if gone == heard(world, life.process, ProcessGone)}
    assert told == concerned
    assert came_up(world) == [CameUp(adopted=5, started=1)]
    assert world.alive["compute.2"].incarnation > old
    assert world.told("adopted") == [
        "took over from a supervisor that died: adopted 5 processes; meanwhile ended: compute.2"
    ]


def test_who_ends_before_all_have_answered_is_told_of_to_those_that_answer_later():
    world = taken_over(silent=["proxy.compute"])
    world.settle()
    old = world.alive["compute.1"].incarnation
    world._end(world.alive["compute.1"], 1)
    world.settle()
    world.alive["proxy.compute"].heard.clear()
    world.alive["proxy.compute"].deaf = False
    world.pass_time(1.1)
    assert ProcessGone("compute.1", old) in heard(world, "proxy.compute", ProcessGone)


def test_a_new_proxy_hears_whom_its_predecessor_served_although_they_have_not_answered_yet():
    world = taken_over(dead=["proxy.compute"], silent=["compute.1", "compute.2"])
    world.settle()
    workers = [(name, world.alive[name].incarnation) for name in ("compute.1", "compute.2")]
    assert heard(world, "proxy.compute", Roster) == [Roster(workers)]


def test_who_answers_after_a_new_proxy_is_there_is_told_of_it():
    world = taken_over(dead=["proxy.compute"], silent=["server.1", "compute.1"])
    world.settle()
    ready = ProcessReady("proxy.compute", world.alive["proxy.compute"].incarnation)
    for name in ("server.1", "compute.1"):
        world.alive[name].deaf = False
        world.pending.append(Subscribed(name))
    world.settle()
    for name in ("server.1", "compute.1", "compute.2"):
        assert heard(world, name, ProcessReady)[-1] == ready


def test_what_fails_in_an_adoption_ends_no_cluster_and_is_named():
    policy = SupervisorConfig(crash_limit=1)
    world = a_running_world(a_config(spawn="exec", supervisor=policy))
    world.supervisor_dies()
    world._end(world.alive["compute.1"], 1)
    world.code, world.faults[2] = 2, "die"
    world.actions.clear()
    world.take_over()
    world.settle()
    (outcome,) = came_up(world)
    assert (outcome.adopted, outcome.started) == (5, 0)
    assert outcome.failing == ("compute.1 is not up: exit status 1: ValueError: code 2",)
    assert world.outcome is None
    assert world.cluster.snapshot().state is ClusterState.RUNNING


# --- readiness --------------------------------------------------------------------------------------------------------


def test_clients_that_come_all_the_time_are_not_told_to_stay_away_for_the_adoption():
    world = taken_over(silent=["compute.1", "compute.2"])
    world.settle()
    world.pass_time(SETTLE_S - 0.1)
    assert [sent for sent in world.sent(world.actions) if isinstance(sent[1], Readiness)] == []
    world.pass_time(0.2)
    assert READY in world.sent(world.actions)


def test_a_pool_that_has_no_worker_any_more_is_told_of_if_it_stays_so():
    world = taken_over(dead=["compute.1", "compute.2"])
    world.zygotes_hold_back = True
    world.settle()
    world.actions.clear()
    world.pass_time(GUESS_S - 0.5)
    assert [sent for sent in world.sent(world.actions) if isinstance(sent[1], Readiness)] == []
    world.pass_time(2.0)
    assert heard(world, "server.1", Readiness)[-1] == Readiness(False, "pool compute has no worker")


# --- zygotes ----------------------------------------------------------------------------------------------------------


def test_an_old_zygote_ends_when_its_successor_has_imported_and_workers_wait_for_that():
    world = a_running_world()
    world.supervisor_dies()
    world._end(world.alive["compute.1"], 1)
    old = {zygote.pool: zygote.incarnation for zygote in world.old_zygotes}
    world.imports = False
    world.actions.clear()
    world.take_over()
    world.settle()
    assert not [action for action in world.actions if isinstance(action, Signal | Fork)]
    from supervisor.events import HandlerImported

    ended = world.tell(HandlerImported("zygote.compute", world.alive["zygote.compute"].incarnation))
    assert Signal("zygote.compute", old["compute"], signal.SIGTERM) in ended
    assert [action.workers[0].process for action in ended if isinstance(action, Fork)] == ["compute.1"]
    assert [zygote.pool for zygote in world.old_zygotes] == ["parse"]
    world.settle()
    assert shown(world, "compute.1").state == "running"


# --- what operators have changed --------------------------------------------------------------------------------------


def test_sizes_and_drains_that_operators_gave_last():
    world = a_running_world()
    world.do(Scale("compute", "4"))
    world.do(DrainOrder("compute.3"))
    world.do(DrainOrder("parse"))
    assert world.cluster.memory() == Memory(
        {
            "compute": PoolMemory(Sized(4, "alice"), drained_workers=["compute.3"]),
            "parse": PoolMemory(draining=True),
        }
    )
    world.supervisor_dies()
    world.take_over()
    world.settle()
    snapshot = world.cluster.snapshot()
    assert {pool.name: (pool.target, pool.state) for pool in snapshot.pools} == {
        "compute": (4, "running"),
        "parse": (1, "draining"),
    }
    assert shown(world, "compute.3").state == "draining"


def test_the_size_of_the_file_is_nothing_to_remember():
    world = a_running_world()
    world.do(Scale("compute", "4"))
    world.do(Scale("compute", "2"))
    assert world.cluster.memory() == Memory()


def test_an_order_that_was_taken_and_not_begun_is_carried_out_by_the_next():
    world = a_running_world()
    world.supervisor_dies(amid=Scale("compute", "4"))
    world.take_over()
    world.settle()
    assert world.workers("compute") == ["compute.1", "compute.2", "compute.3", "compute.4"]


def test_an_adopted_proxy_is_told_what_is_drained_and_what_is_not():
    world = a_running_world()
    world.do(DrainOrder("compute.1"))
    world.do(DrainOrder("parse"))
    world.supervisor_dies()
    world.take_over()
    for life in world.alive.values():
        life.heard.clear()
    world.settle()
    said = [(type(c), c.workers) for c in heard(world, "proxy.compute", Drain, Resume)]
    assert said[:3] == [(Resume, []), (Resume, ["compute.2"]), (Drain, ["compute.1"])]
    assert [(type(c), c.workers) for c in heard(world, "proxy.parse", Drain, Resume)] == [
        (Resume, ["parse.1"]),
        (Drain, []),
    ]


# --- listening sockets ------------------------------------------------------------------------------------------------


def test_an_adopted_server_is_asked_for_its_socket_until_it_has_lent_it():
    world = taken_over()
    world.settle()
    assert len(heard(world, "server.1", Lend)) == 1
    world.pass_time(5.0)
    assert len(heard(world, "server.1", Lend)) == 1


def test_a_server_that_does_not_know_the_question_is_not_asked_for_ever():
    world = taken_over()
    world.lends = False
    world.settle()
    world.pass_time(60.0)
    assert len(heard(world, "server.1", Lend)) == LEND_TIMES


def test_a_server_that_is_started_by_us_has_its_socket_from_us():
    world = taken_over()
    world.settle()
    assert world.do(Restart("server.1")).status == 200
    assert heard(world, "server.1", Lend) == []


@pytest.mark.parametrize(("listen", "waits"), [("unix:/run/front", True), ("http://127.0.0.1:1", False)])
def test_a_server_that_fell_waits_for_the_socket_that_another_one_has_of_the_same_path(listen, waits):
    from msgspec import structs

    config = a_config()
    world = a_running_world(structs.replace(config, server=structs.replace(config.server, processes=2)))
    world.supervisor_dies()
    world._end(world.alive["server.2"], 1)
    world.actions.clear()
    world.take_over(listen)
    assert ("server.2" not in started(world)) is waits
    world.settle()
    assert "server.2" in started(world)
    assert shown(world, "server.2").state == "running"


# --- strays -----------------------------------------------------------------------------------------------------------


def test_one_that_was_born_before_anybody_wrote_it_down_is_ended_by_the_id_that_it_claims():
    world = a_running_world()
    world.ask(Scale("compute", "3"))  # forked, and the zygote's word is on its way
    world.supervisor_dies()
    (stray,) = world.strays
    world.actions.clear()
    world.take_over()
    world.settle()
    assert SignalStray(stray.pid, "compute.3") in world.actions
    assert world.strays == []
    assert world.alive["compute.3"].incarnation > stray.incarnation


def test_one_that_nobody_greets_is_found_by_its_reports():
    world = a_running_world()
    world.ask(Scale("compute", "3"))
    world.supervisor_dies()
    world.take_over()
    world.pending = [event for event in world.pending if not isinstance(event, Subscribed)]
    world.alive.pop("compute.3", None)
    world.pass_time(1.0)
    world.strays_report()
    world.settle()
    assert world.strays == []


def test_the_end_of_a_process_of_an_earlier_supervisor_that_is_not_in_the_books_means_nothing():
    world = taken_over()
    world.settle()
    assert world.tell(Exited("zygote.compute", 7, None)) == []
