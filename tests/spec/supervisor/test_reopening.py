"""Logs opened anew on command, and which log files go."""

from primectl.wire.control import Reopen, Reopened, ReopenOrder, Scale
from primectl.wire.stats import Acknowledged
from supervisor.events import Broadcast, ReopenLog
from supervisor.logtotal import LogFile, Sweep, sweep
from tests.support.world import a_running_world


def asked(world):
    return {
        action.topic.removeprefix("proc."): action.command
        for action in world.actions
        if isinstance(action, Broadcast) and isinstance(action.command, Reopen)
    }


def test_every_process_is_asked_and_the_order_is_done_when_all_have_said_so():
    world = a_running_world()
    asker = world.ask(ReopenOrder(rotate=True))
    commands = asked(world)
    assert set(commands) == {"server.1", "proxy.parse", "proxy.compute", "parse.1", "compute.1", "compute.2"}
    assert all(command.rotate for command in commands.values())
    by_the_shell = {a.process for a in world.actions if isinstance(a, ReopenLog) and a.rotate}
    assert by_the_shell == {"supervisor", "zygote.parse", "zygote.compute"}
    for process, command in list(commands.items())[1:]:
        world.report(process, Acknowledged(command.command))
    assert world.answer(asker) is None
    world.report("server.1", Acknowledged(commands["server.1"].command))
    answer = world.answer(asker)
    assert answer.status == 200
    assert isinstance(answer.body, Reopened)
    assert set(answer.body.processes) == {*commands, *by_the_shell}


def test_a_pool_has_its_proxy_and_its_zygote_with_it():
    world = a_running_world()
    world.ask(ReopenOrder("parse"))
    assert set(asked(world)) == {"proxy.parse", "parse.1"}
    assert [a.process for a in world.actions if isinstance(a, ReopenLog)] == ["zygote.parse"]


def test_who_ends_meanwhile_is_not_waited_for():
    world = a_running_world()
    asker = world.ask(ReopenOrder("compute.1"))
    world.die("compute.1", -9)
    assert world.answer(asker).body.processes == []


def test_who_says_nothing_is_named():
    world = a_running_world()
    asker = world.ask(ReopenOrder("compute.1"))
    world.pass_time(6.0)
    assert world.answer(asker).status == 504
    assert world.answer(asker).body.what == "compute.1 did not say within 5 s that the log is another file"


def test_nobody_of_that_name_is_refused():
    assert a_running_world().do(ReopenOrder("gone")).status == 404


def test_an_acknowledgement_of_another_command_says_nothing():
    world = a_running_world()
    asker = world.ask(ReopenOrder("compute.1"))
    world.report("compute.1", Acknowledged(asked(world)["compute.1"].command + 1))
    assert world.answer(asker) is None
    assert world.do(Scale("parse", "2")).status == 200


# --- which files go ---------------------------------------------------------------------------------------------------

A, A1, A2 = LogFile("a.1", 0, 10, 90.0), LogFile("a.1", 1, 10, 50.0), LogFile("a.1", 2, 10, 40.0)
B, B1 = LogFile("b.1", 0, 30, 95.0), LogFile("b.1", 1, 10, 45.0)


def test_within_the_bound_all_stay():
    assert sweep([A, A1, A2, B, B1], {"a.1", "b.1"}, 70, 0.0) == Sweep()


def test_beyond_it_the_oldest_go_and_never_one_that_is_written():
    assert sweep([A, A1, A2, B, B1], {"a.1", "b.1"}, 55, 0.0) == Sweep((A2, B1))


def test_where_that_is_not_enough_the_largest_is_to_be_rotated():
    assert sweep([A, A1, A2, B, B1], {"a.1", "b.1"}, 20, 0.0) == Sweep((A2, B1, A1), "b.1")


def test_the_log_of_who_was_scaled_away_counts_and_is_one_of_the_old():
    assert sweep([A, B], {"b.1"}, 35, 0.0) == Sweep((A,))
    assert sweep([A, B], {"b.1"}, 40, 0.0) == Sweep()


def test_the_log_of_who_was_scaled_away_goes_when_it_is_old():
    assert sweep([A, A1, B], {"b.1"}, 1000, 60.0) == Sweep((A1,))
    assert sweep([A, A1, B], {"a.1", "b.1"}, 1000, 1000.0) == Sweep()
