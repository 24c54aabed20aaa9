"""The whole cluster as a core: starts, deaths, orders, the stop."""

import signal

import pytest
from msgspec import structs

from primectl.config.model import SupervisorConfig
from primectl.wire.control import (
    Hello,
    Kill,
    Killed,
    KillNow,
    ProcessGone,
    ProcessReady,
    Readiness,
    Refusal,
    Restart,
    Restarted,
    Retire,
    Scale,
    Scaled,
    Stop,
    Stopped,
)
from primectl.wire.stats import ClusterState, ProxySample, Ready, ReportEnvelope, ServerSample, WorkerLoad, WorkerSample
from supervisor.events import (
    Begun,
    Broadcast,
    CameUp,
    CloseListeners,
    CloseZygote,
    Exec,
    Exited,
    Fork,
    HandlerFailed,
    Heard,
    Kind,
    Signal,
    SignalStray,
    Spawned,
    StartFailure,
    Subscribed,
    Ticked,
)
from supervisor.hearing import STRANGERS_A_BEAT
from tests.support.world import World, a_config, a_running_world


def pool(world, name="compute"):
    return next(pool for pool in world.cluster.snapshot().pools if pool.name == name)


def process(world, name):
    return next(process for process in world.cluster.snapshot().processes if process.id == name)


def a_proxy_sample(loads, **figures):
    base = {
        "queued": 0,
        "in_flight": 0,
        "oldest_wait_s": 0.0,
        "arrived": 0,
        "done": 0,
        "failed": 0,
        "retried": 0,
        "service_s": 0.0,
        "latency": [],
    }
    return ProxySample(**{**base, **figures}, workers=loads)


def a_load(world, worker, holding):
    return WorkerLoad(worker, world.alive[worker].incarnation, holding)


# --- the start --------------------------------------------------------------------------------------------------------


def test_at_the_start_everything_is_spawned_at_once_and_workers_once_their_handler_is_imported():
    world = World(a_config(compute=2, parse=1))
    begun = world.tell(Begun("http://127.0.0.1:8002"))
    assert [action.process for action in begun if isinstance(action, Exec)] == [
        "server.1",
        "proxy.parse",
        "proxy.compute",
        "zygote.parse",
        "zygote.compute",
    ]
    assert not [action for action in begun if isinstance(action, Fork)]
    forks = [action for action in world.settle() if isinstance(action, Fork)]
    assert {fork.pool: [worker.process for worker in fork.workers] for fork in forks} == {
        "parse": ["parse.1"],
        "compute": ["compute.1", "compute.2"],
    }


def test_a_process_that_listens_hears_hello_at_once_and_again_until_it_is_ready():
    world = World(a_config(spawn="exec"))
    world.tell(Begun(""))
    world.pending.clear()
    server = world.alive["server.1"]
    server.deaf = True
    assert (
        "proc.server.1",
        Hello(),
    ) in world.sent(world.tell(Subscribed("server.1")))
    assert ("proc.server.1", Hello()) in world.sent(world.pass_time(0.06))
    world.report("server.1", Ready(server.pid))
    assert ("proc.server.1", Hello()) not in world.sent(world.pass_time(0.5))


def test_a_process_that_is_to_leave_before_it_was_ready_is_greeted_no_more():
    world = a_running_world(a_config(spawn="exec"))
    world.ask(Scale("compute", "3"))
    life = world.alive["compute.3"]
    life.deaf = True
    world.settle()
    world.ask(Scale("compute", "2"))
    assert ("proc.compute.3", Hello()) not in world.sent(world.pass_time(1.0))


def test_the_cluster_is_running_when_every_process_has_said_ready():
    world = World()
    world.tell(Begun("http://127.0.0.1:8002"))
    ready = [event for event in world.pending if isinstance(event, Spawned)]
    assert ready
    assert world.cluster.snapshot().state is ClusterState.STARTING
    actions = world.settle()
    assert world.cluster.snapshot().state is ClusterState.RUNNING
    assert sum(isinstance(action, CameUp) for action in actions) == 1
    assert world.sent(actions)[-1] == ("role.server", Readiness(True))


def test_while_it_starts_it_says_what_it_waits_for():
    world = World(a_config(spawn="exec"))
    world.tell(Begun(""))
    assert world.cluster.snapshot().progress.startswith("0 of 6 processes ready, waiting for server.1")
    world.settle()
    assert world.cluster.snapshot().progress == ""


