"""The order that asks processes where their threads are."""

import pytest

from primectl.control.excerpt import excerpt
from primectl.wire.control import Dump, DumpOrder, Dumps, ProcessDump, Refusal, process_topic
from primectl.wire.stats import Dumped
from supervisor.dumps import WHOLE_BYTES, newest_last
from supervisor.events import DumpTaken, TakeDump
from tests.support.world import a_config, a_running_world


def asked(world, order):
    """Who waits, and the number of the DUMP that went out."""
    asker = world.ask(order)
    commands = {command.command for _, command in world.sent(world.actions) if isinstance(command, Dump)}
    return asker, commands.pop() if commands else None


def taken(world):
    return [action for action in world.actions if isinstance(action, TakeDump)]


def take(world, name, text="", how="signal"):
    return world.tell(DumpTaken(name, world.alive[name].incarnation, text, how))


def found(world, asker):
    return world.answer(asker).body.dumps


def test_each_process_of_a_target_is_asked_by_its_own_topic_and_answers_in_the_order_of_the_target():
    world = a_running_world()
    asker, command = asked(world, DumpOrder("compute"))
    assert [topic for topic, sent in world.sent(world.actions) if isinstance(sent, Dump)] == [
        process_topic("compute.1"),
        process_topic("compute.2"),
    ]
    world.report("compute.2", Dumped(command, "two"))
    assert world.answer(asker) is None
    world.report("compute.1", Dumped(command, "one"))
    answer = world.answer(asker)
    assert (answer.status, answer.body.target) == (200, "compute")
    assert answer.body.dumps == [
        ProcessDump("compute.1", "one", "asked"),
        ProcessDump("compute.2", "two", "asked"),
    ]
    assert world.told("dumped") == ["the stacks of 2 processes were shown"]


def test_who_has_not_answered_within_half_a_second_gets_the_signal_once_and_nobody_else():
    world = a_running_world()
    asker, command = asked(world, DumpOrder("compute"))
    world.report("compute.1", Dumped(command, "one"))
    world.pass_time(0.4)
    assert taken(world) == []
    world.pass_time(1.0)
    assert taken(world) == [TakeDump("compute.2", world.alive["compute.2"].incarnation)]
    take(world, "compute.2", "Thread 0x1 (most recent call first):\n  File b\n  File a\n")
    assert found(world, asker)[1] == ProcessDump("compute.2", "thread 0x1\n  File a\n  File b", "signal")


def test_an_answer_that_comes_before_the_file_counts_and_the_file_no_more():
    world = a_running_world()
    asker, command = asked(world, DumpOrder("compute.1"))
    world.pass_time(0.6)
    world.report("compute.1", Dumped(command, "late"))
    take(world, "compute.1", "later")
    assert found(world, asker) == [ProcessDump("compute.1", "late", "asked")]


def test_what_cannot_be_had_is_said_at_the_end_of_the_time():
    world = a_running_world()
    asker, _ = asked(world, DumpOrder("compute.1", timeout_s=2.0))
    world.pass_time(2.0)
    assert found(world, asker) == [ProcessDump("compute.1", "it has not answered within 2 s", "none")]


def test_a_process_that_ends_meanwhile_is_not_waited_for_and_its_next_life_does_not_answer_for_it():
    world = a_running_world()
    asker, command = asked(world, DumpOrder("compute.1"))
    world.die("compute.1")
    world.settle()
    world.report("compute.1", Dumped(command, "the next life"))
    assert found(world, asker) == [ProcessDump("compute.1", "it has ended", "none")]


def test_the_answer_to_another_dump_is_none_to_this_one():
    world = a_running_world()
    asker, command = asked(world, DumpOrder("compute.1"))
    world.report("compute.1", Dumped(command + 1, "other"))
    assert world.answer(asker) is None


@pytest.mark.parametrize("target", ["supervisor", "zygote.compute"])
def test_who_cannot_be_asked_is_looked_at_by_the_shell_at_once(target):
    world = a_running_world()
    asker, command = asked(world, DumpOrder(target))
    assert command is None
    incarnation = world.alive[target].incarnation if target in world.alive else 0
    assert taken(world) == [TakeDump(target, incarnation)]
    world.tell(DumpTaken(target, incarnation, "here", "asked"))
    assert found(world, asker) == [ProcessDump(target, "here", "asked")]


def test_what_does_not_run_is_said_without_waiting():
    world = a_running_world()
    for _ in range(6):
        world.die("compute.1")
        world.pass_time(1.0)
    assert world.state("compute.1") == "failed"
    asker, _ = asked(world, DumpOrder("compute.1"))
    assert found(world, asker) == [ProcessDump("compute.1", "it does not run: failed", "none")]


def test_an_unknown_target_is_refused():
    world = a_running_world()
    answer = world.do(DumpOrder("compote"))
    assert (answer.status, type(answer.body)) == (404, Refusal)


def test_a_pool_without_workers_has_nothing_to_show():
    world = a_running_world(a_config(compute=0))
    assert world.do(DumpOrder("compute")).body == Dumps("compute", [], operation=1)


def test_all_texts_together_are_bounded():
    world = a_running_world(a_config(compute=160))
    asker, command = asked(world, DumpOrder("compute"))
    for worker in world.workers("compute"):
        world.report(worker, Dumped(command, "é" * (32 << 10)))
    sizes = [len(dump.text.encode()) for dump in found(world, asker)]
    assert sum(sizes) <= WHOLE_BYTES
    assert min(sizes) > WHOLE_BYTES // 160 - 10


def test_what_faulthandler_wrote_is_shown_with_the_newest_frame_last():
    wrote = (
        'Thread 0x2 (most recent call first):\n  File "w.py", line 2 in wait\n  File "w.py", line 1 in run\n\n'
        'Current thread 0x1 (most recent call first):\n  File "h.py", line 7 in handler\n  ...\n'
    )
    assert newest_last(wrote) == (
        'thread 0x2\n  File "w.py", line 1 in run\n  File "w.py", line 2 in wait\n\n'
        'thread 0x1\n  ...\n  File "h.py", line 7 in handler'
    )


def test_an_excerpt_is_never_longer_than_asked_and_says_what_is_missing():
    assert excerpt("short", 100) == "short"
    cut = excerpt("é" * 1000, 100)
    assert len(cut.encode()) <= 100
    assert cut.endswith("cut here: it has 2000 bytes")
    assert excerpt("lone \ud800", 100) == "lone \\ud800"
