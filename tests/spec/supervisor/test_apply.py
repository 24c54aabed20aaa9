"""A plan: which keys of two configs differ, whom each concerns, what operators read about it."""

import pytest
from msgspec import structs

from primectl.config.model import (
    ClusterConfig,
    Config,
    JournalConfig,
    PoolConfig,
    ServerConfig,
    SupervisorConfig,
)
from supervisor import apply
from supervisor.apply import KEYS, plan

COMPUTE = PoolConfig(handler="m:compute", workers=4)
CONFIG = Config(
    routes={"/compute": "compute"},
    pools={"compute": COMPUTE, "encode": PoolConfig(handler="m:encode")},
)
TARGETS = {"compute": 4, "encode": 1}


def with_pool(name="compute", **keys):
    return structs.replace(CONFIG, pools={**CONFIG.pools, name: structs.replace(CONFIG.pools[name], **keys)})


def with_server(**keys):
    return structs.replace(CONFIG, server=structs.replace(CONFIG.server, **keys))


def rows(new, old=CONFIG, targets=TARGETS, **options):
    return [tuple(structs.astuple(change)) for change in plan(old, new, targets, **options).changes]


def test_every_key_of_a_config_has_been_thought_about():
    tables = {
        "cluster": ClusterConfig,
        "server": ServerConfig,
        "pools.*": PoolConfig,
        "journal": JournalConfig,
        "supervisor": SupervisorConfig,
    }
    keys = {f"{table}.{field.name}" for table, kind in tables.items() for field in structs.fields(kind)}
    assert {"cluster", "server", "routes", "pools", "journal", "supervisor"} == {
        field.name for field in structs.fields(Config)
    }
    assert set(KEYS) == keys | {"routes"}


def test_the_same_config_changes_nothing():
    assert plan(CONFIG, CONFIG, TARGETS) == apply.Plan()


@pytest.mark.parametrize(
    ("new", "row"),
    [
        (
            with_server(request_timeout=60.0),
            ("server.request_timeout", '"30s"', '"1m"', "servers are replaced one after the other"),
        ),
        (
            with_server(max_request_size=1 << 20),
            ("server.max_request_size", '"10MiB"', '"1MiB"', "servers are replaced one after the other"),
        ),
        (
            with_server(trusted_proxies=("10.0.0.0/8",)),
            ("server.trusted_proxies", "[]", '["10.0.0.0/8"]', "servers are replaced one after the other"),
        ),
        (with_server(processes=2), ("server.processes", "1", "2", "from 1 to 2 servers")),
        (
            with_server(listen="http://127.0.0.1:9000"),
            (
                "server.listen",
                '"http://127.0.0.1:8002"',
                '"http://127.0.0.1:9000"',
                "the new address is bound, servers are replaced, the old address is closed",
            ),
        ),
        (
            with_pool(handler="m:other"),
            ("pools.compute.handler", '"m:compute"', '"m:other"', "pool compute is reloaded"),
        ),
        (with_pool(workers=2), ("pools.compute.workers", "4", "2", "from 4 to 2 workers")),
        (with_pool(kill_after=5.0), ("pools.compute.kill_after", '"2s"', '"5s"', "takes effect at once")),
        (with_pool(prefetch=3), ("pools.compute.prefetch", '"auto"', "3", "takes effect at once")),
        (
            structs.replace(CONFIG, routes={"/compute": "encode"}),
            ('routes."/compute"', '"compute"', '"encode"', "takes effect at once"),
        ),
        (
            structs.replace(CONFIG, routes={**CONFIG.routes, "GET /e": "encode"}),
            ('routes."GET /e"', "", '"encode"', "takes effect at once"),
        ),
        (
            structs.replace(CONFIG, supervisor=SupervisorConfig(crash_limit=9)),
            ("supervisor.crash_limit", "6", "9", "takes effect at once"),
        ),
        (
            structs.replace(CONFIG, pools={**CONFIG.pools, "render": PoolConfig(handler="m:render", workers=2)}),
            ("pools.render", "", "m:render, 2 workers", "pool render starts"),
        ),
        (
            structs.replace(CONFIG, pools={"compute": COMPUTE}),
            ("pools.encode", "m:encode, 1 worker", "", "pool encode drains and ends"),
        ),
    ],
)
def test_a_row_says_what_changes_and_what_comes_of_it(new, row):
    assert rows(new) == [row]


def test_no_value_of_an_environment_is_shown_since_it_may_be_a_secret():
    old = with_pool(env={"TOKEN": "hush", "GONE": "hush", "SAME": "1"})
    new = with_pool(env={"TOKEN": "secret", "NEW": "secret", "SAME": "1"})
    found = rows(new, old)
    assert [row[:3] for row in found] == [
        ("pools.compute.env.TOKEN", "set", "changed"),
        ("pools.compute.env.GONE", "set", ""),
        ("pools.compute.env.NEW", "", "set"),
    ]
    assert {row[3] for row in found} == {"pool compute is reloaded"}