def test_a_ready_proxy_is_told_to_all_so_that_workers_announce_themselves():
    world = World()
    actions = world.start()
    incarnation = world.alive["proxy.compute"].incarnation
    assert ("all", ProcessReady("proxy.compute", incarnation)) in world.sent(actions)


def test_a_process_that_dies_while_the_cluster_starts_fails_the_start_and_everything_is_ended():
    world = World()
    world.tell(Begun(""))
    world.die("server.1", 3, "2026-01-01T00:00:00.000Z INFO starting", "OSError: no such thing")
    world.settle()
    assert world.alive == {}
    assert world.outcome == StartFailure(
        "server.1",
        "server.1 did not come up: exit status 3: OSError: no such thing",
        ("2026-01-01T00:00:00.000Z INFO starting", "OSError: no such thing"),
    )


def test_a_handler_that_cannot_be_imported_fails_the_start_with_the_traceback():
    world = World()
    world.imports = False
    world.start()
    zygote = world.alive["zygote.compute"]
    world.tell(HandlerFailed(zygote.process, zygote.incarnation, "Traceback …\nModuleNotFoundError: No module 'm'"))
    world.settle()
    assert world.alive == {}
    assert world.outcome == StartFailure(
        "zygote.compute",
        "pools.compute.handler: m:compute cannot be imported",
        ("Traceback …", "ModuleNotFoundError: No module 'm'"),
    )


def test_limits_or_an_identity_that_cannot_be_taken_on_fail_the_start_with_their_own_key():
    world = World()
    world.imports = False
    world.start()
    zygote = world.alive["zygote.compute"]
    refused = "pools.compute.cwd: user www-data cannot enter /srv: Permission denied"
    world.tell(HandlerFailed(zygote.process, zygote.incarnation, refused))
    world.settle()
    assert world.outcome == StartFailure("zygote.compute", refused, (refused,))


def test_a_process_that_is_not_ready_in_time_fails_the_start():
    world = World(a_config(spawn="exec"))
    world.tell(Begun(""))
    world.alive["compute.1"].deaf = True
    world.settle()
    world.pass_time(29.0)
    assert world.outcome is None
    world.pass_time(2.0)
    assert world.alive == {}
    assert world.outcome.what == "compute.1 did not come up: not READY within 30 s"


def test_a_zygote_that_takes_a_wish_and_says_nothing_is_ended_and_fails_the_start():
    world = World()
    world.zygotes_hold_back = True
    world.start()
    world.pass_time(31.0)
    assert world.alive == {}
    assert isinstance(world.outcome, StartFailure)


# --- deaths -----------------------------------------------------------------------------------------------------------


def test_a_workers_death_is_told_to_its_pool_and_the_servers_before_anything_else():
    world = a_running_world()
    incarnation = world.alive["compute.1"].incarnation
    actions = world.die("compute.1", -signal.SIGSEGV)
    gone = ProcessGone("compute.1", incarnation)
    assert actions[:2] == [Broadcast("pool.compute", gone), Broadcast("role.server", gone)]


def test_a_worker_that_dies_once_is_back_at_once_with_the_same_id_and_a_later_incarnation():
    world = a_running_world()
    before = world.alive["compute.1"].incarnation
    world.die("compute.1", -signal.SIGSEGV)
    world.settle()
    assert world.alive["compute.1"].incarnation > before
    assert process(world, "compute.1").restarts == 1
    assert process(world, "compute.1").cause == "killed by SIGSEGV"
    assert world.told("ready") == ["compute.1 is back"]


def test_further_crashes_wait_longer_and_longer():
    world = a_running_world()
    for wait_s in (0.0, 0.1, 0.2):
        world.die("compute.1")
        world.settle()
        if wait_s:
            assert world.state("compute.1") == "backoff"
            world.pass_time(wait_s * 0.9)
            assert "compute.1" not in world.alive
            world.pass_time(wait_s * 0.2)
        assert world.state("compute.1") == "running"


def test_a_crash_loop_ends_in_failed_with_its_cause_and_an_operator_ends_that():
    world = a_running_world(a_config(supervisor=SupervisorConfig(crash_limit=3)))
    for _ in range(3):
        world.die("compute.1", 1, "ValueError: no")
        world.settle()
        world.pass_time(1.0)
    assert world.state("compute.1") == "failed"
    assert world.told("fatal") == ["compute.1 failed after 3 crashes: exit status 1: ValueError: no"]
    assert pool(world).failed_workers == 1
    world.pass_time(1000.0)
    assert world.state("compute.1") == "failed"
    assert world.do(Restart("compute.1")).status == 200
    assert world.state("compute.1") == "running"


