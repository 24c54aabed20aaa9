"""What becomes of a cluster whose processes end by themselves: backoff, failed, essential; nobody else waits."""

import signal

import pytest
from msgspec import structs

from primectl.config.model import Config, PoolConfig, ServerConfig, SupervisorConfig
from primectl.wire.control import Restart, Scale
from primectl.wire.job import first_job
from primectl.wire.stats import ClusterState, WorkerSample
from supervisor.events import EssentialFailure, Exited, HandlerFailed, Tell, Ticked
from tests.support.world import a_config, a_running_world

THREE = SupervisorConfig(crash_limit=3)


def process(world, name):
    world.tell(Ticked())
    return next(process for process in world.cluster.snapshot().processes if process.id == name)


def pool(world, name="compute"):
    return next(pool for pool in world.cluster.snapshot().pools if pool.name == name)


def crash_until_failed(world, name, *tail, status=1):
    while world.state(name) != "failed":
        world.die(name, status, *tail)
        world.settle()
        world.pass_time(1.0)


def ending(world, kind):
    return next(action for action in world.actions if isinstance(action, Tell) and action.kind == kind)


# --- one process ------------------------------------------------------------------------------------------------------


def test_one_in_backoff_says_when_it_is_tried_again_and_how_often_it_has_crashed():
    world = a_running_world()
    for _ in range(3):
        world.die("compute.1", 1, "boom")
        world.settle()
        world.pass_time(0.1)
    shown = process(world, "compute.1")
    assert (shown.state, shown.crashes, shown.cause) == ("backoff", 3, "exit status 1: boom")
    assert shown.retry_in_s == pytest.approx(0.1)
    assert shown.last_lines == []
    world.pass_time(0.2)
    world.settle()
    assert (process(world, "compute.1").state, process(world, "compute.1").retry_in_s) == ("running", 0.0)


def test_one_that_has_failed_shows_its_cause_and_last_lines_and_its_event_has_them_too():
    world = a_running_world(a_config(supervisor=THREE))
    crash_until_failed(world, "compute.1", "Traceback", "ValueError: no")
    shown = process(world, "compute.1")
    assert (shown.state, shown.crashes, shown.last_lines) == ("failed", 3, ["Traceback", "ValueError: no"])
    told = ending(world, "fatal")
    assert (told.subject, told.cause, told.lines) == (
        "compute.1",
        "exit status 1: ValueError: no",
        ("Traceback", "ValueError: no"),
    )


@pytest.mark.parametrize("state", ["backoff", "failed"])
def test_restart_tries_again_at_once_with_a_clean_record(state):
    world = a_running_world(a_config(supervisor=SupervisorConfig(crash_limit=3, backoff_first=5.0)))
    for _ in range(3 if state == "failed" else 2):
        world.die("compute.1", 1)
        world.settle()
        if world.state("compute.1") == "backoff" and state == "failed":
            world.pass_time(6.0)
    assert world.state("compute.1") == state
    assert world.do(Restart("compute.1")).status == 200
    assert process(world, "compute.1").crashes == 0
    world.die("compute.1", 1)
    assert world.told("crashed")[-1].endswith("starts again at once")


def test_one_that_was_healthy_for_long_enough_crashes_for_the_first_time_again():
    world = a_running_world()
    for _ in range(3):
        world.die("compute.1", 1)
        world.settle()
        world.pass_time(1.0)
    assert process(world, "compute.1").crashes == 3
    world.pass_time(10.0)
    assert process(world, "compute.1").crashes == 0
    world.die("compute.1", 1)
    assert world.told("crashed")[-1].endswith("starts again at once")


def test_requests_that_kill_a_worker_again_and_again_never_make_it_fail():
    world = a_running_world(a_config(supervisor=THREE))
    for _ in range(12):
        world.report("compute.1", WorkerSample(5, 0, False))
        world.die("compute.1", -signal.SIGSEGV)
        world.settle()
        assert world.state("compute.1") in ("running", "backoff")
        world.pass_time(11.0)
        world.settle()
    assert world.state("compute.1") == "running"


