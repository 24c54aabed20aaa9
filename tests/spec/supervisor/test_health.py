"""A worker is judged by its job and its processor time: what is told of a silent one, and who is replaced."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from primectl.wire.stats import ProxySample, ServerSample, WorkerLoad, WorkerSample
from supervisor.events import Look, Looked, Probed, Signal
from supervisor.vitals import LOOKS, Health, Thread, works
from tests.support.world import a_config, a_running_world

IDLE = WorkerSample(7, 0, False)


def a_world(limit_s=10.0, request_timeout=30.0):
    config = a_config()
    pools = {name: replace(pool, unresponsive_after=limit_s) for name, pool in config.pools.items()}
    server = replace(config.server, request_timeout=request_timeout)
    return a_running_world(replace(config, pools=pools, server=server))


class Silence:
    """Everybody reports each second but `name`, whose looks show what they are told to."""

    def __init__(self, world, name, *, working, request=None, holding=0, pulse_s=None):
        self.world, self.name, self.working, self.request, self.holding = world, name, working, request, holding
        self.pulse_s = pulse_s
        self.incarnation = world.alive[name].incarnation
        self.held_s = 0.0
        self.signals = []

    def last(self, seconds):
        for _ in range(seconds):
            self.world.pass_time(1.0)
            self.held_s += 1.0
            for life in list(self.world.alive.values()):
                self._reports(life)
            actions = self.world.actions
            for look in [action for action in actions if isinstance(action, Look)]:
                # The first look has nothing to compare with.
                first = not getattr(self, "looked", False)
                self.looked = True
                actions.remove(look)
                assert look == Look(self.name, self.incarnation), "only who is silent is looked at"
                self.world.tell(Looked(self.name, self.incarnation, None if first else self.working, self.request))
            found = [a for a in actions if isinstance(a, Signal) and a.process == self.name]
            self.signals += [action.number for action in found]
            for action in found:
                actions.remove(action)
            self.world.settle()
            if self.signals:
                return self
        return self

    def _reports(self, life):
        world = self.world
        if life.kind == "proxy":
            loads = [
                WorkerLoad(worker, world.alive[worker].incarnation, self.holding, self.held_s)
                for worker in world.workers(life.pool)
                if worker == self.name
            ]
            if life.process != self.name:
                world.report(life.process, ProxySample(0, 0, 0.0, 0, 0, 0, 0, 0.0, [], loads))
        elif life.kind == "server" and life.process != self.name:
            world.report(life.process, ServerSample(0, 0, 0, [0] * 6, []))
        elif life.kind == "worker" and life.process != self.name:
            world.report(life.process, IDLE)
        elif life.process == self.name and self.pulse_s is not None and life.incarnation == self.incarnation:
            self.pulse_s += 1.0
            world.report(life.process, replace(IDLE, pulse_s=self.pulse_s))

    @property
    def killed(self):
        assert set(self.signals) <= {signal.SIGKILL}
        assert len(self.signals) <= 1
        return bool(self.signals)


def cause(world, name):
    return next(process.cause for process in world.cluster.snapshot().processes if process.id == name)


# --- a job ------------------------------------------------------------------------------------------------------------


def test_a_job_that_holds_the_interpreters_lock_for_minutes_is_shown_and_told_of_once_and_never_killed():
    world = a_world(request_timeout=3600.0)
    silence = Silence(world, "compute.1", working=True, request="4d77c0ffee000", holding=1)
    silence.last(3)
    world.tell(Probed("compute.1", silence.incarnation, 99.4, 1 << 20, False))
    silence.last(300)
    assert not silence.killed
    assert world.told("silent") == ["compute.1 is silent, but works: request 4d77c0ffee000 for 9 s, CPU 99 %"]
    shown = next(process for process in world.cluster.snapshot().processes if process.id == "compute.1")
    assert (shown.busy, shown.request, shown.job_s) == (True, "4d77c0ffee000", 303.0)
    world.report("compute.1", IDLE)
    world.pass_time(1.0)
    assert world.told("heard") == ["compute.1 is heard again"]


def test_whose_jobs_are_all_long_is_told_of_once_in_its_life():
    world = a_world(request_timeout=3600.0)
    for _ in range(5):
        Silence(world, "compute.1", working=True, request="7", holding=1).last(30)
        world.report("compute.1", IDLE)
        world.pass_time(1.0)
    assert (len(world.told("silent")), len(world.told("heard"))) == (1, 1)


def test_a_silent_job_that_uses_no_processor_is_told_of_and_left_to_its_deadline():
    world = a_world()
    silence = Silence(world, "compute.1", working=False, request="7", holding=1).last(41)
    assert not silence.killed
    assert world.told("silent") == [
        "compute.1 is silent and waits in C: request 7 for 9 s, CPU 0 %; its deadline ends it"
    ]


def test_a_deadlock_in_a_job_that_nobody_has_ended_by_its_deadline_ends_soon_after_it():
    world = a_world(request_timeout=30.0)
    silence = Silence(world, "compute.1", working=False, request="7", holding=1).last(45)
    assert silence.killed
    assert cause(world, "compute.1") == "deadlocked in its job"
    assert world.state("compute.1") == "running"


def test_without_notes_the_proxys_word_counts():
    world = a_world()
    assert not Silence(world, "compute.1", working=False, request=None, holding=1).last(30).killed


# --- no job -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", ["", None])
def test_a_silent_worker_without_a_job_that_uses_no_processor_is_replaced(request_):
    world = a_world()
    before = world.alive["compute.1"].incarnation
    silence = Silence(world, "compute.1", working=False, request=request_).last(9)
    assert not silence.killed
    assert silence.last(2).killed
    assert world.alive["compute.1"].incarnation > before
    assert world.told("unresponsive") == [
        "compute.1 has not been heard for 10 s, runs no job and uses no processor: killed and replaced"
    ]
    assert cause(world, "compute.1") == "dead inside, silent for 10 s"
    assert world.told("crashed") == []


def test_a_job_that_it_was_dealt_and_has_not_begun_does_not_save_it():
    world = a_world()
    assert Silence(world, "compute.1", working=False, request="", holding=1).last(11).killed


def test_a_worker_without_a_job_whose_threads_work_is_told_of_and_left_alone():
    world = a_world()
    assert not Silence(world, "compute.1", working=True, request="").last(100).killed
    assert world.told("silent") == ["compute.1 is silent and runs no job, but works: CPU 0 %"]


def test_unless_a_job_waits_for_it():
    world = a_world()
    assert Silence(world, "compute.1", working=True, request="", holding=1).last(11).killed
    assert cause(world, "compute.1") == "silent for 11 s without beginning its job"


def test_the_limit_is_the_pools_own():
    world = a_world(limit_s=60.0)
    assert not Silence(world, "compute.1", working=False).last(59).killed
    assert Silence(world, "compute.2", working=False).last(0).signals == []
    world = a_world(limit_s=4.0)
    assert Silence(world, "compute.1", working=False).last(7).killed


# --- the main thread --------------------------------------------------------------------------------------------------


def test_a_main_thread_that_does_not_wake_up_between_two_jobs_is_found_by_the_watchdogs_word():
    world = a_world()
    silence = Silence(world, "compute.1", working=False, pulse_s=0.0).last(9)
    assert not silence.killed
    assert silence.last(2).killed
    assert cause(world, "compute.1") == "its main thread hung for 10.0 s"
    assert world.told("unresponsive") == [
        "the main thread of compute.1 has not woken up for 10.0 s, between two jobs: killed and replaced"
    ]


def test_a_pulse_that_came_late_is_forgotten():
    world = a_world()
    for _ in range(3):
        silence = Silence(world, "compute.1", working=False, pulse_s=0.0).last(9)
        world.report("compute.1", IDLE)
        assert not silence.killed


# --- servers and proxies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["proxy.compute", "server.1"])
def test_a_silent_server_or_proxy_is_replaced_if_it_uses_no_processor(name):
    world = a_world()
    before = world.alive[name].incarnation
    assert Silence(world, name, working=False).last(11).killed
    assert world.alive[name].incarnation > before


@pytest.mark.parametrize("name", ["proxy.compute", "server.1"])
def test_and_told_of_if_it_does(name):
    world = a_world()
    assert not Silence(world, name, working=True).last(60).killed
    assert world.told("silent") == [f"{name} has not been heard for 10 s, but works: CPU 0 %"]


# --- not to be mistaken -----------------------------------------------------------------------------------------------


def test_nobody_is_judged_before_it_was_looked_at_often_enough():
    """The supervisor itself was stopped for a minute: everybody is silent, and their reports wait to be read."""
    world = a_world()
    world.now += 60.0
    world.pass_time(0.0)
    assert not [action for action in world.actions if isinstance(action, Signal)]


def test_a_look_at_an_earlier_life_says_nothing_of_this_one():
    world = a_world()
    old = world.alive["compute.1"].incarnation
    world.die("compute.1", -signal.SIGKILL)
    world.settle()
    for _ in range(LOOKS):
        world.tell(Looked("compute.1", old, False, ""))
    world.pass_time(11.0)
    assert not [a for a in world.actions if isinstance(a, Signal) and a.number == signal.SIGKILL]


def test_a_worker_that_leaves_may_take_its_time_in_the_stop_of_its_handler():
    world = a_world()
    process = world.cluster._books.processes["compute.1"]
    process.acknowledged = True
    assert not Silence(world, "compute.1", working=False).last(39).killed


# --- threads ----------------------------------------------------------------------------------------------------------


def test_a_thread_works_that_uses_the_processor_or_wants_it():
    assert works({1: Thread(5.0, 10, False)}, {1: Thread(5.1, 12, False)}, 1.0)
    assert works({1: Thread(5.0, 10, False)}, {1: Thread(5.0, 10, True)}, 1.0)
    assert not works({1: Thread(5.0, 10, False)}, {1: Thread(5.01, 12, False)}, 1.0)
    assert not works({}, {1: Thread(5.0, 10, True)}, 1.0)


def test_a_thread_that_only_waits_for_the_interpreters_lock_does_not():
    assert not works({1: Thread(5.0, 1000, False)}, {1: Thread(5.09, 1950, True)}, 1.0)
    assert works({1: Thread(5.0, 0, False), 2: Thread(1.0, 0, False)},
                 {1: Thread(5.09, 950, True), 2: Thread(2.0, 3, True)}, 1.0)  # fmt: skip


@given(st.lists(st.booleans(), max_size=20))
def test_the_last_looks_decide(shown):
    health = Health()
    for working in shown:
        health.looked(working, None)
    last = shown[-LOOKS:]
    assert health.works is (None if len(last) < 3 else last.count(True) * 2 >= len(last))
    health.heard()
    assert health.works is None