def test_sigkill_from_outside_once_a_second_never_fails_a_process():
    world = a_running_world()
    for _ in range(60):
        world.pass_time(1.0)
        world.die("proxy.compute", -signal.SIGKILL)
        world.settle()
        assert world.state("proxy.compute") == "running"


def test_a_zygotes_death_leaves_its_workers_alone():
    world = a_running_world()
    world.die("zygote.compute", -signal.SIGKILL)
    world.settle()
    assert world.workers("compute") == ["compute.1", "compute.2"]
    assert world.state("compute.1") == "running"
    assert world.do(Scale("compute", "3")).status == 200


def test_what_a_zygote_was_asked_and_did_not_tell_is_asked_of_the_next_under_a_new_incarnation():
    world = a_running_world()
    world.zygotes_hold_back = True
    world.ask(Scale("compute", "3"))
    old = next(action for action in reversed(world.actions) if isinstance(action, Fork)).workers[0]
    world.zygotes_hold_back = False
    world.die("zygote.compute", -signal.SIGKILL)
    world.settle()
    assert world.alive["compute.3"].incarnation > old.incarnation
    strayed = Heard(ReportEnvelope("compute.3", old.incarnation, 1, Ready(4711)))
    assert world.tell(strayed) == [SignalStray(4711, "compute.3")]


def test_workers_of_a_handler_that_no_longer_imports_fail_with_its_cause_when_the_zygote_does():
    world = a_running_world(a_config(supervisor=SupervisorConfig(crash_limit=1)))
    world.imports = False
    world.die("zygote.compute", -signal.SIGSEGV)
    world.settle()
    asker = world.ask(Scale("compute", "3"))
    world.settle()
    assert world.answer(asker) is None, "it is tried again"
    world.die("zygote.compute", -signal.SIGSEGV)
    refused = world.answer(asker)
    assert refused.status == 500
    assert "compute.3 failed: its handler cannot be imported: killed by SIGSEGV" in refused.body.what


def test_a_birth_that_nobody_waits_for_is_ended():
    world = a_running_world()
    assert world.tell(Spawned("compute.1", 7, 4711)) == [SignalStray(4711)]


# --- what is told to servers ------------------------------------------------------------------------------------------


def test_readiness_is_told_at_every_change_and_once_a_second():
    world = a_running_world(a_config(compute=1))
    world.alive["compute.1"].deaf = True
    actions = world.die("compute.1")
    assert world.sent(actions)[-1] == ("role.server", Readiness(False, "pool compute has no worker"))
    assert ("role.server", Readiness(True)) in world.sent(world.settle())
    assert world.sent(world.pass_time(1.0)) == [("role.server", Readiness(True))]


def test_a_pool_that_shall_have_no_workers_does_not_make_the_cluster_unready():
    world = a_running_world()
    world.do(Scale("parse", "0"))
    assert world.sent(world.pass_time(1.0))[-1] == ("role.server", Readiness(True))


# --- scale ------------------------------------------------------------------------------------------------------------


def test_scale_up_ends_when_the_new_workers_are_ready_and_forks_them_in_one_go():
    world = a_running_world()
    asker = world.ask(Scale("compute", "64"))
    forks = [action for action in world.actions if isinstance(action, Fork)]
    assert [len(fork.workers) for fork in forks] == [62]
    assert world.answer(asker) is None
    world.settle()
    answer = world.answer(asker)
    assert (answer.status, structs.replace(answer.body, seconds=0, operation=0)) == (200, Scaled("compute", 2, 64, 0))
    assert len(world.workers("compute")) == 64


def test_scale_down_retires_idle_workers_first():
    world = a_running_world(a_config(compute=3))
    world.report("proxy.compute", a_proxy_sample([a_load(world, "compute.3", 1)]))
    assert world.do(Scale("compute", "-2")).status == 200
    assert world.workers("compute") == ["compute.3"]


def test_a_newer_scale_of_a_pool_overrides_the_older_and_says_so():
    world = a_running_world()
    older = world.ask(Scale("compute", "8"))
    newer = world.ask(Scale("compute", "4"))
    world.settle()
    assert world.answer(older).status == 409
    assert world.answer(older).body.what == "a newer scale of compute to 4 by alice took the place of this one"
    assert world.answer(newer).status == 200
    assert len(world.workers("compute")) == 4


