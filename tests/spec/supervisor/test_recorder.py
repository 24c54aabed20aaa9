"""The recorder among the processes of a cluster: looked after like any, waited for by nobody for long."""

import signal

import pytest
from msgspec import structs

from primectl.config.model import SupervisorConfig
from primectl.wire.control import Kill, ProcessReady, Reread, Restart, Retire, Stop
from primectl.wire.stats import RecorderSample, ServerSample
from supervisor.events import ApplyOrder, Broadcast, CameUp, Exec, Kind, Looked, Probed
from supervisor.stopping import WRITE_S
from tests.support.world import World, a_config, a_running_world

CONFIG = a_config(journal=True)


def journal(world):
    return world.cluster.snapshot().journal


def came_up(world):
    return [action for action in world.actions if isinstance(action, CameUp)]


def recorder(world):
    return world.alive["recorder"]


def a_sample(rows=0, **figures):
    return RecorderSample(rows, 0, **figures)


def set_to(world, **keys):
    return structs.replace(world.config, journal=structs.replace(world.config.journal, **keys))


def apply(world, config):
    world.actions.clear()
    answer = world.do(ApplyOrder(config, "test.toml", ""))
    assert answer is not None
    assert answer.status == 200, answer.body


# --- it starts ------------------------------------------------------------------------------------------------------


def test_it_is_started_before_anybody_else():
    world = World(CONFIG)
    begun = [action for action in world.start() if isinstance(action, Exec)]
    assert begun[0].process == "recorder"
    assert (begun[0].kind, begun[0].pool) == (Kind.RECORDER, "")


def test_without_a_journal_there_is_none():
    world = a_running_world(a_config(journal=False))
    assert "recorder" not in world.alive
    assert journal(world).state == "off"


def test_it_is_shown_last_with_its_role():
    processes = a_running_world(CONFIG).cluster.snapshot().processes
    assert [(p.id, p.role, p.pool) for p in processes][-1] == ("recorder", "recorder", "")


def test_the_start_waits_for_its_first_word():
    world = World(CONFIG)
    world.mute.add("recorder")
    world.start()
    assert came_up(world) == []
    assert "recorder" in world.cluster.snapshot().progress
    world.report("recorder", a_sample())
    assert came_up(world) == [], "it is not READY"


def test_a_recorder_that_hangs_holds_up_the_start_for_a_while_only():
    world = World(CONFIG)
    world.mute.add("recorder")
    world.start()
    world.pass_time(11.0)
    assert [up.unrecorded for up in came_up(world)] == ["the recorder is not ready yet"]
    assert world.cluster.snapshot().state == "running"


def test_a_recorder_that_crashes_as_it_starts_ends_no_cluster():
    world = World(CONFIG)
    world.doomed.add("recorder")
    world.start()
    world.pass_time(1.0)
    assert [up.unrecorded for up in came_up(world)] == ["the recorder ended: exit status 1"]
    world.pass_time(60.0)
    assert world.state("recorder") == "failed"
    assert world.cluster.snapshot().state == "running"
    assert journal(world).state == "stopped"
    assert journal(world).trouble == "the recorder has failed: exit status 1"


def test_what_it_cannot_write_to_is_told_when_the_cluster_is_up():
    world = World(CONFIG)
    world.recorded = a_sample(trouble="the disk is full")
    world.start()
    assert [up.unrecorded for up in came_up(world)] == ["the disk is full"]


def test_who_serves_hears_of_it():
    world = World(CONFIG)
    begun = world.start()
    ready = ProcessReady("recorder", recorder(world).incarnation)
    assert ("role.server", ready) in world.sent(begun)
    assert ready not in [command for topic, command in world.sent(begun) if topic != "role.server"]


# --- it ends --------------------------------------------------------------------------------------------------------


def test_one_that_was_killed_is_back_at_once_and_servers_hear_of_its_next_life():
    world = a_running_world(CONFIG)
    first = recorder(world).incarnation
    world.die("recorder", -signal.SIGKILL)
    actions = world.settle()
    assert recorder(world).incarnation > first
    assert ("role.server", ProcessReady("recorder", recorder(world).incarnation)) in world.sent(actions)
    assert journal(world).state == "recording"
    assert world.told("journal") == []


def test_none_but_servers_hear_of_its_end():
    world = a_running_world(CONFIG)
    sent = world.sent(world.die("recorder", 1))
    assert all(topic == "proc.recorder" for topic, _ in sent), sent


def test_a_recorder_that_fails_costs_no_readiness():
    world = a_running_world(CONFIG)
    world.doomed.add("recorder")
    world.die("recorder", 1)
    world.pass_time(60.0)
    assert world.state("recorder") == "failed"
    assert world.cluster._books.told_readiness.ready


def test_one_that_is_stopped_is_replaced():
    world = a_running_world(CONFIG)
    first = recorder(world).incarnation
    for _ in range(5):
        world.tell(Probed("recorder", recorder(world).incarnation, 0.0, 0, stopped=True))
        world.settle()
        if recorder(world).incarnation != first:
            break
        world.now += 1.0
    assert recorder(world).incarnation != first
    assert "recorder was stopped (SIGSTOP)" in world.told("suspended")[0]


