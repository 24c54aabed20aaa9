"""A pool with a key function: a job goes to the worker that had its key last, if that is idle, else to any."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from tests.support.asking import Asker
from tests.support.cluster import ClusterOfCases, wait_until

POOLS = """
[pools.keyed]
handler = "cases:work"
workers = 3
affinity = "cases:key_of"

[pools.plain]
handler = "cases:work"
workers = 3
"""
KEYS = "abcbacaabbcc"


def test_requests_of_one_key_meet_the_same_worker_while_it_is_idle_and_others_when_it_is_not():
    def met(pool: str, between: Callable[[int], object]) -> dict[str, set[str]]:
        workers: dict[str, set[str]] = defaultdict(set)
        for number, key in enumerate(KEYS, 1):
            workers[key].add(asker.ask(f"/{pool}/quick?k={key}").json["worker"])
            between(number)
        return workers

    def until_idle(asked: int) -> None:
        """An answer may be here before its worker is idle again."""
        wait_until(lambda: cluster.pool("keyed")["done"] == asked, what="an idle pool")

    with ClusterOfCases(POOLS) as cluster:
        cluster.up()
        with Asker(cluster.url) as asker:
            keyed = met("keyed", until_idle)
            assert [len(workers) for workers in keyed.values()] == [1, 1, 1]
            assert len(set.union(*keyed.values())) == 3
            assert any(len(workers) > 1 for workers in met("plain", int).values()), "it is the key that makes it so"

            busy = [asker.begin(f"/keyed/sleep?k=a&s=0.5&n=busy{number}") for number in range(3)]
            assert {begun.result().json["worker"] for begun in busy} == set.union(*keyed.values())
