"""Random histories: whatever happens in whatever order, the cluster ends up as it was last wanted."""

import signal

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from primectl.config.model import PoolConfig, ServerConfig, SupervisorConfig
from primectl.wire.control import Drain, DrainOrder, Kill, ReloadOrder, Restart, ResumeOrder, Scale, Stop
from supervisor.events import ApplyOrder, Begun, Exited, Heard, Kind, Spawned
from tests.support.world import World, a_config

ORDERS = st.one_of(
    st.builds(Scale, st.sampled_from(["compute", "parse"]), st.integers(0, 6).map(str)),
    st.builds(Kill, st.sampled_from(["all", "compute", "compute.1", "proxy.parse", "role.server", "nobody"])),
    st.builds(Restart, st.sampled_from(["all", "compute", "compute.2", "role.proxy", "server.1"])),
    st.builds(ReloadOrder, st.sampled_from(["compute", "parse", "all"]), st.sampled_from([1.0, 120.0])),
    st.builds(DrainOrder, st.sampled_from(["compute", "compute.1", "compute.4", "parse.1", "server.1"])),
    st.builds(ResumeOrder, st.sampled_from(["compute", "compute.1", "parse", "nobody"])),
)
CALM = SupervisorConfig(crash_limit=10_000)


def another(handler, workers, parse, server, routes):
    """A config that an operator may apply: pools that come and go, new code, another address."""
    config = a_config(supervisor=CALM)
    pools = {"compute": structs.replace(config.pools["compute"], handler=handler, workers=workers)}
    pools |= {pool: PoolConfig(handler="m:parse", workers=parse) for pool in ("parse", "render") if parse != 1}
    return structs.replace(
        config, pools=pools if parse != 1 else {**config.pools, **pools}, server=server, routes=routes
    )


CONFIGS = st.builds(
    another,
    st.sampled_from(["m:compute", "m:new", "m:broken"]),
    st.integers(0, 3),
    st.sampled_from([0, 1, 2]),
    st.builds(
        ServerConfig,
        processes=st.integers(1, 3),
        listen=st.sampled_from(["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"]),
        max_inflight=st.integers(1, 2),
    ),
    st.sampled_from([{}, {"/c": "compute"}]),
)
APPLIES = st.builds(ApplyOrder, CONFIGS, st.just("test.toml"), st.just(""), timeout_s=st.sampled_from([5.0, 300.0]))
STEPS = st.one_of(
    st.tuples(st.just("deliver"), st.integers(0, 1000)),
    st.tuples(st.just("deliver all"), st.just(0)),
    st.tuples(st.just("crash"), st.integers(0, 1000)),
    st.tuples(st.just("deafen"), st.integers(0, 1000)),
    st.tuples(st.just("wait"), st.floats(0.0, 3.0)),
    st.tuples(st.just("edit"), st.sampled_from(["", "", "import", "die", "mute"])),
    st.tuples(st.just("ask"), ORDERS),
)
DEATHS = st.tuples(
    st.just("the supervisor dies"),
    st.tuples(st.one_of(st.none(), ORDERS), st.lists(st.integers(0, 1000), max_size=4)),
)
APPLYING = st.one_of(STEPS, st.tuples(st.just("ask"), APPLIES), st.tuples(st.just("empty"), st.just(0)))


def play(world, steps):
    """Events of one sender stay in order; those of different senders come in any."""
    askers = []
    for step, value in steps:
        match step:
            case "deliver" if world.pending:
                deliver(world, world.pending[value % len(world.pending)])
            case "deliver all":
                together, world.pending = world.pending, []
                world.tell(*together)
            case "crash" if world.alive:
                life = sorted(world.alive.values(), key=lambda life: life.process)[value % len(world.alive)]
                world._end(life, -signal.SIGSEGV)
            case "deafen" if world.alive:
                life = sorted(world.alive.values(), key=lambda life: life.process)[value % len(world.alive)]
                life.deaf = life.kind is not Kind.ZYGOTE
            case "wait":
                world.pass_time(value)
            case "edit":
                world.code += 1
                world.faults[world.code] = value
            case "the supervisor dies":
                amid, victims = value
                world.supervisor_dies(amid=amid)
                for victim in victims:
                    if world.alive:
                        lives = sorted(world.alive.values(), key=lambda life: life.process)
                        world._end(lives[victim % len(lives)], -signal.SIGSEGV)
                world.take_over()
                askers.clear()
            case "empty":
                world.report_empty()
            case "ask":
                askers.append(world.ask(value))
    return askers


def deliver(world, chosen):
    if isinstance(chosen, Exited) and not chosen.process.startswith(WITHOUT_ZYGOTE):
        # A worker is watched only once its birth is known.
        born = [event for event in world.pending if isinstance(event, Spawned) and event.process == chosen.process]
        chosen = born[0] if born else chosen
    first = next(event for event in world.pending if sender_of(event) == sender_of(chosen))
    world.pending.remove(first)
    world.tell(first)


