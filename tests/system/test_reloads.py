"""`primectl reload` and `up --reload` under load: answers change from old to new, and no request fails."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import pytest

from tests.support.asking import Asker
from tests.support.cluster import ClusterUnderTest, wait_until

SHOP = '''
import os
import pathlib
import time

VERSION = "one"


class Shop:
    def start(self):
        """Workers of some versions do not come up."""

    def __call__(self, request, job):
        gate = request.query.get("gate")
        if gate:
            pathlib.Path(f"{gate}.begun").touch()
            while not pathlib.Path(gate).exists():
                time.sleep(0.01)
        return VERSION
'''
CONFIG = """
[cluster]
name = "{name}"

[server]
listen = "http://127.0.0.1:0"

[routes]
"/forked" = "forked"
"/alone" = "alone"

[pools.forked]
handler = "forked:Shop"
workers = 2

[pools.alone]
handler = "alone:Shop"
workers = 2
spawn = "exec"
"""
POOLS = ("forked", "alone")


@pytest.fixture
def cluster() -> Iterator[ClusterUnderTest]:
    with ClusterUnderTest(CONFIG, name="shop", files={f"{pool}.py": SHOP for pool in POOLS}) as cluster:
        cluster.up()
        yield cluster


def edit(cluster: ClusterUnderTest, pool: str, old: str, new: str) -> None:
    """As an editor does that writes a file beside and renames it."""
    file = cluster.folder / f"{pool}.py"
    text = file.read_text()
    assert old in text
    beside = Path(f"{file}.tmp")
    beside.write_text(text.replace(old, new))
    beside.rename(file)


def worker_pids(cluster: ClusterUnderTest) -> dict[str, int]:
    return {process["id"]: process["pid"] for process in cluster.ps()["processes"] if process["role"] == "worker"}


class Load:
    """Clients that ask a pool all the time, GET and POST, and keep every answer in order."""

    def __init__(self, url: str, pool: str) -> None:
        self._address = urlsplit(url).netloc
        self._ended = threading.Event()
        self.answers: dict[str, list[tuple[int, str]]] = {}
        self._threads = [
            threading.Thread(target=self._ask, args=(f"{method} {number}", method, f"/{pool}"))
            for method in ("GET", "POST")
            for number in range(2)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.await_more()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, name: str, method: str, target: str) -> None:
        answers = self.answers[name] = []
        connection = http.client.HTTPConnection(self._address, timeout=60)
        try:
            while not self._ended.is_set():
                connection.request(method, target, body=b"order" if method == "POST" else None)
                answer = connection.getresponse()
                answers.append((answer.status, answer.read().decode()))
        except (OSError, http.client.HTTPException) as error:
            answers.append((0, repr(error)))
        finally:
            connection.close()

    def await_more(self) -> None:
        """Until every client has had ten more answers."""
        before = {name: len(answers) for name, answers in self.answers.items()}
        wait_until(
            lambda: (
                len(self.answers) == len(self._threads)
                and all(len(answers) >= before.get(name, 0) + 10 for name, answers in self.answers.items())
            ),
            what="more answers",
        )

    def bodies(self) -> list[list[str]]:
        """Of each client, in order; every request must have been answered well."""
        assert {status for answers in self.answers.values() for status, _ in answers} == {200}, self.answers
        return [[body for _, body in answers] for answers in self.answers.values()]


@pytest.mark.parametrize("pool", POOLS)
def test_answers_change_from_old_to_new_and_no_request_fails(cluster: ClusterUnderTest, pool: str):
    other = next(name for name in POOLS if name != pool)
    before = worker_pids(cluster)
    with Load(cluster.url, pool) as load:
        edit(cluster, pool, '"one"', '"two"')
        (result,) = cluster.json("reload", pool)["pools"]
        asked = {name: len(answers) for name, answers in load.answers.items()}
        load.await_more()
    assert (result["pool"], result["ok"], result["processes"]) == (pool, True, [f"{pool}.1", f"{pool}.2"])
    load.bodies()
    for name, answers in load.answers.items():
        assert answers[0] == (200, "one")
        # The one that was under way when the command ended may still be of an old worker's.
        assert {body for _, body in answers[asked[name] + 1 :]} == {"two"}
    after = worker_pids(cluster)
    assert sorted(after) == sorted(before)
    assert [worker for worker in before if after[worker] == before[worker]] == [f"{other}.1", f"{other}.2"]


BROKEN = {
    "does not import": (
        'VERSION = "one"',
        'VERSION = retrun "two"',
        ["the new code cannot be imported: SyntaxError: invalid syntax; the old code stays", "forked.py", "retrun"],
        ["SyntaxError: invalid syntax; the old code stays", "alone.py", "retrun"],
    ),
    "raises at import": (
        'VERSION = "one"',
        'VERSION = os.environ["GONE"]',
        ["the new code cannot be imported: KeyError: 'GONE'; the old code stays"],
        ["KeyError: 'GONE'; the old code stays"],
    ),
    "ends at start": (
        '"""Workers of some versions do not come up."""',
        "print('no stock'); os._exit(7)",
        ["forked.3 with the new code: exit status 7: no stock; the old code stays"],
        ["alone.3 with the new code: exit status 7: no stock; the old code stays"],
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_code_that_is_broken_leaves_the_old_in_place_shows_why_and_no_request_fails(
    cluster: ClusterUnderTest, how: str
):
    old, new, *said = BROKEN[how]
    before = worker_pids(cluster)
    for pool, words in zip(POOLS, said, strict=True):
        with Load(cluster.url, pool) as load:
            edit(cluster, pool, old, new)
            told = cluster.cli("reload", pool, code=1)
            load.await_more()
        assert {body for bodies in load.bodies() for body in bodies} == {"one"}
        assert all(word in told.stderr for word in words), told.stderr
        assert told.stdout == ""
    assert worker_pids(cluster) == before
    both = cluster.json("reload", "all", code=1)["pools"]
    assert [(pool["pool"], pool["ok"]) for pool in both] == [("forked", False), ("alone", False)]
    for pool in POOLS:
        edit(cluster, pool, new, old)
    edit(cluster, "forked", '"one"', '"two"')
    cluster.cli("reload", *POOLS)
    with Asker(cluster.url) as asker:
        assert (asker.ask("/forked").body, asker.ask("/alone").body) == (b"two", b"one")


def test_a_long_job_is_finished_by_the_old_worker_that_runs_it(cluster: ClusterUnderTest):
    with Asker(cluster.url) as asker, ThreadPoolExecutor() as threads:
        long = [asker.begin(f"/{pool}?gate={pool}-gate") for pool in POOLS]
        for pool in POOLS:
            wait_until((cluster.folder / f"{pool}-gate.begun").exists, what="a job that runs")
            edit(cluster, pool, '"one"', '"two"')
        reloading = threads.submit(cluster.cli, "reload", *POOLS)
        for pool in POOLS:
            wait_until(lambda pool=pool: asker.ask(f"/{pool}").body == b"two", what="new code")
        for pool in POOLS:
            (cluster.folder / f"{pool}-gate").touch()
        assert [begun.result().body for begun in long] == [b"one", b"one"]
        reloading.result()
        assert [asker.ask(f"/{pool}").body for pool in POOLS] == [b"two", b"two"]


def test_a_change_that_is_watched_shows_in_the_answers_and_half_an_edit_in_the_log():
    """1. saved: the answers change. 2. half an edit: the error is in the log, the answers stay. 3. mended."""

    def log() -> str:
        return str(cluster.cli("logs", "-n", "1000", "supervisor").stdout)

    def shown(asker: Asker) -> tuple[Any, Any]:
        return asker.ask("/forked").body, asker.ask("/alone").body

    files = {f"{pool}.py": SHOP for pool in POOLS}
    with ClusterUnderTest(CONFIG, name="shop", files=files) as cluster:
        cluster.cli("up", "-d", "--reload")
        assert "is running already" in cluster.cli("up", "-d", "--reload", code=1).stderr
        with Asker(cluster.url) as asker:
            edit(cluster, "forked", '"one"', '"two"')
            wait_until(lambda: shown(asker) == (b"two", b"one"), what="the first edit")
            edit(cluster, "forked", '"two"', '"three')
            wait_until(lambda: "the new code cannot be imported: SyntaxError" in log(), what="the error")
            assert 'VERSION = "three' in log()
            assert shown(asker) == (b"two", b"one")
            edit(cluster, "forked", '"three', '"three"')
            wait_until(lambda: shown(asker) == (b"three", b"one"), what="the mended edit")
            cluster.file.write_text(f"{cluster.file.read_text()}\n# more\n")
            wait_until(lambda: "the config file has changed" in log(), what="a word on the config file")