def die_in(world, worker, request):
    """In its first job, which belongs to that request."""
    life = world.alive.pop(worker)
    world.tell(Exited(worker, life.incarnation, -signal.SIGSEGV, job=first_job(0, request)))
    world.settle()
    world.pass_time(1.0)


def test_a_worker_that_dies_at_its_first_job_each_time_fails():
    world = a_running_world(a_config(supervisor=THREE))
    for request in (1, 2, 3):
        die_in(world, "compute.1", request)
    assert world.state("compute.1") == "failed"
    assert process(world, "compute.1").cause == "killed by SIGSEGV, in request 0000000000003"


def test_a_request_that_kills_one_worker_after_the_other_is_held_against_none_but_the_first():
    world = a_running_world(a_config(compute=4, supervisor=SupervisorConfig(crash_limit=2)))
    for worker in ("compute.1", "compute.2", "compute.3", "compute.2", "compute.3"):
        die_in(world, worker, 7)
    world.pass_time(1.0)
    assert {world.state(f"compute.{number}") for number in (1, 2, 3, 4)} == {"running"}


def test_who_is_never_ready_in_time_fails_however_long_that_takes():
    world = a_running_world(a_config(spawn="exec", supervisor=SupervisorConfig(crash_limit=3, crash_window=5.0)))
    world.mute.add("compute.3")
    world.ask(Scale("compute", "3", timeout_s=300.0))
    world.settle()
    world.pass_time(100.0)
    assert world.state("compute.3") == "failed"
    assert process(world, "compute.3").cause == "not READY within 30 s"


# --- memory -----------------------------------------------------------------------------------------------------------


def test_who_was_ended_for_want_of_memory_backs_off_and_says_so():
    world = a_running_world(a_config(supervisor=THREE))
    world.pass_time(1.0)
    for _ in range(3):
        life = world.alive.pop("compute.1")
        world.tell(Exited("compute.1", life.incarnation, -signal.SIGKILL, oom=True))
        world.settle()
        world.pass_time(1.0)
    assert process(world, "compute.1").cause == "killed by SIGKILL: out of memory"
    assert world.state("compute.1") == "failed"


def test_a_sigkill_of_ours_is_never_put_down_to_memory():
    world = a_running_world(a_config(spawn="exec"))
    world.mute.add("compute.3")
    world.ask(Scale("compute", "3", timeout_s=300.0))
    world.settle()
    world.now += 31.0
    world.tell(Ticked())
    [killed] = [event for event in world.pending if isinstance(event, Exited)]
    world.pending.clear()
    world.tell(structs.replace(killed, oom=True))
    assert process(world, "compute.3").cause == "not READY within 30 s"


# --- nobody else waits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spawn", ["fork", "exec"])
def test_a_slot_that_always_dies_at_its_start_delays_no_other(spawn):
    world = a_running_world(a_config(spawn=spawn))
    world.doomed.add("compute.3")
    asker = world.ask(Scale("compute", "8"))
    began = world.now
    world.settle()
    others = [f"compute.{number}" for number in (1, 2, 4, 5, 6, 7, 8)]
    assert [world.state(worker) for worker in others] == ["running"] * 7
    assert world.now == began
    assert world.answer(asker) is None
    parse = world.ask(Scale("parse", "4"))
    world.settle()
    assert (world.answer(parse).status, world.now) == (200, began)
    world.pass_time(10.0)
    assert world.answer(asker).status == 500
    assert world.answer(asker).body.what == "compute has 7 of 8 workers: compute.3 failed: exit status 1"


def test_a_bad_slot_is_given_up_first_and_the_pool_is_then_as_wanted():
    world = a_running_world(a_config(supervisor=THREE))
    world.doomed.add("compute.2")
    world.die("compute.2")
    world.settle()
    world.pass_time(5.0)
    assert world.state("compute.2") == "failed"
    assert world.do(Scale("compute", "1")).status == 200
    assert world.workers("compute") == ["compute.1"]