def test_scales_of_two_pools_do_not_wait_for_each_other():
    world = a_running_world()
    world.zygotes_hold_back = True
    stuck = world.ask(Scale("compute", "3"))
    world.zygotes_hold_back = False
    assert world.do(Scale("parse", "2")).status == 200
    assert world.answer(stuck) is None


@pytest.mark.parametrize(
    ("order", "status", "what"),
    [
        (Scale("compute", "65"), 400, "compute cannot have 65 workers: max_workers is 64"),
        (Scale("compute", "-3"), 400, "compute has 2 workers, -3 would leave it -1"),
        (Scale("compute", "many"), 400, 'compute cannot have "many" workers'),
        (Scale("compile", "1"), 404, 'there is no pool "compile"'),
        (Kill("compute.9"), 404, 'no pool or process is called "compute.9"'),
        (Kill("supervisor"), 400, "the supervisor cannot be addressed"),
        (Restart("zygote.compute"), 404, 'no pool or process is called "zygote.compute"'),
    ],
)
def test_what_cannot_be_is_refused_in_words_and_nothing_moves(order, status, what):
    world = a_running_world()
    before = {life.process: life.incarnation for life in world.alive.values()}
    answer = world.do(order)
    assert (answer.status, answer.body.what) == (status, what)
    assert {life.process: life.incarnation for life in world.alive.values()} == before


def test_a_scale_that_is_not_done_in_time_says_how_far_it_is_and_goes_on():
    world = a_running_world()
    world.alive["compute.2"].deaf = True
    asker = world.ask(Scale("compute", "3", timeout_s=0.5))
    world.pending.clear()
    world.pass_time(0.6)
    assert world.answer(asker).status == 504
    assert world.answer(asker).body.what == "after 0.5 s compute has 2 of 3 workers"
    assert pool(world).target == 3


# --- kill -------------------------------------------------------------------------------------------------------------


def test_kill_is_a_broadcast_confirmed_by_the_deaths_seen_and_replaced_without_backoff():
    world = a_running_world()
    asker = world.ask(Kill("compute"))
    assert ("proc.compute.1", KillNow(1)) in world.sent(world.actions)
    assert world.answer(asker) is None
    world.settle()
    answer = world.answer(asker)
    assert (answer.status, structs.replace(answer.body, seconds=0, operation=0)) == (
        200,
        Killed("compute", ["compute.1", "compute.2"], ["compute.1", "compute.2"], [], 0, 0),
    )
    assert world.state("compute.1") == world.state("compute.2") == "running"
    assert world.told("crashed") == []


def test_kill_all_reaches_every_worker_and_nobody_else():
    world = a_running_world()
    answer = world.do(Kill("all"))
    assert sorted(answer.body.acknowledged) == ["compute.1", "compute.2", "parse.1"]
    assert process(world, "server.1").restarts == process(world, "proxy.compute").restarts == 0


def test_who_does_not_obey_gets_sigkill_after_the_grace():
    world = a_running_world()
    life = world.alive["compute.2"]
    life.deaf = True
    asker = world.ask(Kill("compute", grace_s=0.5))
    world.settle()
    assert world.answer(asker) is None
    actions = world.pass_time(0.6)
    assert Signal("compute.2", life.incarnation, signal.SIGKILL) in actions
    assert world.answer(asker).body.forced == ["compute.2"]


def test_kill_counts_the_jobs_that_were_held():
    world = a_running_world()
    loads = [a_load(world, "compute.1", 3), a_load(world, "compute.2", 0)]
    world.report("proxy.compute", a_proxy_sample(loads))
    assert world.do(Kill("compute")).body.lost_jobs == 3


def test_a_kill_that_even_sigkill_does_not_finish_times_out_naming_who_is_left():
    world = a_running_world()
    incarnation = world.alive["compute.1"].incarnation
    asker = world.ask(Kill("compute.1", grace_s=0.1, timeout_s=1.0))
    world.pending.clear()
    world.pass_time(1.1)
    assert world.answer(asker).status == 504
    assert world.answer(asker).body.what == "KILL acknowledged by 0 of 1: compute.1 have not left"
    world.tell(Exited("compute.1", incarnation, 0))
    world.settle()
    assert world.state("compute.1") == "running"


# --- restart ----------------------------------------------------------------------------------------------------------