def test_it_is_killed_and_restarted_by_its_name():
    world = a_running_world(CONFIG)
    first = recorder(world).incarnation
    assert world.do(Kill("recorder")).body.acknowledged == ["recorder"]
    second = recorder(world).incarnation
    assert second > first
    assert world.do(Restart("recorder")).body.processes == ["recorder"]
    assert recorder(world).incarnation > second


def test_role_recorder_addresses_it():
    assert a_running_world(CONFIG).do(Kill("role.recorder")).body.addressed == ["recorder"]


def test_in_a_stop_it_is_the_last_to_leave():
    world = a_running_world(CONFIG)
    world.ask(Stop(10.0))
    while world.pending:
        others = [life for life in world.alive.values() if life.kind is not Kind.RECORDER]
        if others:
            assert not any(isinstance(command, Retire) for command in recorder(world).heard)
        world.tell(world.pending.pop(0))
    assert world.outcome.processes == 7
    assert world.outcome.killed == []


def test_in_a_stop_it_has_a_while_to_write_and_no_longer():
    world = a_running_world(CONFIG)
    recorder(world).deaf = True
    world.ask(Stop(30.0))
    world.settle()
    assert list(world.alive) == ["recorder"]
    world.pass_time(WRITE_S + 1.0)
    assert world.outcome.killed == ["recorder"]


# --- the config changes ---------------------------------------------------------------------------------------------


def test_what_is_recorded_changes_while_it_runs():
    world = a_running_world(CONFIG)
    before = recorder(world).incarnation
    new = set_to(world, redact_headers=("x-secret",), sample=0.5, keep=60.0, max_body=10)
    apply(world, new)
    assert recorder(world).incarnation == before
    assert recorder(world).read == world.alive["server.1"].read == new


def test_it_is_started_when_the_journal_is_switched_on():
    world = a_running_world(a_config(journal=False))
    apply(world, set_to(world, enabled=True))
    assert world.state("recorder") == "running"
    assert journal(world).state == "recording"


def test_it_leaves_when_the_journal_is_switched_off_after_the_servers_have_heard():
    world = a_running_world(CONFIG)
    life = recorder(world)
    apply(world, set_to(world, enabled=False))
    assert "recorder" not in world.alive
    orders = [action.command for action in world.actions if isinstance(action, Broadcast)]
    assert [type(order) for order in life.heard[-2:]] == [Reread, Retire]
    acknowledged = max(n for n, order in enumerate(orders) if isinstance(order, Reread))
    assert acknowledged < orders.index(next(order for order in orders if isinstance(order, Retire)))
    assert journal(world).state == "off"
    assert world.told("journal") == []


def test_while_a_server_has_not_heard_that_the_journal_is_off_it_stays():
    world = a_running_world(CONFIG)
    world.alive["server.1"].deaf = True
    world.ask(ApplyOrder(set_to(world, enabled=False), "test.toml", ""))
    world.settle()
    assert world.state("recorder") == "running"
    world.alive["server.1"].deaf = False
    world.pass_time(1.0)
    assert "recorder" not in world.alive


def test_a_recorder_that_does_not_confirm_holds_up_no_apply():
    world = a_running_world(CONFIG)
    recorder(world).deaf = True
    asker = world.ask(ApplyOrder(set_to(world, sample=0.5), "test.toml", ""))
    world.settle()
    assert world.answer(asker) is None
    world.pass_time(2.0)
    assert world.answer(asker).status == 200


# --- a supervisor dies ----------------------------------------------------------------------------------------------


def test_the_next_supervisor_goes_on_with_it():
    world = a_running_world(CONFIG)
    before = recorder(world).incarnation
    world.supervisor_dies()
    world.take_over()
    world.settle()
    assert recorder(world).incarnation == before
    assert [up.unrecorded for up in came_up(world)] == [""]
    assert not [a for a in world.actions if isinstance(a, Broadcast) and isinstance(a.command, ProcessReady)]


def test_one_that_has_fallen_meanwhile_is_started_and_servers_hear_of_it():
    world = a_running_world(CONFIG)
    world.supervisor_dies()
    del world.alive["recorder"]
    world.take_over()
    world.settle()
    assert world.state("recorder") == "running"
    ready = ProcessReady("recorder", recorder(world).incarnation)
    assert ready in world.alive["server.1"].heard
    assert ready not in world.alive["proxy.parse"].heard
    assert ready not in world.alive["parse.1"].heard


def test_one_that_cannot_be_started_again_fails_no_adoption():
    world = a_running_world(CONFIG)
    world.supervisor_dies()
    del world.alive["recorder"]
    world.doomed.add("recorder")
    world.take_over()
    world.settle()
    world.pass_time(2.0)
    assert [(up.failing, up.unrecorded) for up in came_up(world)] == [((), "the recorder ended: exit status 1")]


# --- what is shown and told -----------------------------------------------------------------------------------------


