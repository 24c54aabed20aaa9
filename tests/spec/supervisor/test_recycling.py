"""Workers over max_jobs, max_rss or max_age are retired and replaced, staggered."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from primectl.wire.control import Restart, Retire, Scale, Stop
from primectl.wire.stats import Acknowledged, WorkerSample
from supervisor.events import HandlerImported, Probed, Tell
from supervisor.lifecycle import ProcessState as S
from supervisor.recycling import SPREAD, bound_share
from tests.support.world import World, a_config, a_running_world

MIB = 1 << 20


def a_world(workers=3, spawn="fork", **bounds):
    config = a_config(compute=workers, spawn=spawn)
    pools = {**config.pools, "compute": replace(config.pools["compute"], max_workers=512, **bounds)}
    return a_running_world(replace(config, pools=pools))


def have_run(world, jobs, *names):
    for name in names or world.workers("compute"):
        world.report(name, WorkerSample(jobs, 0, False))


def retired(actions, world):
    sent = [topic for topic, command in world.sent(actions) if isinstance(command, Retire)]
    return [topic.removeprefix("proc.") for topic in sent]


class Slow(World):
    """Workers that acknowledge that they shall leave, and take their time."""

    def _obey(self, life, command):
        if isinstance(command, Retire) and life.kind == "worker":
            self.pending.append(self._heard(life, Acknowledged(command.command)))
        else:
            super()._obey(life, command)


def a_slow_world(workers, **bounds):
    config = a_config(compute=workers)
    pools = {**config.pools, "compute": replace(config.pools["compute"], **bounds)}
    world = Slow(replace(config, pools=pools))
    world.start()
    world.actions.clear()
    return world


def test_a_worker_that_has_run_its_jobs_finishes_what_it_has_and_is_replaced():
    world = a_world(max_jobs=100)
    before = world.alive["compute.2"].incarnation
    have_run(world, 89, "compute.1", "compute.2", "compute.3")
    assert retired(world.pass_time(3.0), world) == []
    have_run(world, 100, "compute.2")
    assert retired(world.pass_time(1.0), world) == ["compute.2"]
    assert (world.state("compute.2"), world.alive["compute.2"].incarnation > before) == ("running", True)
    (told,) = [action for action in world.actions if isinstance(action, Tell) and action.kind == "recycled"]
    assert (told.subject, told.cause) == ("compute.2", "it has run 100 jobs (max_jobs = 100)")
    assert told.text == "compute.2 is replaced when it has finished: it has run 100 jobs (max_jobs = 100)"
    assert world.told("crashed") == []


def test_so_is_one_that_takes_too_much_memory_once_it_had_time_to_grow():
    world = a_world(max_rss=100 * MIB)
    incarnation = world.alive["compute.1"].incarnation
    world.tell(Probed("compute.1", incarnation, 0.0, 200 * MIB, False))
    assert retired(world.pass_time(9.0), world) == []
    assert retired(world.pass_time(2.0), world) == ["compute.1"]
    assert world.told("recycled") == [
        "compute.1 is replaced when it has finished: it takes 200.0 MiB (max_rss = 100MiB)"
    ]


def test_so_is_one_that_is_old_and_each_life_has_an_age_of_its_own():
    world = a_world(workers=1, max_age=60.0)
    actions = world.pass_time(200.0)
    assert retired(actions, world) == ["compute.1"] * 3
    assert world.told("recycled")[0].endswith(" s old (max_age = 1m)")


def test_without_bounds_nobody_is_replaced():
    world = a_world()
    have_run(world, 10**9)
    assert retired(world.pass_time(30.0), world) == []


def test_of_a_small_pool_one_leaves_at_a_time_and_the_next_when_all_run():
    world = a_slow_world(4, max_jobs=10)
    have_run(world, 1000)
    first = retired(world.pass_time(5.0), world)
    assert len(first) == 1
    world._end(world.alive[first[0]], 0)
    world.settle()
    assert world.state(first[0]) == "running"
    second = retired(world.pass_time(5.0), world)
    assert len(second) == 1
    assert second != first


@pytest.mark.parametrize(("workers", "at_once"), [(1, 1), (7, 1), (8, 1), (16, 2), (64, 8)])
def test_of_a_large_pool_an_eighth(workers, at_once):
    world = a_slow_world(workers, max_jobs=10)
    have_run(world, 1000)
    assert len(retired(world.pass_time(10.0), world)) == at_once


def test_who_is_furthest_over_its_bound_leaves_first():
    world = a_slow_world(3, max_jobs=10)
    have_run(world, 20)
    have_run(world, 30, "compute.3")
    assert retired(world.pass_time(1.0), world) == ["compute.3"]


def test_everybody_is_replaced_in_the_end():
    world = a_world(workers=20, max_jobs=10)
    before = {name: world.alive[name].incarnation for name in world.workers("compute")}
    have_run(world, 1000)
    world.pass_time(15.0)
    assert all(world.alive[name].incarnation > incarnation for name, incarnation in before.items())


def test_a_worker_that_waits_to_be_started_again_holds_the_others_back_one_that_has_failed_does_not():
    world = a_slow_world(2, max_jobs=10)
    have_run(world, 1000, "compute.2")
    while world.state("compute.1") != "failed":
        if "compute.1" in world.alive:
            world.die("compute.1")
        assert world.told("recycled") == []
        world.pass_time(0.01)
    world.pass_time(2.0)
    assert "compute.2" in " ".join(world.told("recycled"))


def test_nobody_leaves_whose_place_no_zygote_could_fill():
    world = a_world(max_jobs=10)
    world.imports = False
    world.die("zygote.compute")
    have_run(world, 1000)
    world.settle()
    assert retired(world.pass_time(5.0), world) == []
    zygote = world.alive["zygote.compute"]
    world.tell(HandlerImported(zygote.process, zygote.incarnation))
    assert len(retired(world.pass_time(1.0), world)) == 1


def test_with_an_interpreter_each_there_is_no_zygote_to_wait_for():
    world = a_world(spawn="exec", max_jobs=10)
    have_run(world, 1000)
    assert len(retired(world.pass_time(1.0), world)) == 1


@pytest.mark.parametrize("order", [Restart("compute"), Scale("compute", "1"), Stop(60.0)])
def test_nobody_is_recycled_while_the_pool_is_restarted_or_scaled_or_stopped(order):
    world = a_slow_world(4, max_jobs=10)
    world.ask(order)
    world.settle()
    have_run(world, 1000)
    world.pass_time(10.0)
    assert world.told("recycled") == []


def test_an_order_in_another_pool_holds_nobody_back():
    world = a_slow_world(2, max_jobs=10)
    world.ask(Restart("parse"))
    have_run(world, 1000)
    world.pass_time(1.0)
    assert len(world.told("recycled")) == 1


def test_a_record_of_an_earlier_life_does_not_count_for_the_next():
    world = a_world(workers=1, max_jobs=10)
    have_run(world, 1000)
    world.pass_time(1.0)
    assert retired(world.pass_time(20.0), world) == []
    assert world.cluster.snapshot().processes[-1].state == S.RUNNING


@given(st.integers(1, 4096))
def test_bounds_lie_up_to_a_tenth_below_the_pools(number):
    assert 1 - SPREAD <= bound_share(number) <= 1


def test_neighbours_bounds_lie_apart():
    shares = sorted(bound_share(number) for number in range(1, 9))
    assert min(after - before for before, after in pairwise(shares)) > SPREAD / 20
