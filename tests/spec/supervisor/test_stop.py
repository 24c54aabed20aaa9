"""The stop: its delay, its count of requests, and what hurries it."""

import signal

import pytest
from msgspec import structs

from primectl.config.model import ServerConfig
from primectl.wire.control import Readiness, Restart, Retire, Stop
from primectl.wire.stats import Acknowledged, Ready, ReportEnvelope, ServerSample
from supervisor.events import Action, Begun, Broadcast, CloseListeners, Heard, Probed, Signal
from supervisor.stopping import LAST_ANSWERS_S, TERM_S, WRAP_UP_S
from supervisor.tally import LAST_WORD_S, Tally
from tests.support.world import World, a_config, a_running_world


def delaying(delay_s: float = 5.0) -> World:
    return a_running_world(structs.replace(a_config(), server=ServerConfig(drain_delay=delay_s)))


def retires(world: World) -> list[float | None]:
    """The time that servers were given, in the order in which they were told."""
    return [
        command.timeout_s
        for topic, command in world.sent(world.actions)
        if isinstance(command, Retire) and "server" in topic
    ]


def is_retire(action: Action) -> bool:
    return isinstance(action, Broadcast) and isinstance(action.command, Retire)


def closed(world: World) -> list[CloseListeners]:
    return [action for action in world.actions if isinstance(action, CloseListeners)]


def a_word(finished: int, cancelled: int = 0, *, in_flight: int = 0, last: bool = False) -> ServerSample:
    counters = {"finished": finished, "cancelled": cancelled}
    return ServerSample(0, in_flight, 9, [0] * 6, [], True, counters, last)


# --- the delay --------------------------------------------------------------------------------------------------------


def test_in_the_delay_readiness_is_gone_at_once_and_everybody_serves_on():
    world = delaying()
    world.ask(Stop(30.0))
    world.settle()
    assert ("role.server", Readiness(False, "the cluster is stopping")) in world.sent(world.actions)
    world.die("compute.1", -signal.SIGSEGV)
    world.die("server.1", -signal.SIGSEGV)
    world.settle()
    world.pass_time(4.9)
    assert (world.state("compute.1"), world.state("server.1")) == ("running", "running")
    assert (retires(world), closed(world)) == ([], [])


def test_after_the_delay_nobody_new_is_let_in_and_the_rest_of_the_time_is_for_the_drain():
    world = delaying()
    asker = world.ask(Stop(30.0))
    actions = world.pass_time(5.0)
    orders = [action for action in actions if isinstance(action, CloseListeners) or is_retire(action)]
    assert orders[0] == CloseListeners()
    assert retires(world) == [pytest.approx(25.0)]
    assert len(closed(world)) == 1
    assert world.answer(asker).status == 200


def test_a_stop_that_has_less_time_than_the_delay_goes_on_serving_until_then():
    world = delaying()
    world.ask(Stop(2.0))
    world.pass_time(1.9)
    assert closed(world) == []
    world.pass_time(0.1)
    assert len(closed(world)) == 1
    assert retires(world)[0] == 0.0


@pytest.mark.parametrize("hurry", [Stop(0.0), Stop(1.0)])
def test_another_order_to_stop_can_end_the_delay_sooner(hurry: Stop):
    world = delaying()
    first, second = world.ask(Stop(30.0)), world.ask(hurry)
    world.settle()
    world.pass_time(hurry.timeout_s)
    assert len(closed(world)) == 1
    assert world.answer(first).status == world.answer(second).status == 200
    assert world.alive == {}


def test_a_cluster_that_is_not_up_has_nobody_to_delay_its_stop_for():
    world = World(structs.replace(a_config(), server=ServerConfig(drain_delay=5.0)))
    world.tell(Begun(""))
    world.ask(Stop(30.0))
    assert len(closed(world)) == 1


# --- who is let in ----------------------------------------------------------------------------------------------------


def test_the_stop_names_the_servers_that_nobody_runs_since_their_clients_would_wait_in_vain():
    world = a_running_world()
    world.die("server.1")
    world.ask(Stop(30.0))
    assert closed(world) == [CloseListeners(("server.1",))]