def test_the_snapshot_has_the_figures_of_the_recorder():
    world = a_running_world(CONFIG)
    for second in range(4):
        rows = 100 * second
        world.report("recorder", RecorderSample(rows, 5000, 90, 77.0, left_out=3))
        world.now += 1.0
    shown = journal(world)
    assert (shown.state, shown.trouble) == ("recording", "")
    assert (shown.rows, shown.size, shown.oldest, shown.left_out) == (90, 5000, 77.0, 3)
    assert shown.rate == pytest.approx(100.0)


def test_what_servers_drop_what_is_lost_and_what_cannot_be_written_is_all_dropped():
    world = a_running_world(CONFIG)
    dropped = ServerSample(0, 0, 9, [0] * 6, [], counters={"journal_dropped": 5, "journal_left_out": 2})
    world.report("server.1", dropped)
    assert journal(world).dropped == 5
    world.report("recorder", a_sample(9, lost=5, left_out=1, refused=2))
    assert journal(world).dropped == 5 + 5 + 2
    assert journal(world).left_out == 3


def test_totals_go_on_over_the_lives_of_recorder_and_servers():
    world = a_running_world(CONFIG)
    counted = ServerSample(0, 0, 9, [0] * 6, [], counters={"journal_dropped": 5, "journal_left_out": 2})
    world.report("server.1", counted)
    world.report("recorder", a_sample(9, kept=40, lost=5, left_out=1, refused=2))
    for process in ("server.1", "recorder"):
        world.die(process, -signal.SIGKILL)
        world.settle()
    world.report("server.1", counted)
    world.report("recorder", a_sample(1, kept=41, lost=6, left_out=1, refused=1))
    shown = journal(world)
    assert (shown.rows, shown.dropped, shown.left_out) == (41, 10 + 11 + 3, 6)


def test_a_trouble_is_told_once_and_its_end():
    world = a_running_world(CONFIG)
    for _ in range(5):
        world.report("recorder", a_sample(trouble="the disk is full"))
        world.pass_time(1.0)
    assert world.told("journal") == ["requests are not recorded: the disk is full"]
    assert (journal(world).state, journal(world).trouble) == ("stopped", "the disk is full")
    world.report("recorder", a_sample())
    world.pass_time(1.0)
    assert world.told("journal")[1:] == ["requests are recorded again"]


def test_dropped_rows_are_told_at_once_and_then_once_a_minute():
    world = a_running_world(CONFIG)
    lost = 0
    for _ in range(59):
        lost += 10
        world.report("recorder", a_sample(lost=lost))
        world.pass_time(1.0)
    assert len(world.told("journal")) == 1
    assert world.told("journal")[0].startswith("10 rows dropped")
    for _ in range(3):
        world.report("recorder", a_sample(lost=lost))
        world.pass_time(1.0)
    assert [text.partition(":")[0] for text in world.told("journal")] == ["10 rows dropped", "580 rows dropped"]


def test_what_an_earlier_supervisor_has_told_is_not_told_again():
    world = a_running_world(CONFIG)
    world.supervisor_dies()
    world.recorded = a_sample(lost=5, refused=1)
    world.take_over()
    world.settle()
    world.report("server.1", ServerSample(0, 0, 9, [0] * 6, [], counters={"journal_dropped": 5}))
    world.pass_time(2.0)
    assert world.told("journal") == []
    assert journal(world).dropped == 11
    world.report("recorder", a_sample(lost=8, refused=1))
    world.pass_time(1.0)
    assert world.told("journal")[0].startswith("3 rows dropped")


def test_a_journal_that_was_set_aside_is_told_once_over_lives_and_supervisors():
    world = a_running_world(CONFIG)
    world.report("recorder", a_sample(counters={"set_aside": 1}))
    world.pass_time(3.0)
    assert [text.partition(":")[0] for text in world.told("journal")] == ["the journal was damaged"]
    world.die("recorder", -signal.SIGKILL)
    world.settle()
    world.recorded = a_sample(counters={"set_aside": 1})
    world.report("recorder", world.recorded)
    world.pass_time(1.0)
    assert len(world.told("journal")) == 2
    world.supervisor_dies()
    world.take_over()
    world.settle()
    world.pass_time(1.0)
    assert len(world.told("journal")) == 2


def test_a_recorder_that_is_silent_records_nothing_as_far_as_anybody_knows():
    world = a_running_world(CONFIG)
    world.pass_time(4.0)
    assert journal(world).state == "recording", "it may be the supervisor that was stopped"
    for _ in range(3):
        world.tell(Looked("recorder", recorder(world).incarnation, works=False, request=None))
    assert (journal(world).state, journal(world).trouble) == ("stopped", "the recorder is silent")


def test_its_crashes_are_those_of_any_process():
    world = a_running_world(a_config(journal=True, supervisor=SupervisorConfig(crash_limit=2)))
    for _ in range(2):
        assert world.state("recorder") == "running"
        world.die("recorder", 1)
        world.settle()
        world.pass_time(0.2)
    assert world.state("recorder") == "failed"
    world.do(Restart("recorder"))
    assert world.state("recorder") == "running"