WITHOUT_ZYGOTE = ("server.", "proxy.", "zygote.", "recorder")


def sender_of(event):
    """A worker's birth is told by its zygote, its reports come from itself, its end from the kernel; what a zygote has
    told is read before its end is. Both zygotes that a pool may have count as one."""
    if isinstance(event, Heard):
        return event.envelope.sender
    process = getattr(event, "process", "the shell")
    if isinstance(event, Spawned) and not process.startswith(WITHOUT_ZYGOTE):
        return f"zygote.{process.partition('.')[0]}"
    return process.removesuffix(".next")


def come_to_rest(world):
    """An operator ends what does not listen, and mends the code; then everything has time to happen."""
    world.faults.clear()
    for life in [*world.alive.values(), *world.strays]:
        if life.deaf:
            world._end(life, -signal.SIGKILL)
    world.strays_report()
    world.settle()
    for _ in range(8):
        world.pass_time(60.0)
        world.report_empty()
        world.settle()


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_wanted_and_actual_converge_and_every_order_is_answered_once(steps):
    world = World(a_config(supervisor=CALM))
    world.start()
    askers = play(world, steps)
    come_to_rest(world)
    it_is_as_wanted(world, askers)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(STEPS, DEATHS), max_size=40))
def test_whatever_supervisors_die_the_next_one_makes_it_as_wanted_and_nobody_lives_twice(steps):
    world = World(a_config(supervisor=CALM))
    world.start()
    askers = play(world, steps)
    come_to_rest(world)
    it_is_as_wanted(world, askers)
    assert world.strays == world.old_zygotes == []


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_what_crashes_until_it_has_failed_runs_again_when_operators_try_again(steps):
    world = World(a_config(supervisor=SupervisorConfig(crash_limit=2), essential=False))
    world.start()
    askers = play(world, steps)
    come_to_rest(world)
    assert {process.state for process in world.cluster.snapshot().processes} <= {"running", "failed", "draining"}
    for target in ("role.server", "role.proxy", "compute", "parse"):
        if target in ("compute", "parse"):
            assert world.do(Scale(target, "2")) is not None
        assert world.do(Restart(target)).status == 200
    it_is_as_wanted(world, askers)


SLOTS = st.sets(st.sampled_from([f"compute.{number}" for number in range(2, 9)]))


@settings(max_examples=100, deadline=None)
@given(SLOTS, st.sampled_from(["fork", "exec"]), st.lists(st.floats(0.0, 5.0), max_size=5))
def test_no_slot_waits_for_another_that_crashes(bad, spawn, waits):
    world = World(a_config(compute=1, spawn=spawn))
    world.start()
    world.doomed |= bad
    began = world.now
    asker = world.ask(Scale("compute", "8"))
    world.settle()
    good = {f"compute.{number}" for number in range(1, 9)} - bad
    assert world.now == began
    assert set(world.workers("compute")) == good
    assert {world.state(worker) for worker in good} == {"running"}
    for wait in waits:
        world.pass_time(wait)
        assert world.do(Restart("parse")).status == 200
    world.pass_time(30.0)
    assert {world.state(worker) for worker in bad} <= {"failed"}
    assert world.answer(asker).status == (500 if bad else 200)
    assert all(p.restarts == 0 for p in world.cluster.snapshot().processes if p.id in good)
    world.doomed.clear()
    assert world.do(Scale("compute", "8")).status == 200
    assert len(world.workers("compute")) == 8


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_in_a_pool_one_order_rolls_at_a_time_and_nobody_waits_for_a_free_one(steps):
    world = World(a_config(supervisor=CALM))
    world.start()
    highest = 0
    for step in steps:
        play(world, [step])
        entries = world.cluster._books.desk.entries
        numbers = [entry.number for entry in entries]
        assert numbers == sorted(set(numbers))
        highest = max([highest, *numbers])
        assert highest <= sum(what == "ask" for what, _ in steps)
        taken: list[str] = [pool for entry in entries if entry.behind is None for pool in entry.operation.occupies]
        assert len(taken) == len(set(taken))
        for entry in entries:
            assert entry.behind is None or entry.operation.occupies & set(taken)