def test_a_restart_of_a_pool_goes_on_past_a_slot_that_was_bad_before():
    world = a_running_world(a_config(compute=4, supervisor=THREE))
    crash_until_failed(world, "compute.1")
    world.doomed.add("compute.1")
    before = {worker: world.alive[worker].incarnation for worker in world.workers("compute")}
    asker = world.ask(Restart("compute"))
    world.settle()
    world.pass_time(5.0)
    assert all(world.alive[worker].incarnation > incarnation for worker, incarnation in before.items())
    assert world.answer(asker).status == 500
    assert world.answer(asker).body.what.startswith("compute.1 does not come back: ")
    assert world.answer(asker).body.what.endswith("; 3 of 4 are restarted")


def test_a_restart_is_not_held_up_by_one_that_has_hung_at_its_start_all_the_time():
    world = a_running_world(a_config(compute=4, supervisor=THREE))
    world.mute.add("compute.5")
    world.ask(Scale("compute", "5", timeout_s=300.0))
    world.settle()
    hung = world.alive["compute.5"].incarnation
    before = {worker: world.alive[worker].incarnation for worker in world.workers("compute")}
    asker = world.ask(Restart("compute", timeout_s=300.0))
    world.settle()
    assert all(world.alive[worker].incarnation > incarnation for worker, incarnation in before.items())
    assert world.alive["compute.5"].incarnation > hung
    world.pass_time(120.0)
    assert world.answer(asker).body.what == "compute.5 does not come back: not READY within 30 s; 4 of 5 are restarted"


def test_a_restart_stops_at_the_first_good_one_that_does_not_come_back():
    world = a_running_world(a_config(compute=4, supervisor=THREE))
    before = {worker: world.alive[worker].incarnation for worker in world.workers("compute")}
    world.doomed.update(before)
    asker = world.ask(Restart("compute"))
    world.settle()
    world.pass_time(5.0)
    assert world.answer(asker).status == 500
    assert {worker: world.alive[worker].incarnation for worker in world.workers("compute")} == {
        worker: incarnation for worker, incarnation in before.items() if worker != "compute.1"
    }


# --- a zygote that fails ----------------------------------------------------------------------------------------------


def a_world_whose_handler_no_longer_imports():
    world = a_running_world(a_config(supervisor=THREE))
    world.imports = False
    world.die("zygote.compute", -signal.SIGSEGV)
    world.settle()
    for _ in range(3):
        fail_import(world)
    return world


def fail_import(world):
    """The zygote says why it leaves; and time for the next, if there will be one."""
    zygote = world.alive.pop("zygote.compute", None)
    if zygote is None:
        return
    world.tell(HandlerFailed("zygote.compute", zygote.incarnation, "Traceback …\nImportError: gone"))
    world.tell(Exited("zygote.compute", zygote.incarnation, 1))
    world.pass_time(1.0)


def test_workers_live_on_when_their_handler_no_longer_imports_and_the_pool_says_so():
    world = a_world_whose_handler_no_longer_imports()
    assert world.workers("compute") == ["compute.1", "compute.2"]
    assert pool(world).trouble == (
        "no new workers, its handler cannot be imported: ImportError: gone; `primectl restart compute` tries again"
    )
    told = ending(world, "fatal")
    assert (told.subject, told.lines) == ("zygote.compute", ("Traceback …", "ImportError: gone"))
    assert world.cluster.snapshot().state is ClusterState.RUNNING


def test_a_restart_takes_no_worker_away_before_the_handler_imports_again():
    world = a_world_whose_handler_no_longer_imports()
    before = {worker: world.alive[worker].incarnation for worker in world.workers("compute")}
    asker = world.ask(Restart("compute"))
    assert world.progress(asker)[-1].text == "restarted 0 of 2, now its handler is imported (zygote.compute)"
    for _ in range(3):
        fail_import(world)
    assert world.answer(asker).status == 500
    assert world.answer(asker).body.what == "the handler of compute cannot be imported: ImportError: gone"
    assert {worker: world.alive[worker].incarnation for worker in world.workers("compute")} == before


