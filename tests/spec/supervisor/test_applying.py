"""A running cluster on its way to another config: what happens in which order, and what is taken back."""

import signal

from msgspec import structs

from primectl.config.model import ClusterConfig, Config, PoolConfig
from primectl.wire.control import Applied, KillNow, Refusal, Reread, Retire, Scale
from supervisor.events import (
    Answer,
    ApplyOrder,
    Broadcast,
    CloseFormerListeners,
    DropListeners,
    Exec,
    Exited,
    Fork,
    KeepListeners,
    RemovePool,
    Ticked,
    UseListeners,
    WriteConfig,
)
from tests.support.world import a_config, a_running_world

OLD = a_config()
ADDRESS = "http://127.0.0.1:9000"


def changed(config=OLD, **pools):
    """`config` with these keys of pools; None takes a pool away, a PoolConfig adds it."""
    result = dict(config.pools)
    for pool, keys in pools.items():
        if keys is None:
            del result[pool]
        elif isinstance(keys, PoolConfig):
            result[pool] = keys
        else:
            result[pool] = structs.replace(result[pool], **keys)
    return structs.replace(config, pools=result)


def served(config=OLD, **keys):
    return structs.replace(config, server=structs.replace(config.server, **keys))


def order(config, **options):
    return ApplyOrder(config, "test.toml", "", **options)


def apply(world, config, **options):
    """Ask, and let everything happen, proxies without jobs included; the final answer."""
    asker = world.ask(order(config, **options))
    for _ in range(8):
        world.settle()
        world.report_empty()
        world.pass_time(0.3)
    return world.answer(asker)


def applied(world, config, **options):
    answer = apply(world, config, **options)
    assert answer is not None
    assert answer.status == 200, answer.body
    agree(world, config)
    return answer.body


def refused(answer, status):
    assert isinstance(answer, Answer)
    assert answer.status == status
    assert isinstance(answer.body, Refusal)
    return answer.body.what


def agree(world, config):
    """The config that counts, cluster.json and all processes are of one mind."""
    books = world.cluster._books
    assert books.config == world.written == config
    assert set(config.pools) == set(books.targets)
    assert books.spare_servers == set()
    assert books.closing == {}
    for life in world.alive.values():
        assert life.kind not in ("worker", "zygote") or life.handler == config.pools[life.pool].handler, life.process
        assert life.kind in ("zygote", "server") or life.read == config, life.process
    wanted = {f"server.{n}" for n in range(1, config.server.processes + 1)}
    if config.journal.enabled:
        wanted.add("recorder")
    for pool in config.pools:
        wanted.add(f"proxy.{pool}")
        wanted.update(f"{pool}.{n}" for n in range(1, books.targets[pool] + 1))
    assert {life.process for life in world.alive.values() if life.kind != "zygote"} == wanted


def order_of(actions, *wanted):
    """At which place each of these happened for the first time."""
    places = [next(n for n, action in enumerate(actions) if is_one(action)) for is_one in wanted]
    assert places == sorted(places), places


def starts(process):
    return lambda action: isinstance(action, Exec) and action.process == process


def retires(process):
    return lambda a: isinstance(a, Broadcast) and a.topic == f"proc.{process}" and isinstance(a.command, Retire)


def is_a(kind):
    return lambda action: isinstance(action, kind)


def test_the_same_config_ends_at_once_and_moves_nobody():
    world = a_running_world()
    lives = {life.process: life.incarnation for life in world.alive.values()}
    assert applied(world, OLD) == Applied([], False, 0.0, 1)
    assert {life.process: life.incarnation for life in world.alive.values()} == lives
    assert not [action for action in world.actions if isinstance(action, WriteConfig)]