def it_is_as_wanted(world, askers):
    for pool in ("compute", "parse"):
        world.do(ResumeOrder(pool))
    shown = world.cluster.snapshot()
    for pool in shown.pools:
        workers = [name for name in world.workers(pool.name) if world.state(name) == "running"]
        assert len(workers) == len(world.workers(pool.name)) == pool.target == pool.workers
        assert len({process.generation for process in shown.processes if process.id in workers}) <= 1
        assert len(world.zygotes(pool.name)) == 1
    assert {process.id for process in shown.processes} - {"supervisor"} == {
        life.process for life in world.alive.values() if life.kind is not Kind.ZYGOTE
    }
    for process in shown.processes[1:]:
        assert process.state == "running"
        assert process.pid == world.alive[process.id].pid
    for asker in askers:
        assert world.answer(asker) is not None


EDITS = st.tuples(st.just("edit"), st.sampled_from(["", "", "import", "die", "mute"]))
RELOADS = st.tuples(st.just("ask"), st.builds(ReloadOrder, st.sampled_from(["compute", "all"])))
DELIVERIES = st.tuples(st.just("deliver"), st.integers(0, 1000))
OTHERS = STEPS.filter(lambda step: not isinstance(step[1], Scale))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(EDITS, RELOADS, DELIVERIES, DELIVERIES, DELIVERIES, OTHERS), max_size=60))
def test_whatever_comes_in_between_a_reloaded_pool_has_the_workers_that_it_had(steps):
    world = World(a_config(compute=3, supervisor=CALM))
    world.start()
    askers = play(world, steps)
    come_to_rest(world)
    assert world.workers("compute") == ["compute.1", "compute.2", "compute.3"]
    assert len(set(generations(world, "compute"))) == 1
    assert len(world.zygotes("compute")) == len(world.zygotes("parse")) == 1
    for asker in askers:
        assert world.answer(asker) is not None
    world.code += 1
    for pool in ("compute", "parse"):
        world.do(ResumeOrder(pool))
        assert world.do(ReloadOrder(pool)).status == 200
        assert set(world.codes(pool).values()) == {world.code}


def generations(world, pool):
    return [process.generation for process in world.cluster.snapshot().processes if process.id in world.workers(pool)]


@settings(max_examples=100, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_a_proxy_has_always_been_told_what_is_drained_and_nothing_else(steps):
    world = World(a_config(supervisor=CALM))
    world.start()
    play(world, steps)
    come_to_rest(world)
    for pool in world.cluster.snapshot().pools:
        whole, workers = drained_at(world, f"proxy.{pool.name}")
        assert (pool.state == "draining") is whole
        for worker in world.workers(pool.name):
            assert (world.state(worker) == "draining") is (whole or worker in workers)
        assert workers <= set(world.workers(pool.name))


def drained_at(world, proxy):
    """What the proxy's present life makes of the commands that it has obeyed."""
    whole, workers = False, set()
    for command in world.alive[proxy].drains:
        drains = isinstance(command, Drain)
        if not command.workers:
            whole = drains
        elif drains:
            workers.update(command.workers)
        else:
            workers.difference_update(command.workers)
    return whole, workers


@settings(max_examples=100, deadline=None)
@given(st.lists(STEPS, max_size=30), st.floats(0.0, 5.0), st.booleans())
def test_a_stop_always_ends_with_nobody_left(steps, timeout_s, while_starting):
    world = World(a_config(supervisor=CALM))
    if while_starting:
        world.tell(Begun(""))
    else:
        world.start()
        play(world, steps[:15])
    asker = world.ask(Stop(timeout_s))
    play(world, steps[15:])
    come_to_rest(world)
    assert world.outcome is not None
    assert world.alive == {}
    assert world.answer(asker) is not None


@settings(max_examples=150, deadline=None)
@given(st.lists(APPLYING, max_size=40))
def test_whatever_is_applied_in_whatever_trouble_config_and_processes_agree_in_the_end(steps):
    world = World(a_config(supervisor=CALM))
    world.broken.add("m:broken")
    world.taken.add("http://127.0.0.1:3")
    world.start()
    askers = play(world, steps)
    come_to_rest(world)
    for asker in askers:
        assert world.answer(asker) is not None
    config = world.written
    books = world.cluster._books
    assert books.config == config
    assert not books.desk.entries
    assert not books.spare_servers
    assert not books.closing
    servers = sorted(life.process for life in world.alive.values() if life.kind is Kind.SERVER)
    assert servers == [f"server.{n}" for n in range(1, config.server.processes + 1)]
    assert {pool.name for pool in world.cluster.snapshot().pools} == set(config.pools)
    for pool in world.cluster.snapshot().pools:
        assert len(world.workers(pool.name)) == pool.target
    for life in world.alive.values():
        assert world.state(life.process) in ("running", "draining") or life.kind is Kind.ZYGOTE
        if life.kind in (Kind.WORKER, Kind.ZYGOTE):
            assert life.handler == config.pools[life.pool].handler
        if life.kind is Kind.SERVER:
            server = life.began_with.server
            assert (server.listen, server.max_inflight) == (config.server.listen, config.server.max_inflight)