def test_a_restart_of_the_pool_brings_its_zygote_back_and_then_its_workers():
    world = a_world_whose_handler_no_longer_imports()
    world.imports = True
    assert world.do(Restart("compute")).body.processes == ["compute.1", "compute.2"]
    assert pool(world).trouble == ""


def test_a_restart_brings_back_the_zygote_the_workers_that_it_lacked_and_then_replaces_the_others():
    world = a_world_whose_handler_no_longer_imports()
    assert world.do(Scale("compute", "3")) is None
    for _ in range(3):
        fail_import(world)
    assert world.state("compute.3") == "failed"
    world.imports = True
    assert sorted(world.do(Restart("compute")).body.processes) == ["compute.1", "compute.2", "compute.3"]


# --- what the cluster cannot do without -------------------------------------------------------------------------------


def with_essentials(*, server=True, proxy=True, workers=False, servers=1):
    config = a_config(supervisor=SupervisorConfig(crash_limit=2, stop_timeout=5.0))
    pools = {
        name: PoolConfig(handler=pool.handler, workers=pool.workers, proxy_essential=proxy, essential=workers)
        for name, pool in config.pools.items()
    }
    front = ServerConfig(essential=server, processes=servers)
    return a_running_world(Config(cluster=config.cluster, server=front, pools=pools, supervisor=config.supervisor))


@pytest.mark.parametrize(
    ("name", "key"), [("server.1", "server.essential"), ("proxy.compute", "pools.compute.proxy_essential")]
)
def test_the_failure_of_what_is_essential_stops_the_cluster_cleanly_and_says_why(name, key):
    world = with_essentials()
    for _ in range(2):
        world.die(name, 3, "it broke")
        world.settle()
        world.pass_time(0.5)
    world.pass_time(10.0)
    assert world.alive == {}
    what = f"{name} has failed: exit status 3: it broke; {key} is true"
    assert world.outcome == EssentialFailure(name, what, ("it broke",))
    assert what in world.told("fatal")
    assert world.told("stopping") == ["stopping within 5 s"]
    assert len(world.told("stopped")) == 1


def test_the_last_worker_of_an_essential_pool_stops_the_cluster_and_not_the_first():
    world = with_essentials(workers=True)
    crash_until_failed(world, "compute.1")
    assert world.cluster.snapshot().state is ClusterState.RUNNING
    while world.cluster.snapshot().state is ClusterState.RUNNING:
        world.die("compute.2")
        world.settle()
        world.pass_time(0.5)
    world.pass_time(10.0)
    assert world.outcome.what.startswith("compute.2, the last of 2, has failed: exit status 1")


def test_as_long_as_one_server_can_run_the_cluster_does():
    world = with_essentials(servers=2)
    crash_until_failed(world, "server.1")
    assert world.cluster.snapshot().state is ClusterState.RUNNING


def test_what_is_not_essential_fails_alone_and_can_be_tried_again():
    world = with_essentials(server=False, proxy=False)
    for name in ("server.1", "proxy.compute", "compute.1", "compute.2"):
        crash_until_failed(world, name)
    assert world.cluster.snapshot().state is ClusterState.RUNNING
    for target in ("server.1", "proxy.compute", "compute"):
        assert world.do(Restart(target)).status == 200
    assert {process.state for process in world.cluster.snapshot().processes} == {"running"}


def test_while_the_stop_that_an_essential_failure_brings_is_under_way_workers_are_still_replaced():
    world = with_essentials()
    world.alive["server.1"].deaf = True
    for _ in range(2):
        world.die("proxy.parse", 3)
        world.settle()
    assert world.cluster.snapshot().state is ClusterState.STOPPING
    world.die("compute.1", -signal.SIGSEGV)
    world.settle()
    assert world.state("compute.1") == "running"
