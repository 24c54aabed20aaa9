"""Every process's changes of state are events."""

from primectl.wire.control import Kill, Scale, Stop
from supervisor.causes import last_words
from supervisor.events import Tell
from tests.support.world import World, a_running_world


def told(world, subject, kind="state"):
    return [
        (action.before, action.after)
        for action in world.actions
        if isinstance(action, Tell) and action.kind == kind and action.subject == subject
    ]


def tells(world, kind):
    return [action for action in world.actions if isinstance(action, Tell) and action.kind == kind]


def test_a_worker_that_comes_and_goes_tells_of_each_step():
    world = a_running_world()
    world.do(Scale("compute", "3"))
    assert told(world, "compute.3") == [("exited", "starting"), ("starting", "running")]
    world.actions.clear()
    world.do(Scale("compute", "2"))
    assert told(world, "compute.3") == [("running", "draining"), ("draining", "exited")]


def test_an_order_tells_what_was_and_what_shall_be():
    world = a_running_world()
    world.do(Scale("compute", "4"))
    assert [(tell.subject, tell.operator, tell.before, tell.after) for tell in tells(world, "scale")] == [
        ("compute", "alice", "2", "4")
    ]


def test_a_death_has_its_cause_and_the_last_lines_of_the_log_once():
    world = a_running_world()
    world.die("compute.1", 3, "one", "ValueError: two")
    crash = tells(world, "crashed")[0]
    assert crash.cause == "exit status 3: ValueError: two"
    assert crash.lines == ("one", "ValueError: two")
    state = next(tell for tell in tells(world, "state") if tell.after == "backoff")
    assert (state.subject, state.before, state.cause, state.lines) == ("compute.1", "running", crash.cause, ())


def test_a_process_that_dies_of_a_signal_while_it_leaves_has_its_last_lines_with_the_change_of_state():
    world = a_running_world()
    world.alive["compute.1"].deaf = True
    world.ask(Kill("compute.1"))
    world.die("compute.1", -11, "Fatal Python error: Segmentation fault")
    state = next(tell for tell in tells(world, "state") if tell.after == "exited")
    assert (state.cause, state.lines) == ("KILL", ("Fatal Python error: Segmentation fault",))


def test_an_end_that_was_asked_for_and_went_well_needs_no_lines():
    world = a_running_world()
    world.ask(Kill("compute.1"))
    world.settle()
    assert not any(tell.lines for tell in tells(world, "state"))


def test_the_state_of_the_whole_is_told_before_and_after():
    world = World()
    world.start()
    world.do(Stop(0.0))
    moves = [(a.before, a.after) for a in world.actions if isinstance(a, Tell) and a.subject == "test" and a.after]
    assert moves == [("", "starting"), ("starting", "running"), ("running", "stopping"), ("stopping", "stopped")]


def test_last_words_are_twenty_lines_and_eight_kilobytes_at_most():
    assert last_words([str(number) for number in range(50)]) == tuple(str(number) for number in range(30, 50))
    assert last_words(["x" * 5000, "y" * 5000]) == ("y" * 5000,)
    assert last_words(["é" * 5000]) == ("é" * 4096,)
    assert last_words(["a", "", "b"]) == ("a", "", "b")
    assert last_words([]) == ()
