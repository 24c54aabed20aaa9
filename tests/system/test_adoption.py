"""The supervisor gets SIGKILL while clients ask; the next `up` goes on with what runs, and nobody notices."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.support.cluster import ClusterUnderTest, alive, wait_until
from tests.support.load import closed, get, primes

CONNECTIONS = 16


@pytest.fixture
def cluster() -> Iterator[ClusterUnderTest]:
    with ClusterUnderTest() as cluster:
        yield cluster.up()


@asynccontextmanager
async def nobody_notices(cluster: ClusterUnderTest, path: str = "/ready") -> AsyncIterator[None]:
    """Requests are answered, and so is that path, with 200 all the time."""
    over = asyncio.Event()
    url = cluster.url
    load = asyncio.create_task(closed(url, primes(), connections=CONNECTIONS, until=over, seconds=60))
    ready = asyncio.create_task(closed(url, itertools.repeat(get(path)), connections=1, until=over, seconds=60))
    yield
    over.set()
    for result in (await load, await ready):
        assert (result.wrong, result.failed, result.refused) == (0, 0, 0), result
        assert result.requests > 100, result


async def operate(cluster: ClusterUnderTest, *words: str) -> str:
    """A command, while this process goes on with its load."""
    done = await asyncio.to_thread(cluster.cli, *words)
    return done.stdout


async def pids(cluster: ClusterUnderTest) -> dict[str, int]:
    found = await asyncio.to_thread(cluster.pids)
    return {process: pid for process, pid in found.items() if process != "supervisor"}


async def supervisor_dies(cluster: ClusterUnderTest) -> None:
    found = await asyncio.to_thread(cluster.pids)
    os.kill(found["supervisor"], signal.SIGKILL)


def log_goes_on(cluster: ClusterUnderTest, process: str) -> None:
    log = Path(cluster.place.log_file(process))
    before = log.stat().st_size
    wait_until(lambda: log.stat().st_size > before, what="another line")


async def test_the_death_of_the_supervisor_and_the_next_one_cost_no_request(cluster: ClusterUnderTest):
    async with nobody_notices(cluster):
        before, zygotes = await pids(cluster), left_behind(cluster, "zygote.")
        assert len(zygotes) == 2
        for _ in range(2):
            await supervisor_dies(cluster)
            await asyncio.to_thread(log_goes_on, cluster, "server.1")
            assert all(map(alive, before.values()))
            told = await operate(cluster, "up", "-d")
            assert told.rstrip().endswith(": adopted 7 processes")
            assert await pids(cluster) == before
        await asyncio.to_thread(wait_until, lambda: not any(map(alive, zygotes)), what="new zygotes")


async def test_the_cluster_is_operated_as_before_and_no_request_fails(cluster: ClusterUnderTest):
    async with nobody_notices(cluster, "/health"):  # with its only proxy or worker away, a pool is not ready
        before = await pids(cluster)
        await supervisor_dies(cluster)
        await operate(cluster, "up", "-d")
        assert "KILL acknowledged by 1 of 1" in await operate(cluster, "kill", "compute.1", "--yes")
        await operate(cluster, "scale", "compute=4")
        await operate(cluster, "scale", "compute=2")
        assert "restarted 1 process" in await operate(cluster, "restart", "server.1")
        assert "restarted 1 process" in await operate(cluster, "restart", "proxy.compute")
        await operate(cluster, "restart", "all")
        after = await pids(cluster)
        # Of four workers under load the two that are idle just then leave, whatever their numbers.
        assert len(after) == len(before)
        assert set(after.values()) & set(before.values()) == {before["proxy.parse"], before["recorder"]}
    assert cluster.down()["killed"] == []


async def test_what_is_killed_while_nobody_watches_is_replaced_by_the_next(cluster: ClusterUnderTest):
    await operate(cluster, "scale", "compute=4")
    async with nobody_notices(cluster):
        before = await pids(cluster)
        await supervisor_dies(cluster)
        os.kill(before["compute.3"], signal.SIGKILL)
        await asyncio.to_thread(wait_until, lambda: not alive(before["compute.3"]), what="its end")
        told = await operate(cluster, "up", "-d")
        assert told.rstrip().endswith(": adopted 8 processes, started 1 that had ended")
        after = await pids(cluster)
        assert {process for process, pid in after.items() if before[process] != pid} == {"compute.3"}
        pool = await asyncio.to_thread(cluster.pool, "compute")
        assert (pool["target"], pool["workers"]) == (4, 4)


def test_json_tells_what_was_adopted_and_started(cluster: ClusterUnderTest):
    before = cluster.pids()
    os.kill(before["supervisor"], signal.SIGKILL)
    os.kill(before["parse.1"], signal.SIGKILL)
    wait_until(lambda: not alive(before["parse.1"]), what="its end")
    told = cluster.json("up", "-d")
    assert (told["adopted"], told["started"], told["failing"], told["already_running"]) == (6, 1, [], False)
    assert cluster.json("up", "-d")["already_running"] is True


OWN = """
[cluster]
name = "{name}"