def test_what_takes_effect_at_once_is_written_told_and_acknowledged_and_nobody_is_replaced():
    world = a_running_world()
    lives = {life.process: life.incarnation for life in world.alive.values()}
    new = changed(structs.replace(OLD, routes={"/x": "parse"}), compute={"kill_after": 9.0})
    done = applied(world, new)
    assert done.applied
    assert len(done.changes) == 2
    assert {life.process: life.incarnation for life in world.alive.values()} == lives
    assert all(life.read == new for life in world.alive.values() if life.kind != "zygote")


def test_a_proxy_that_has_not_acknowledged_is_told_again_and_in_the_end_it_is_said():
    world = a_running_world()
    world.alive["proxy.compute"].deaf = True
    asker = world.ask(order(changed(compute={"max_queue": 5})))
    world.settle()
    world.pass_time(5.0)
    told = [a for a in world.actions if isinstance(a, Broadcast) and a.topic == "proc.proxy.compute"]
    assert {type(action.command) for action in told} == {Reread}
    assert len(told) > 1
    assert world.answer(asker) is None
    world.pass_time(30.0)
    assert "proxy.compute has not confirmed" in refused(world.answer(asker), 504)


def test_a_worker_that_is_deep_in_a_job_keeps_nobody_waiting():
    world = a_running_world()
    world.alive["compute.1"].deaf = True
    asker = world.ask(order(changed(compute={"kill_after": 9.0})))
    world.settle()
    world.pass_time(2.0)
    assert world.answer(asker).status == 200


def test_a_new_pool_starts_before_a_route_leads_there():
    world = a_running_world()
    new = changed(structs.replace(OLD, routes={"/r": "render"}), render=PoolConfig(handler="m:render", workers=2))
    applied(world, new)
    routed = [n for n, a in enumerate(world.actions) if isinstance(a, WriteConfig) and a.config.routes]
    ready = [n for n, a in enumerate(world.actions) if isinstance(a, Fork) and a.pool == "render"]
    assert max(ready) < min(routed)


def test_a_new_pool_that_does_not_import_is_taken_back_whole():
    world = a_running_world()
    world.broken.add("m:gone")
    new = changed(structs.replace(OLD, routes={"/r": "render"}), render=PoolConfig(handler="m:gone"))
    assert "pool render does not start: zygote.render: NameError: code 1" in refused(apply(world, new), 500)
    agree(world, OLD)
    assert RemovePool("render") in world.actions
    world.broken.clear()
    applied(world, new)


def test_a_changed_handler_reloads_its_pool_and_no_other():
    world = a_running_world()
    others = {life.process: life.incarnation for life in world.alive.values() if life.pool != "compute"}
    applied(world, changed(compute={"handler": "m:new"}))
    assert {life.process: life.incarnation for life in world.alive.values() if life.pool != "compute"} == others


def test_a_pool_whose_new_code_does_not_import_keeps_the_old_and_what_was_not_begun_is_not_done():
    world = a_running_world()
    world.broken.add("m:gone")
    new = changed(
        structs.replace(OLD, routes={"/x": "parse"}),
        parse={"max_queue": 9},
        compute={"handler": "m:gone", "workers": 3},
    )
    what = refused(apply(world, new), 500)
    assert "NameError: code 1; the old code stays" in what
    assert "1 of 4 steps are done and stand" in what
    agree(world, changed(parse={"max_queue": 9}))
    world.broken.clear()
    done = applied(world, new)
    assert [change.key for change in done.changes] == [
        'routes."/x"',
        "pools.compute.handler",
        "pools.compute.workers",
    ]


def test_a_size_from_the_file_replaces_that_of_an_operator():
    world = a_running_world()
    world.do(Scale("compute", "5"))
    assert [change.before for change in applied(world, OLD).changes] == ["5 (scaled from 2)"]
    assert world.workers("compute") == ["compute.1", "compute.2"]


def test_sizes_are_kept_when_that_was_asked():
    world = a_running_world()
    world.do(Scale("compute", "5"))
    applied(world, changed(parse={"workers": 2}), keep_sizes=True)
    assert len(world.workers("compute")) == 5
    assert len(world.workers("parse")) == 2