def test_a_restart_rolls_and_never_takes_all_workers_of_a_pool_at_once():
    world = a_running_world(a_config(compute=4))
    before = {worker: world.alive[worker].incarnation for worker in world.workers("compute")}
    asker = world.ask(Restart("compute"))
    fewest = 4
    while world.pending:
        world.tell(world.pending.pop(0))
        fewest = min(fewest, pool(world).workers - pool(world).draining)
    answer = world.answer(asker)
    assert answer.status == 200
    assert answer.body.processes == ["compute.1", "compute.2", "compute.3", "compute.4"]
    assert all(world.alive[worker].incarnation > incarnation for worker, incarnation in before.items())
    assert fewest == 3
    assert isinstance(answer.body, Restarted)


def test_servers_and_proxies_can_be_restarted_too():
    world = a_running_world()
    assert world.do(Restart("role.proxy")).body.processes == ["proxy.parse", "proxy.compute"]
    assert world.do(Restart("server.1")).body.processes == ["server.1"]


# --- the stop ---------------------------------------------------------------------------------------------------------


def test_the_clean_stop_goes_front_to_back_and_reports_what_was_finished():
    world = a_running_world()
    asker = world.ask(Stop(10.0))
    order = []
    while world.pending:
        event = world.pending.pop(0)
        if isinstance(event, Exited):
            order.append(event.process)
        world.tell(event)
    ranks = [["server", "zygote", "compute", "parse", "proxy"].index(name.partition(".")[0]) for name in order]
    assert order[0] == "server.1"
    assert [rank == 4 for rank in ranks] == sorted(rank == 4 for rank in ranks), "proxies leave last"
    stopped = world.answer(asker).body
    assert structs.replace(stopped, seconds=0, operation=0) == Stopped("test", 3, 1, 6, [], 0)
    assert world.outcome == stopped
    assert world.cluster.next_deadline() is None


def test_a_stop_closes_the_listeners_and_drains_the_servers_first():
    world = a_running_world()
    actions = world.tell()
    world.ask(Stop(10.0))
    actions = world.actions
    assert CloseListeners() in actions
    assert ("proc.server.1", Retire(1, 10.0)) in world.sent(actions)
    assert ("role.server", Readiness(False, "the cluster is stopping")) in world.sent(actions)
    assert not [action for action in actions if isinstance(action, CloseZygote)]


def test_while_servers_drain_a_worker_that_dies_is_still_replaced():
    world = a_running_world()
    world.alive["server.1"].deaf = True
    world.ask(Stop(10.0))
    world.die("compute.1", -signal.SIGSEGV)
    world.settle()
    assert world.state("compute.1") == "running"


def test_a_server_that_dies_in_the_drain_does_not_hang_the_stop_and_its_requests_count_as_cancelled():
    world = a_running_world()
    world.report("server.1", ServerSample(5, 2, 10, [0] * 6, []))
    world.alive["server.1"].deaf = True
    asker = world.ask(Stop(10.0))
    world.die("server.1", -signal.SIGKILL)
    world.settle()
    assert world.answer(asker).body.cancelled == 2
    assert world.alive == {}


def test_when_the_time_is_over_force_grows_until_everybody_has_left():
    world = a_running_world()
    for life in world.alive.values():
        life.deaf = life.kind is not Kind.ZYGOTE
    server = world.alive["server.1"]
    asker = world.ask(Stop(2.0))
    world.settle()
    assert [a for a in world.pass_time(1.1) if isinstance(a, Signal)] == [
        Signal("server.1", server.incarnation, signal.SIGTERM)
    ], "not acknowledged, so the signal that means the same"
    assert any(
        isinstance(command, Retire) and command.timeout_s == 0.0 for _, command in world.sent(world.pass_time(1))
    )
    assert world.answer(asker) is None
    world.pass_time(2.0)
    stopped = world.answer(asker).body
    assert sorted(stopped.killed) == ["compute.1", "compute.2", "parse.1", "proxy.compute", "proxy.parse", "server.1"]
    assert world.alive == {}


def test_a_stop_without_time_kills_at_once():
    world = a_running_world()
    world.report("server.1", ServerSample(5, 7, 10, [0] * 6, []))
    answer = world.do(Stop(0.0))
    assert world.alive == {}
    assert answer.body.cancelled == 7