[server]
listen = "http://127.0.0.1:0"

[routes]
"/echo" = "own"

[pools.own]
handler = "own:echo"
workers = 2

[supervisor]
backoff_first = "50ms"
backoff_longest = "50ms"
"""
ECHO = """
from primectl import Response

def echo(request, job):
    return Response.text("echo")
"""


def test_code_that_is_broken_by_now_keeps_no_cluster_from_being_taken_over_and_what_it_breaks_is_told():
    with ClusterUnderTest(OWN, name="own", files={"own.py": ECHO}) as cluster:
        before = cluster.up().pids()
        os.kill(before["supervisor"], signal.SIGKILL)
        (cluster.folder / "own.py").write_text("1 / 0")
        assert cluster.cli("up", "-d").stdout.rstrip().endswith(": adopted 5 processes")
        os.kill(cluster.pids()["supervisor"], signal.SIGKILL)
        os.kill(before["own.2"], signal.SIGKILL)
        wait_until(lambda: not alive(before["own.2"]), what="its end")
        done = cluster.cli("up", "-d", code=1)
        assert done.stdout.rstrip().endswith(": adopted 4 processes")
        assert "own.2 is not up: its handler cannot be imported: ZeroDivisionError: division by zero" in done.stderr
        assert {process["id"]: process["state"] for process in cluster.ps()["processes"]}["own.1"] == "running"


async def test_a_config_that_has_changed_meanwhile_is_applied_without_a_failed_request(cluster: ClusterUnderTest):
    await operate(cluster, "scale", "parse=3")
    async with nobody_notices(cluster):
        before = await pids(cluster)
        await supervisor_dies(cluster)
        text = cluster.file.read_text()
        cluster.file.write_text(text.replace("workers = 2", "workers = 4"))
        told = await operate(cluster, "up", "-d")
        assert ": adopted 9 processes; the changed config: 1 change made" in told
        after = await pids(cluster)
        assert set(after) - set(before) == {"compute.3", "compute.4"}
        assert {process for process in before if after[process] != before[process]} == set()
    assert cluster.pool("parse")["target"] == 3, "an operator's size stays"


def test_a_changed_config_that_cannot_be_applied_is_told_and_the_cluster_goes_on_as_it_was(cluster: ClusterUnderTest):
    before = cluster.pids()
    os.kill(before["supervisor"], signal.SIGKILL)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = cluster.file.read_text()
        cluster.file.write_text(text.replace("http://127.0.0.1:0", f"http://127.0.0.1:{port}"))
        done = cluster.cli("up", "-d", code=1)
    assert done.stdout.rstrip().endswith(": adopted 7 processes")
    assert done.stderr.startswith("the changed config is not applied: ")
    assert "in use" in done.stderr
    assert {**cluster.pids(), "supervisor": 0} == {**before, "supervisor": 0}


def test_a_cluster_that_is_left_can_be_taken_over_in_the_foreground(cluster: ClusterUnderTest):
    before = cluster.pids()
    os.kill(before["supervisor"], signal.SIGKILL)
    process = cluster.spawn("up")
    wait_until(lambda: cluster.cli("ps", code=None).returncode == 0, what="the next supervisor")
    after = cluster.pids()
    assert {**after, "supervisor": 0} == {**before, "supervisor": 0}
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 0
    assert ": adopted 7 processes; Ctrl-C stops it" in told
    assert cluster.processes_left() == []


def test_orphans_are_ended_where_the_config_says_so(cluster: ClusterUnderTest):
    before = cluster.pids()
    os.kill(before["supervisor"], signal.SIGKILL)
    cluster.file.write_text(f'{cluster.file.read_text()}\n[supervisor]\norphans = "kill"\n')
    assert "adopted" not in cluster.cli("up", "-d").stdout
    assert not set(cluster.pids().values()) & set(before.values())


def test_down_ends_what_a_dead_supervisor_has_left_its_zygotes_too(cluster: ClusterUnderTest):
    os.kill(cluster.pids()["supervisor"], signal.SIGKILL)
    assert len(left_behind(cluster, "zygote.")) == 2
    told = cluster.cli("down").stdout
    assert "zygote.compute" in told
    assert cluster.processes_left() == []
    assert cluster.files_left() == []


def left_behind(cluster: ClusterUnderTest, name: str) -> list[int]:
    """The pids of processes of that name, which they have from us; no command shows zygotes."""
    title = f"primectl: {cluster.name}/{name}"
    found = []
    for process in cluster.processes_left():
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if " ".join(process.cmdline()).startswith(title):
                found.append(process.pid)
    return found