def test_servers_are_replaced_each_behind_a_stand_in():
    world = a_running_world(served(processes=2))
    new = served(processes=2, max_inflight=7)
    applied(world, new)
    order_of(
        world.actions,
        is_a(WriteConfig),
        starts("server.3"),
        retires("server.1"),
        starts("server.1"),
        starts("server.4"),
        retires("server.3"),
        retires("server.2"),
        starts("server.2"),
        retires("server.4"),
    )
    assert world.alive["server.1"].read == new


def test_a_server_leaves_only_when_its_stand_in_is_ready():
    world = a_running_world()
    asker = world.ask(order(served(max_inflight=7)))
    world.tell(world.pending.pop(0))  # spawned
    assert "server.2" in world.alive
    assert not [action for action in world.actions if retires("server.1")(action)]
    world.settle()
    assert world.answer(asker).status == 200


def test_a_stand_in_that_does_not_come_up_leaves_the_servers_as_they_were():
    world = a_running_world()
    first = world.alive["server.1"].incarnation
    asker = world.ask(order(served(max_inflight=7)))
    for _ in range(6):
        world.pending.clear()
        world.die("server.2")
        world.now += 2.0
        world.tell(Ticked())
    assert "server.2 does not come up" in refused(world.answer(asker), 500)
    world.settle()
    agree(world, OLD)
    assert world.alive["server.1"].incarnation == first


def test_more_servers_come_and_go_without_replacing_those_there_are():
    world = a_running_world()
    first = world.alive["server.1"].incarnation
    applied(world, served(processes=3))
    assert UseListeners() in world.actions
    world.actions.clear()
    applied(world, served(processes=1))
    order_of(world.actions, is_a(KeepListeners), retires("server.3"))
    assert world.alive["server.1"].incarnation == first


def test_a_new_address_is_served_before_the_old_one_is_left():
    world = a_running_world(served(processes=2))
    applied(world, served(processes=1, listen=ADDRESS))
    order_of(
        world.actions,
        is_a(UseListeners),
        starts("server.3"),
        is_a(CloseFormerListeners),
        retires("server.1"),
        starts("server.1"),
        retires("server.3"),
    )
    assert world.cluster.snapshot().front.listen == ADDRESS


def test_both_servers_of_the_old_address_stay_until_the_new_one_is_served():
    world = a_running_world(served(processes=2))
    world.ask(order(served(processes=1, listen=ADDRESS)))
    while "server.3" not in world.alive:
        world.tell(world.pending.pop(0))
    assert {"server.1", "server.2"} <= set(world.alive)
    assert not [a for a in world.actions if retires("server.2")(a)]


def test_an_address_in_use_refuses_the_whole_before_anything_moves():
    world = a_running_world()
    world.taken.add(ADDRESS)
    answer = apply(world, changed(served(listen=ADDRESS), compute={"workers": 7}))
    assert refused(answer, 409) == f"{ADDRESS} is in use"
    agree(world, OLD)
    assert not [action for action in world.actions if isinstance(action, WriteConfig)]


def test_sockets_that_were_bound_for_nothing_are_let_go():
    world = a_running_world()
    world.broken.add("m:gone")
    refused(apply(world, changed(served(listen=ADDRESS), compute={"handler": "m:gone"})), 500)
    assert DropListeners() in world.actions
    assert UseListeners() not in world.actions
    agree(world, OLD)


def test_a_pool_that_is_no_more_finishes_what_it_has_and_leaves_from_front_to_back():
    world = a_running_world()
    asker = world.ask(order(changed(compute=None)))
    world.settle()
    assert "compute.1" in world.alive, "nobody has said yet that it holds nothing"
    world.now += 0.1
    world.report_empty()
    world.settle()
    assert world.answer(asker).status == 200
    order_of(world.actions, retires("compute.1"), retires("proxy.compute"), is_a(RemovePool))
    assert world.actions.index(RemovePool("compute")) > max(
        n for n, action in enumerate(world.actions) if isinstance(action, WriteConfig)
    )
    agree(world, changed(compute=None))


