"""Processes that will not go on by themselves (stuck, stopped), and what is told of requests that nobody answered."""

import signal

import pytest

from primectl.config.model import SupervisorConfig
from primectl.wire.stats import ServerSample, WorkerStuck
from supervisor.events import Probed, Signal
from tests.support.world import a_config, a_running_world


def process(world, name):
    return next(process for process in world.cluster.snapshot().processes if process.id == name)


def stuck(world, worker, request="7.42"):
    return WorkerStuck(worker, world.alive[worker].incarnation, request)


def probe(world, name, *, stopped):
    return world.tell(Probed(name, world.alive[name].incarnation, 0.0, 1 << 20, stopped))


def dead(count, name="dead_letters"):
    return ServerSample(0, 0, 0, [0] * 6, [], counters={name: count})


# --- stuck in a cancelled job -----------------------------------------------------------------------------------------


def test_a_worker_that_does_not_let_go_of_a_cancelled_job_is_killed_and_replaced_at_once():
    world = a_running_world()
    before = world.alive["compute.1"].incarnation
    actions = world.report("proxy.compute", stuck(world, "compute.1"))
    assert Signal("compute.1", before, signal.SIGKILL) in actions
    world.settle()
    assert world.alive["compute.1"].incarnation > before
    assert world.state("compute.1") == "running"
    assert process(world, "compute.1").restarts == 1
    assert process(world, "compute.1").cause == "stuck in the cancelled request 7.42"
    assert world.told("stuck") == ["compute.1 does not let go of request 7.42, which is cancelled: killed and replaced"]


def test_being_stuck_is_no_crash_however_often_and_however_soon_after_the_start():
    world = a_running_world(a_config(supervisor=SupervisorConfig(crash_limit=2)))
    for _ in range(10):
        world.report("proxy.compute", stuck(world, "compute.1"))
        world.settle()
        assert world.state("compute.1") == "running"
    assert world.told("crashed") == []


def test_a_worker_that_is_stuck_is_killed_once_however_often_it_is_said():
    world = a_running_world()
    said = stuck(world, "compute.1")
    kills = [
        action
        for _ in range(3)
        for action in world.report("proxy.compute", said)
        if isinstance(action, Signal) and action.number == signal.SIGKILL
    ]
    assert len(kills) == 1


def test_word_of_a_worker_that_has_been_replaced_meanwhile_hits_nobody():
    world = a_running_world()
    late = stuck(world, "compute.1")
    world.die("compute.1", -signal.SIGKILL)
    world.settle()
    now = world.alive["compute.1"].incarnation
    world.report("proxy.compute", late)
    assert world.alive["compute.1"].incarnation == now


@pytest.mark.parametrize("sender", ["compute.2", "server.1"])
def test_only_a_proxy_can_say_so(sender):
    world = a_running_world()
    assert world.report(sender, stuck(world, "compute.1")) == []


def test_only_workers_can_be_stuck():
    world = a_running_world()
    assert world.report("proxy.compute", stuck(world, "server.1")) == []


# --- stopped by a signal ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["compute.1", "proxy.compute", "server.1", "zygote.compute"])
def test_a_process_that_stays_stopped_is_killed_and_replaced_at_once(name):
    world = a_running_world()
    before = world.alive[name].incarnation
    probe(world, name, stopped=True)
    world.pass_time(2.9)
    assert probe(world, name, stopped=True) == []
    world.pass_time(0.2)
    assert Signal(name, before, signal.SIGKILL) in probe(world, name, stopped=True)
    world.settle()
    assert world.alive[name].incarnation > before
    assert world.told("crashed") == []
    assert world.told("suspended") == [
        f"{name} was stopped (SIGSTOP) and nobody let it go on for 3.1 s: killed and replaced"
    ]


def test_its_end_says_why():
    world = a_running_world()
    for _ in range(2):
        probe(world, "compute.1", stopped=True)
        world.pass_time(3.0)
    probe(world, "compute.1", stopped=True)
    world.settle()
    assert process(world, "compute.1").cause == "stopped for 3.0 s"


def test_a_process_that_is_let_go_on_in_time_is_left_alone_however_often():
    world = a_running_world()
    before = world.alive["compute.1"].incarnation
    for _ in range(5):
        probe(world, "compute.1", stopped=True)
        world.pass_time(2.0)
        probe(world, "compute.1", stopped=False)
        world.pass_time(2.0)
    assert world.alive["compute.1"].incarnation == before
    assert world.told("suspended") == []


def test_word_of_an_earlier_life_that_was_stopped_hits_nobody():
    world = a_running_world()
    old = world.alive["compute.1"].incarnation
    probe(world, "compute.1", stopped=True)
    world.die("compute.1", -signal.SIGKILL)
    world.settle()
    world.pass_time(5.0)
    assert world.tell(Probed("compute.1", old, 0.0, 0, True)) == []
    assert probe(world, "compute.1", stopped=True) == []


# --- many at once -----------------------------------------------------------------------------------------------------


def test_a_zygote_a_proxy_and_all_workers_that_end_in_one_turn_all_come_back():
    world = a_running_world(a_config(compute=4))
    world.pass_time(2.0)
    before = {life.process: life.incarnation for life in world.alive.values() if life.pool == "compute"}
    for name in before:
        world._end(world.alive[name], -signal.SIGKILL)
    together, world.pending = world.pending, []
    world.tell(*together)
    world.settle()
    world.pass_time(1.0)
    assert len(before) == 6
    assert all(world.alive[name].incarnation > incarnation for name, incarnation in before.items())
    assert world.told("failed") == []
    assert next(pool.workers for pool in world.cluster.snapshot().pools if pool.name == "compute") == 4


# --- dead letters -----------------------------------------------------------------------------------------------------


def test_new_dead_letters_are_told_once_with_the_file_that_has_them():
    world = a_running_world()
    world.report("server.1", dead(1))
    world.pass_time(1.0)
    world.report("server.1", dead(1))
    world.report("server.1", dead(4))
    world.pass_time(2.0)
    assert world.told("dead_letter") == [
        "1 request could not be answered; kept in /state/dead-letters.jsonl",
        "3 requests could not be answered; kept in /state/dead-letters.jsonl",
    ]
    assert world.cluster.snapshot().front.dead_letters == 4


def test_dead_letters_are_counted_over_the_servers_lives():
    world = a_running_world()
    world.report("server.1", dead(2))
    world.die("server.1")
    world.settle()
    world.report("server.1", dead(3))
    world.pass_time(1.0)
    assert world.cluster.snapshot().front.dead_letters == 5
    assert world.told("dead_letter") == ["5 requests could not be answered; kept in /state/dead-letters.jsonl"]


def test_what_a_process_counts_is_shown_as_far_as_it_is_not_zero():
    world = a_running_world()
    sample = ServerSample(0, 0, 0, [0] * 6, [], counters={"dead_letters": 2, "strays": 0})
    world.report("server.1", sample)
    assert process(world, "server.1").counters == {"dead_letters": 2}