def test_a_second_stop_without_time_turns_the_first_into_a_kill_and_both_are_answered():
    world = a_running_world()
    world.alive["server.1"].deaf = True
    first = world.ask(Stop(30.0))
    world.settle()
    second = world.ask(Stop(0.0))
    world.settle()
    assert world.answer(first).status == world.answer(second).status == 200
    assert "server.1" in world.answer(first).body.killed


def test_while_stopping_nothing_is_scaled_or_restarted_and_who_waited_is_told():
    world = a_running_world()
    world.zygotes_hold_back = True
    waiting = world.ask(Scale("compute", "3"))
    world.alive["server.1"].deaf = True
    world.ask(Stop(30.0))
    assert world.answer(waiting).status == 409
    for order in (Scale("compute", "1"), Restart("compute")):
        assert (refused := world.do(order)).status == 409
        assert isinstance(refused.body, Refusal)


def test_a_cluster_can_be_stopped_while_it_starts():
    world = World()
    world.tell(Begun(""))
    asker = world.ask(Stop(5.0))
    world.settle()
    world.pass_time(5.0)
    assert world.answer(asker).status == 200
    assert world.alive == {}


def test_a_stop_leaves_what_even_sigkill_does_not_end():
    world = a_running_world()
    asker = world.ask(Stop(0.0))
    world.pending.clear()
    world.pass_time(6.0)
    assert world.answer(asker).status == 200
    assert "compute.1" in world.answer(asker).body.killed


# --- reports ----------------------------------------------------------------------------------------------------------


def test_word_from_an_earlier_life_is_counted_and_ignored():
    world = a_running_world()
    old = world.alive["compute.1"].incarnation
    world.do(Kill("compute.1"))
    world.tell(Heard(ReportEnvelope("compute.1", old, 9, WorkerSample(99, 0, True))))
    assert process(world, "compute.1").jobs == 0
    assert world.cluster.snapshot().counters == {"stale_reports": 1}


def test_word_from_nobody_is_counted_and_who_it_is_is_asked_once_a_second():
    world = a_running_world()
    stray = Heard(ReportEnvelope("nobody", 1, 1, WorkerSample(1, 0, False)))
    asked = [Broadcast("proc.nobody", Hello())]
    assert [world.tell(stray), world.tell(stray)] == [asked, []]
    assert world.cluster.snapshot().counters == {"unknown_senders": 2}
    world.pass_time(1.1)
    assert world.tell(stray) == asked


def test_not_everybody_is_asked_when_thousands_say_that_they_are_somebody():
    world = a_running_world()
    said = [Heard(ReportEnvelope(f"x.{n}", 1, 1, WorkerSample(1, 0, False))) for n in range(1000)]
    assert len(world.tell(*said)) == STRANGERS_A_BEAT


def test_figures_that_cannot_be_reckoned_with_are_counted_and_ignored():
    world = a_running_world()
    world.report("proxy.compute", a_proxy_sample([], latency=[-5]))
    world.report("proxy.compute", a_proxy_sample([], service_s=float("nan")))
    world.report("compute.1", WorkerSample(1, 0, True, job_s=float("inf")))
    assert world.cluster.snapshot().counters == {"unsound_reports": 3}


def test_lost_reports_are_seen_by_their_numbers():
    world = a_running_world()
    life = world.alive["compute.1"]
    life.sequence += 3
    world.report("compute.1", WorkerSample(1, 0, False))
    assert world.cluster.snapshot().counters == {"lost_reports": 3}


def test_busy_and_idle_always_add_up_to_the_workers():
    world = a_running_world(a_config(compute=3))
    loads = [a_load(world, "compute.1", 2), a_load(world, "compute.2", 0)]
    world.report("proxy.compute", a_proxy_sample(loads, queued=5, in_flight=2))
    world.report("compute.3", WorkerSample(4, 0, True, 0.5))
    shown = pool(world)
    assert (shown.workers, shown.busy, shown.idle, shown.queued, shown.in_flight) == (3, 2, 1, 5, 2)
    assert process(world, "compute.3").job_s == 0.5


def test_processes_are_shown_in_reading_order_and_zygotes_are_not():
    world = a_running_world(a_config(compute=11, parse=1))
    assert [p.id for p in world.cluster.snapshot().processes] == [
        "supervisor",
        "server.1",
        "proxy.parse",
        "parse.1",
        "proxy.compute",
        *(f"compute.{number}" for number in range(1, 12)),
    ]


def test_a_tick_without_a_deadline_changes_nothing():
    world = a_running_world()
    assert world.tell(Ticked()) == []