def test_whoever_has_waited_long_enough_is_told_how_far_it_is_and_it_goes_on():
    world = a_running_world()
    asker = world.ask(order(changed(compute=None), timeout_s=10.0))
    world.settle()
    world.pass_time(11.0)
    assert "not done in time: pool compute ends: compute finish what they have" in refused(world.answer(asker), 504)
    world.report_empty()
    world.settle()
    agree(world, changed(compute=None))


def test_one_apply_waits_for_the_other_and_is_planned_when_its_turn_comes():
    world = a_running_world()
    first = world.ask(order(changed(parse=None)))
    second = world.ask(order(changed(parse={"workers": 3})))
    world.settle()
    world.pass_time(1.0)
    world.report_empty()
    world.settle()
    assert world.answer(first).status == 200
    assert [change.effect for change in world.answer(second).body.changes] == ["pool parse starts"]
    agree(world, changed(parse={"workers": 3}))


def test_a_disk_that_is_full_leaves_everything_as_it_is():
    world = a_running_world()
    world.disk_is_full = True
    answer = apply(world, changed(compute={"handler": "m:new"}))
    assert "cluster.json cannot be written: No space left on device" in refused(answer, 500)
    world.disk_is_full = False
    world.settle()
    world.pass_time(5.0)
    agree(world, OLD)


def test_a_worker_that_dies_while_its_pool_is_reloaded_is_no_obstacle():
    world = a_running_world(a_config(compute=4))
    asker = world.ask(order(changed(a_config(compute=4), compute={"handler": "m:new"})))
    world.tell(world.pending.pop(0))
    life = world.alive.pop("compute.3")
    world.pending.append(Exited("compute.3", life.incarnation, -signal.SIGKILL))
    world.settle()
    assert world.answer(asker).status == 200
    agree(world, changed(a_config(compute=4), compute={"handler": "m:new"}))


def test_forking_pools_become_such_that_exec_and_back():
    world = a_running_world()
    execs = changed(compute={"spawn": "exec"})
    applied(world, execs)
    assert not [life for life in world.alive.values() if life.kind == "zygote" and life.pool == "compute"]
    applied(world, OLD)


def test_a_cluster_of_another_name_is_refused():
    world = a_running_world()
    other = structs.replace(OLD, cluster=ClusterConfig(name="other"))
    assert "cluster.name cannot change" in refused(apply(world, other), 409)


def test_a_dry_run_says_what_would_be_and_does_nothing():
    world = a_running_world()
    found = world.cluster.dry_run(order(changed(compute={"workers": 5})))
    assert isinstance(found, Applied)
    assert [change.effect for change in found.changes] == ["from 2 to 5 workers"]
    assert world.actions == []


def test_processes_that_start_during_an_apply_hear_of_it_as_well():
    """A worker that is killed and comes back reads what counts by then."""
    world = a_running_world()
    new = changed(compute={"kill_after": 9.0})
    world.ask(order(new))
    world.tell(*[world.pending.pop(0)])
    world._obey(world.alive["compute.2"], KillNow(1))
    world.settle()
    world.pass_time(2.0)
    agree(world, new)


def test_everything_at_once():
    world = a_running_world(served(processes=2))
    new = Config(
        cluster=ClusterConfig(name="test", max_hops=9),
        server=structs.replace(OLD.server, processes=3, listen=ADDRESS),
        routes={"/a": "render"},
        pools={
            "render": PoolConfig(handler="m:render", workers=3),
            "compute": structs.replace(OLD.pools["compute"], handler="m:new", workers=5, spawn="exec"),
        },
    )
    applied(world, new)
    assert list(world.cluster._books.config.pools) == ["render", "compute"]
    assert applied(world, new).changes == []