def test_a_server_that_is_replaced_has_a_stand_in_that_answers_those_who_wait_for_it():
    world = a_running_world()
    world.alive["server.1"].deaf = True
    world.ask(Restart("server.1"))
    world.settle()
    assert {"server.1", "server.2"} <= set(world.alive)
    world.ask(Stop(30.0))
    assert closed(world) == [CloseListeners()]


def test_servers_that_run_answer_those_who_wait_for_them():
    world = a_running_world()
    world.do(Stop(30.0))
    assert closed(world) == [CloseListeners()]


# --- the count --------------------------------------------------------------------------------------------------------


def leaving(world: World) -> ReportEnvelope:
    """A server that has acknowledged the order to leave and will say nothing by itself; an envelope of its own."""
    life = world.alive["server.1"]
    life.deaf = True
    world.ask(Stop(30.0))
    (command,) = [c.command for topic, c in world.sent(world.actions) if topic == "proc.server.1"]
    world.report("server.1", Acknowledged(command))
    return ReportEnvelope("server.1", life.incarnation, 50, Ready(1))


def test_the_last_word_of_a_server_counts_when_its_end_is_seen_before_it():
    world = a_running_world()
    envelope = leaving(world)
    world.report("server.1", a_word(0, in_flight=2))
    world.die("server.1", 0)
    world.settle()
    assert world.alive == {}
    assert world.outcome is None, "it waits for what is on its way"
    world.tell(Heard(structs.replace(envelope, report=a_word(2, last=True))))
    assert (world.outcome.finished, world.outcome.cancelled) == (2, 0)


def test_a_last_word_that_never_comes_is_not_waited_for_for_long_and_its_requests_count_as_cancelled():
    world = a_running_world()
    leaving(world)
    world.report("server.1", a_word(1, in_flight=2))
    world.die("server.1", 0)
    world.settle()
    world.pass_time(LAST_WORD_S)
    assert (world.outcome.finished, world.outcome.cancelled) == (1, 2)


def test_a_server_that_is_killed_in_its_drain_has_no_last_word():
    world = a_running_world()
    leaving(world)
    world.report("server.1", a_word(1, 3, in_flight=2))
    world.die("server.1", -signal.SIGKILL)
    world.settle()
    assert (world.outcome.finished, world.outcome.cancelled) == (1, 5)


def test_lives_of_one_server_count_side_by_side():
    tally = Tally()
    tally.heard("server.1", 5, a_word(3, last=True))
    tally.gone("server.1", 5, 0, 1.0, orderly=True)
    tally.heard("server.1", 6, a_word(4, 1, last=True))
    assert (tally.finished, tally.cancelled, tally.waits_until(1.0)) == (7, 1, None)


# --- the end of patience ----------------------------------------------------------------------------------------------


def test_once_the_servers_are_gone_nobody_waits_for_work_whose_time_is_over():
    world = a_running_world()
    world.alive["compute.1"].deaf = True
    world.alive["server.1"].deaf = True
    asker = world.ask(Stop(2.0))
    world.settle()
    world.pass_time(2.0)
    world.alive["server.1"].deaf = False
    world.die("server.1", 0)
    world.settle()
    assert [a for a in world.pass_time(WRAP_UP_S) if isinstance(a, Signal)] != []
    world.pass_time(TERM_S)
    assert WRAP_UP_S < LAST_ANSWERS_S
    assert world.answer(asker).body.killed == ["compute.1"]


def test_in_a_stop_a_process_that_is_stopped_is_killed_as_soon_as_it_should_leave_and_named():
    world = a_running_world()
    worker = world.alive["compute.1"]
    worker.deaf = True
    world.tell(Probed("compute.1", worker.incarnation, 0.0, 0, stopped=True))
    world.ask(Stop(30.0))
    world.settle()
    assert world.state("compute.1") == "draining"
    world.tell(Probed("compute.1", worker.incarnation, 0.0, 0, stopped=True))
    world.settle()
    assert world.outcome.killed == ["compute.1"]


def test_workers_that_wait_to_be_started_again_hold_nothing_up():
    world = a_running_world()
    for _ in range(3):
        world.die("compute.1", 1)
        world.settle()
        if world.state("compute.1") == "backoff":
            break
    assert world.state("compute.1") == "backoff"
    answer = world.do(Stop(30.0))
    assert (answer.status, answer.body.killed) == (200, [])
    assert world.alive == {}