def test_a_size_that_an_operator_gave_is_shown_against_the_file_and_taken_back():
    scaled = {**TARGETS, "compute": 8}
    found = plan(CONFIG, CONFIG, scaled)
    assert rows(CONFIG, targets=scaled) == [("pools.compute.workers", "8 (scaled from 4)", "4", "from 8 to 4 workers")]
    assert found.sizes == {"compute": 4}


def test_a_file_that_has_the_size_which_an_operator_gave_only_ends_the_difference():
    found = plan(CONFIG, with_pool(workers=8), {**TARGETS, "compute": 8})
    assert [change.effect for change in found.changes] == ["stays at 8 workers"]
    assert found.sizes == {"compute": 8}


def test_who_keeps_sizes_keeps_those_of_operators_unless_the_file_itself_has_another():
    scaled = {**TARGETS, "compute": 8}
    assert plan(CONFIG, CONFIG, scaled, keep_sizes=True).sizes == {}
    assert plan(CONFIG, with_pool(workers=3), scaled, keep_sizes=True).sizes == {"compute": 3}


def test_a_file_in_another_folder_reloads_every_pool_since_handlers_are_found_beside_it():
    found = plan(CONFIG, CONFIG, TARGETS, old_import_path="/old", new_import_path="/new")
    assert [(change.key, change.effect) for change in found.changes] == [
        ("folder of the file", "every pool is reloaded")
    ]
    assert found.reloading == ("compute", "encode")


@pytest.mark.parametrize(
    ("enabled", "row"),
    [
        (False, ("journal.enabled", "true", "false", "servers tell of no more requests, the recorder leaves")),
        (True, ("journal.enabled", "false", "true", "the recorder starts")),
    ],
)
def test_the_journal_is_switched_on_and_off_without_a_server_being_replaced(enabled, row):
    old = structs.replace(CONFIG, journal=JournalConfig(enabled=not enabled))
    found = plan(old, structs.replace(CONFIG, journal=JournalConfig(enabled=enabled)), TARGETS)
    assert [(change.key, change.before, change.after, change.effect) for change in found.changes] == [row]
    assert (found.servers, found.reloading, found.processes) == (False, (), False)


@pytest.mark.parametrize(
    ("changed", "row"),
    [
        ({"keep": 60.0}, ("journal.keep", '"24h"', '"1m"')),
        ({"max_size": 1 << 20}, ("journal.max_size", '"1GiB"', '"1MiB"')),
        ({"max_body": 0}, ("journal.max_body", '"64KiB"', '"0B"')),
        ({"sample": 0.1}, ("journal.sample", "1.0", "0.1")),
        ({"redact_body": ("/card/*",)}, ("journal.redact_body", "[]", '["/card/*"]')),
    ],
)
def test_what_is_recorded_takes_effect_at_once(changed, row):
    found = plan(CONFIG, structs.replace(CONFIG, journal=JournalConfig(**changed)), TARGETS)
    told = [(change.key, change.before, change.after, change.effect) for change in found.changes]
    assert told == [(*row, "takes effect at once")]
    assert (found.servers, found.reloading) == (False, ())


def test_the_name_of_the_cluster_cannot_change():
    found = plan(CONFIG, structs.replace(CONFIG, cluster=ClusterConfig(name="other")), TARGETS)
    assert found.refusal is not None
    assert found.refusal.what == "cluster.name cannot change while the cluster runs"
    assert "primectl down" in found.refusal.mend


def test_what_is_put_together_of_the_parts_is_the_new_config():
    new = structs.replace(
        with_server(listen="http://127.0.0.1:9000", max_inflight=7),
        cluster=ClusterConfig(max_hops=9),
        journal=JournalConfig(redact_headers=("x",)),
        routes={"/r": "render"},
        pools={
            "render": PoolConfig(handler="m:render"),
            "compute": structs.replace(COMPUTE, handler="m:new", workers=9, kill_after=1.0),
        },
    )
    config = apply.with_at_once(CONFIG, new)
    assert config.pools["compute"] == structs.replace(COMPUTE, kill_after=1.0)
    config = apply.with_pool(config, new, "render")
    assert list(config.pools) == ["render", "compute", "encode"]
    config = apply.with_pool(config, new, "compute", workers=4)
    assert config.pools["compute"].workers == 4
    config = apply.with_pool(config, new, "compute")
    config = apply.with_servers(config, new)
    config = apply.without_pool(config, "encode")
    assert structs.replace(config, routes=new.routes) == new
