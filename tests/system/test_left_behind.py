"""What handlers have left behind, after the supervisor that saw them begin has died."""

from __future__ import annotations

import os
import signal

from tests.support.asking import Asker
from tests.support.cluster import ClusterOfCases, alive, wait_until

POOLS = """
[pools.litter]
handler = "cases:work"

[pools.neighbour]
handler = "cases:work"
"""


def test_what_the_handler_of_an_adopted_worker_has_started_ends_with_it_and_the_neighbours_lives_on():
    with ClusterOfCases(POOLS) as cluster:
        cluster.up()

        def litter(pool: str) -> list[int]:
            with Asker(cluster.url) as asker:
                assert asker.ask(f"/{pool}/litter?n={pool}").status == 200
            notes = [cluster.await_note(f"{pool} {name} is ") for name in ("child", "session", "daemon")]
            return [int(note.split()[-1]) for note in notes]

        left, neighbours = litter("litter"), litter("neighbour")
        copies = [int(cluster.await_note(f"{pool} copy is ").split()[-1]) for pool in ("litter", "neighbour")]
        before = cluster.pids()
        os.kill(before["supervisor"], signal.SIGKILL)
        wait_until(lambda: not alive(before["supervisor"]), what="the end of the supervisor")
        cluster.up()
        assert cluster.pids()["litter.1"] == before["litter.1"]
        os.kill(before["litter.1"], signal.SIGKILL)
        cluster.await_replaced("litter.1", before["litter.1"])
        wait_until(lambda: not any(map(alive, left)), what="all of them to end")
        assert all(map(alive, neighbours))
        cluster.down()
        wait_until(lambda: not any(map(alive, neighbours)), what="those of the neighbour to end too")
        for copy in copies:  # mere copies of an adopted worker cannot be told from those of another cluster
            os.kill(copy, signal.SIGKILL)
