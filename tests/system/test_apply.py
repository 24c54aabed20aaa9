"""`primectl apply` as a black box: a running cluster takes a changed file under checked load, and no request fails."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.asking import Asker
from tests.support.cluster import ClusterUnderTest, wait_until
from tests.support.underload import Load

HANDLERS = """
import os

from primectl import Forward
from primectl.handlers.prime import compute


def slower(number, job):
    return compute(number, job)


def colour(request, job):
    to = request.query.get("to")
    return Forward(to, "a payload") if to else os.environ.get("COLOUR", "none")


def late(payload, job):
    return "late"
"""
CONFIG = """
[cluster]
name = "{name}"

[server]
listen = "http://127.0.0.1:0"

[routes]
"GET /is_prime" = "parse"
"GET /colour" = "colour"

[pools.parse]
handler = "primectl.handlers.prime:parse"

[pools.compute]
handler = "primectl.handlers.prime:compute"
workers = 2

[pools.colour]
handler = "mine:colour"
env = { COLOUR = "red" }
"""


@pytest.fixture
def cluster() -> Iterator[ClusterUnderTest]:
    with ClusterUnderTest(CONFIG, files={"mine.py": HANDLERS}) as cluster:
        yield cluster.up()


def edit(cluster: ClusterUnderTest, *changes: tuple[str, str]) -> None:
    text = cluster.file.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    cluster.file.write_text(text)


def effects(applied: dict[str, Any]) -> dict[str, str]:
    return {change["key"]: change["effect"] for change in applied["changes"]}


def lives(cluster: ClusterUnderTest) -> dict[str, int]:
    return {name: pid for name, pid in cluster.pids().items() if name != "supervisor"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except ConnectionRefusedError:
        return False
    return True


EDITS: list[tuple[str, list[tuple[str, str]], dict[str, str], set[str]]] = [
    (
        "a route",
        [('"GET /colour" = "colour"', '"GET /colour" = "colour"\n"GET /also" = "parse"')],
        {'routes."GET /also"': "takes effect at once"},
        set(),
    ),
    (
        "settings of a pool",
        [("workers = 2", 'workers = 2\nmax_queue = 77\nkill_after = "3s"')],
        {"pools.compute.max_queue": "takes effect at once", "pools.compute.kill_after": "takes effect at once"},
        set(),
    ),
    (
        "a handler",
        [('handler = "primectl.handlers.prime:compute"', 'handler = "mine:slower"')],
        {"pools.compute.handler": "pool compute is reloaded"},
        {"compute.1", "compute.2"},
    ),
    ("a size", [("workers = 2", "workers = 3")], {"pools.compute.workers": "from 2 to 3 workers"}, {"compute.3"}),
    (
        "a key of the server",
        [("[server]", '[server]\nrequest_timeout = "20s"')],
        {"server.request_timeout": "servers are replaced one after the other"},
        {"server.1"},
    ),
]


@pytest.mark.parametrize(("changes", "told", "touched"), [edit[1:] for edit in EDITS], ids=[edit[0] for edit in EDITS])
def test_only_what_changed_is_touched_and_no_request_fails(
    cluster: ClusterUnderTest, changes: list[tuple[str, str]], told: dict[str, str], touched: set[str]
) -> None:
    before = lives(cluster)
    edit(cluster, *changes)
    with Load(cluster.url) as load:
        assert effects(cluster.json("apply")) == told
    load.assert_flawless()
    after = lives(cluster)
    assert {name for name in after if after[name] != before.get(name)} == touched
    assert cluster.json("apply")["changes"] == []


def test_a_new_environment_is_there_and_no_value_of_it_is_shown(cluster: ClusterUnderTest) -> None:
    edit(cluster, ('COLOUR = "red"', 'COLOUR = "blue"'))
    with Asker(cluster.url) as asker:
        assert asker.ask("/colour").body == b"red"
        told = cluster.cli("apply").stdout
        assert "pools.colour.env.COLOUR" in told
        assert "blue" not in told
    with Asker(cluster.url) as asker:
        assert asker.ask("/colour").body == b"blue"


def test_a_pool_comes_and_goes_and_workers_that_run_forward_to_it_without_a_restart(cluster: ClusterUnderTest) -> None:
    url = cluster.url
    before = lives(cluster)
    pool = '\n[pools.late]\nhandler = "mine:late"\n'
    cluster.file.write_text(cluster.file.read_text() + pool)
    with Load(url) as load, Asker(url) as asker:
        assert asker.ask("/colour?to=late").status == 500
        assert effects(cluster.json("apply")) == {"pools.late": "pool late starts"}
        assert asker.ask("/colour?to=late").body == b"late"
        edit(cluster, (pool, ""))
        assert effects(cluster.json("apply")) == {"pools.late": "pool late drains and ends"}
        assert asker.ask("/colour?to=late").status == 500
    load.assert_flawless()
    assert lives(cluster) == before
    assert not [file for file in cluster.files_left() if "late" in file]


def test_servers_come_and_go(cluster: ClusterUnderTest) -> None:
    url = cluster.url
    with Load(url) as load:
        edit(cluster, ("[server]", "[server]\nprocesses = 2"))
        assert effects(cluster.json("apply")) == {"server.processes": "from 1 to 2 servers"}
        assert "server.2" in cluster.pids()
        edit(cluster, ("processes = 2", "processes = 1"))
        cluster.cli("apply")
        assert "server.2" not in cluster.pids()
    load.assert_flawless()
    assert cluster.url == url


def http_address(cluster: ClusterUnderTest) -> str:
    return f"http://127.0.0.1:{free_port()}"


def unix_address(cluster: ClusterUnderTest) -> str:
    return f"unix:{cluster.home}/web.sock"


@pytest.mark.parametrize("address", [http_address, unix_address])
def test_a_new_address_serves_before_the_old_one_is_left(
    cluster: ClusterUnderTest, address: Callable[[ClusterUnderTest], str]
) -> None:
    """And no request that the old address has taken fails."""
    old, new = cluster.url, address(cluster)
    edit(cluster, ('listen = "http://127.0.0.1:0"', f'listen = "{new}"'))
    with Load(old) as load:
        wait_until(lambda: cluster.ps()["server"]["requests"] > 0)
        cluster.cli("apply")
    load.assert_flawless()
    assert not can_connect(int(old.rpartition(":")[2]))
    assert cluster.url == new
    with Load(new) as load:
        wait_until(lambda: cluster.ps()["server"]["in_flight"] > 0)
        edit(cluster, (f'listen = "{new}"', f'listen = "{old}"'))
        cluster.cli("apply")
    load.assert_flawless()
    assert cluster.url == old
    assert not Path(f"{cluster.home}/web.sock").exists()


def test_an_address_in_use_refuses_the_file_whole(cluster: ClusterUnderTest) -> None:
    before = lives(cluster)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        edit(cluster, ("http://127.0.0.1:0", f"http://127.0.0.1:{port}"), ("workers = 2", "workers = 5"))
        refused = cluster.cli("apply", code=1)
    assert f"127.0.0.1:{port} is in use by process" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert lives(cluster) == before


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("workers = 2", 'workers = "two"', "pools.compute.workers: expected a whole number"),
        ('handler = "mine:colour"', 'handler = "mine:color"', "pools.colour.handler"),
        ("[pools.parse]", "[pools.parse]\nhandler = [", "not TOML"),
    ],
)
def test_a_broken_file_is_refused_whole(cluster: ClusterUnderTest, before: str, after: str, line: str) -> None:
    running = lives(cluster)
    edit(cluster, (before, after), ("[server]", "[server]\nprocesses = 2"))
    refused = cluster.cli("apply", code=2)
    assert line in refused.stderr
    assert refused.stdout == ""
    assert lives(cluster) == running


def test_a_dry_run_says_what_would_be_and_changes_nothing(cluster: ClusterUnderTest) -> None:
    running = lives(cluster)
    edit(cluster, ("workers = 2", "workers = 4"))
    told = cluster.cli("apply", "--dry-run").stdout
    assert "from 2 to 4 workers" in told
    assert told.splitlines()[-1] == "dry run: nothing was changed"
    planned = cluster.json("apply", "--dry-run")
    assert planned["applied"] is False
    assert effects(planned) == {"pools.compute.workers": "from 2 to 4 workers"}
    assert lives(cluster) == running


def test_another_size_than_that_of_the_file_shows_until_the_file_is_applied(cluster: ClusterUnderTest) -> None:
    cluster.cli("scale", "compute=4")
    assert "4/4 (file 2)" in cluster.cli("ps").stdout
    assert cluster.pool("compute")["configured"] == 2
    assert "4 (scaled from 2)" in cluster.cli("apply", "--dry-run").stdout
    cluster.cli("apply")
    assert (cluster.pool("compute")["target"], cluster.pool("compute")["configured"]) == (2, 2)
    assert "(file" not in cluster.cli("ps").stdout


def test_the_same_file_is_nothing_to_change(cluster: ClusterUnderTest) -> None:
    assert "nothing to change" in cluster.cli("apply", str(cluster.file)).stdout


def test_a_cluster_that_does_not_run_has_nothing_to_apply_to() -> None:
    with ClusterUnderTest(CONFIG, files={"mine.py": HANDLERS}) as cluster:
        assert "is not running" in cluster.cli("apply", code=3).stderr
