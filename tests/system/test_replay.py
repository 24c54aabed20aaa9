"""Record, change the code, replay: what an operator does with a cluster of their own, by the command line."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from primectl.journal.archive import Archive
from primectl.wire.journal import RequestsQuery, Row
from tests.support.asking import Asker
from tests.support.cluster import ClusterUnderTest, wait_until

TLS = Path(__file__).parents[1] / "support" / "tls"
SHOP = """
import os

VERSION = 1


def front(request, job):
    from primectl import Forward
    return Forward("tax", {"amount": int(request.query.get("amount", "7")), "how": request.method})


def tax(asked, job):
    if asked["amount"] == 13 and VERSION == 1:
        os._exit(3)
    return {"tax": asked["amount"] * 19 // 100, "version": VERSION}
"""
CONFIG = """
[cluster]
name = "{name}"

[server]
listen = "http://127.0.0.1:0"

[routes]
"/tax" = "front"

[pools.front]
handler = "shop:front"
workers = 1

[pools.tax]
handler = "shop:tax"
workers = 2
"""


@pytest.fixture
def cluster() -> Iterator[ClusterUnderTest]:
    with ClusterUnderTest(CONFIG, name="shop", files={"shop.py": SHOP}) as cluster:
        yield cluster.up()


def rows(cluster: ClusterUnderTest) -> list[Row]:
    """All that is recorded, newest first."""
    with Archive(cluster.place.journal_file) as archive:
        return archive.query(RequestsQuery(last=1000)).requests


def recorded(cluster: ClusterUnderTest, number: int) -> list[Row]:
    """All that is recorded, once it is so many."""
    found: list[Row] = wait_until(
        lambda: found if len(found := rows(cluster)) >= number else [], what=f"{number} recorded requests"
    )
    return found


def new_code(cluster: ClusterUnderTest) -> None:
    (cluster.folder / "shop.py").write_text(SHOP.replace("VERSION = 1", "VERSION = 2"))
    cluster.cli("reload", "all")


def ask(cluster: ClusterUnderTest, *amounts: int, method: str = "GET") -> list[int]:
    """The statuses of the answers."""
    with Asker(cluster.url) as asker:
        return [asker.ask(f"/tax?amount={amount}", method=method).status for amount in amounts]


def replay(cluster: ClusterUnderTest, *words: str, code: int = 0) -> Any:
    return json.loads(cluster.cli("replay", *words, "--json", code=code).stdout)


def test_what_new_code_answers_otherwise_is_found_and_told(cluster: ClusterUnderTest) -> None:
    assert ask(cluster, 100, 200, 300) == [200, 200, 200]
    recorded(cluster, 3)
    assert "3 sent  3 same" in cluster.cli("replay", "--last", "3", "--speed", "max", "--fail-on", "diff").stdout
    new_code(cluster)
    told = cluster.cli("replay", "--last", "3", "--speed", "max", "--diff", "--fail-on", "diff", code=1).stdout
    assert "3 sent  3 changed" in told
    assert "body       /version\n           − 1\n           + 2\n" in told
    report = replay(cluster, "--last", "3", "--ignore", "/version", "--fail-on", "diff")
    assert (report["sent"], report["same"], report["stopped"]) == (3, 3, "")


def test_a_replay_shows_each_hops_time_then_and_now_and_is_a_row_of_its_own(cluster: ClusterUnderTest) -> None:
    ask(cluster, 100)
    [original] = recorded(cluster, 1)
    report = replay(cluster, original.id)
    [result] = report["requests"]
    assert result["id"] == original.id
    for side in ("before", "after"):
        assert [hop["pool"] for hop in result["hops"][side]] == ["front", "tax"]
    assert [pool["pool"] for pool in report["pools"]] == ["front", "tax"]
    newest, *_ = recorded(cluster, 2)
    assert (newest.id, newest.replay_of, newest.replay_run) == (result["replay_id"], original.id, report["run"])


def test_replays_are_not_chosen_unless_asked_for(cluster: ClusterUnderTest) -> None:
    ask(cluster, 100)
    [original] = recorded(cluster, 1)
    replay(cluster, "--last", "5", "--repeat", "3")
    recorded(cluster, 4)
    assert replay(cluster, "--last", "5", "--dry-run")["count"] == 1
    assert replay(cluster, "--where", "status = 200", "--dry-run")["count"] == 1
    assert replay(cluster, "--last", "5", "--replays", "--dry-run")["count"] == 4
    assert {row.replay_of for row in rows(cluster)} == {"", original.id}


def test_what_may_change_something_is_not_sent_without_a_word(cluster: ClusterUnderTest) -> None:
    ask(cluster, 100, method="POST")
    ask(cluster, 200)
    recorded(cluster, 2)
    done = cluster.cli("replay", "--last", "2", "--speed", "max")
    assert "1 of 2 is POST: skipped, nobody can be asked here" in done.stderr
    counts = done.stdout.splitlines()[1]  # between them it may say that it was slower this time
    assert (counts.startswith("1 sent  1 same  "), counts.endswith("  1 skipped")) == (True, True)
    assert replay(cluster, "--last", "2", "--speed", "max", "--unsafe", "send")["same"] == 2


def test_a_dead_letter_is_redeemed_after_a_fix(cluster: ClusterUnderTest) -> None:
    assert ask(cluster, 13, method="POST") == [502]
    [dead] = recorded(cluster, 1)
    assert (dead.dead, dead.redeemed) == (True, False)
    again = replay(cluster, "--dead", "--unsafe", "send")
    assert (again["sent"], again["redeemed"], again["fixed"]) == (1, 0, 0)
    new_code(cluster)
    report = replay(cluster, "--dead", "--unsafe", "send")
    assert (report["sent"], report["redeemed"], report["fixed"]) == (1, 1, 1)
    wait_until(lambda: all(row.redeemed for row in rows(cluster) if row.dead and not row.replay_of), what="redeemed")
    assert replay(cluster, "--dead", "--unsafe", "send")["sent"] == 0
    assert cluster.cli("replay", "--dead").stdout == "no dead letter waits to be redeemed\n"


def test_a_target_that_is_not_there_stops_the_run(cluster: ClusterUnderTest) -> None:
    ask(cluster, *range(100, 130))
    recorded(cluster, 30)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{bound.getsockname()[1]}"
        report = replay(cluster, "--last", "30", "--speed", "max", "--in-flight", "2", "--to", nowhere, code=1)
    assert "cannot be reached" in report["stopped"]
    assert report["sent"] + report["not_sent"] == 30
    assert report["not_sent"] > 0


def test_a_brake_on_a_pool_that_is_not_there_is_a_mistake(cluster: ClusterUnderTest) -> None:
    done = cluster.cli("replay", "--last", "1", "--stop-if", "queue.none>5", code=2)
    assert "none" in done.stderr
    assert Path(cluster.place.journal_file).exists()


def test_an_exported_set_is_a_test(cluster: ClusterUnderTest) -> None:
    ask(cluster, 100, 200)
    recorded(cluster, 2)
    exported = cluster.cli("requests", "export", "--last", "2").stdout
    (cluster.folder / "set.jsonl").write_text(exported)
    assert "2 sent  2 same" in cluster.cli("replay", "run", "set.jsonl", "--fail-on", "diff").stdout
    new_code(cluster)
    cluster.cli("replay", "run", "set.jsonl", "--to", cluster.url, "--fail-on", "diff", code=1)
    cluster.cli("replay", "run", "set.jsonl", "--fail-on", "error")


@pytest.mark.parametrize("listen", ["http://0.0.0.0:0", "unix:{home}/front", "https://127.0.0.1:0"])
def test_a_cluster_is_replayed_to_wherever_it_listens(listen: str) -> None:
    files = {"shop.py": SHOP, **{name: (TLS / name).read_text() for name in ("certificate.pem", "key.pem")}}
    with ClusterUnderTest(CONFIG, name="shop", files=files) as cluster:
        server = f'listen = "{listen.format(home=cluster.home)}"'
        if listen.startswith("https"):
            server += '\ncertificate = "certificate.pem"\nprivate_key = "key.pem"'
        cluster.file.write_text(cluster.file.read_text().replace('listen = "http://127.0.0.1:0"', server))
        (cluster.folder / "set.jsonl").write_text(
            '{"method": "GET", "target": "/tax?amount=100", "answer": {"body": "{\\"tax\\": 19, \\"version\\": 1}"}}'
        )
        cluster.up()
        report = replay(cluster, "run", "set.jsonl", "--fail-on", "diff")
        assert (report["sent"], report["same"]) == (1, 1)
        [result] = report["requests"]
        assert [hop["pool"] for hop in result["hops"]["after"]] == ["front", "tax"]
