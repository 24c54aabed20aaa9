"""How long a question to a journal of a million rows takes, asked of the reader and as a command of its own.

python -m tests.bench.journal_query [rows]
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from statistics import median

import msgspec

from primectl.config import topology
from primectl.journal.archive import Archive
from primectl.journal.entry import packed, pages
from primectl.journal.store import Journal
from primectl.message import Request
from primectl.wire.job import RequestId
from primectl.wire.journal import DEAD, Hop, Record, RequestsQuery, add_hop
from tests.bench.report import report

BATCH = 250
"""Records that a server sends in one go while it is busy."""
ROUNDS = 7
FILTERS = {
    "no filter": "",
    "many match": "status<500",
    "few match": "status>=500",
    "none match": "status=418",
    "none match, text": "path~/nowhere",
    "none match, in the target": "target~nowhere",
    "by pool": "pool=render",
    "by worker": "worker=compute.9",
    "status with path": "status>=500 and path~/is_prime",
    "three tests": "status>=500 and path~/is_prime and (ms>200 or pool=compute)",
    "dead": "dead",
    "an id": "id=51bb0",
}
AGENT = (
    ("host", "127.0.0.1:8002"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("accept", "*/*"),
)
ANSWER = (("content-type", "text/plain; charset=utf-8"),)


def some_records(first: int, count: int, chance: random.Random) -> list[Record]:
    return [a_record(number, chance) for number in range(first, first + count)]


def a_record(number: int, chance: random.Random) -> Record:
    began = number * 0.0005
    wait, served = chance.expovariate(2000.0), chance.expovariate(500.0)
    trail = add_hop(b"", Hop(f"parse.{chance.randrange(1, 3)}", began + 0.0001, began + 0.0003))
    at = began + 0.0003 + wait
    trail = add_hop(trail, Hop(f"compute.{chance.randrange(1, 9)}", at, at + served))
    failed = number % 1000 == 0
    asked = Request("GET", f"/is_prime?possible_prime={chance.randrange(10**9)}", AGENT, b"", "127.0.0.1:51234")
    return Record(
        RequestId(number),
        began,
        at + served + 0.0001,
        msgspec.msgpack.encode(asked),
        0,
        502 if failed else 200,
        ANSWER,
        b"7",
        1,
        "compute.3",
        "parse",
        trail=trail,
        flags=DEAD if number % 20_000 == 0 else 0,
        problem="the worker died" if failed else "",
    )


def build(path: str, rows: int) -> float:
    """Seconds that it took to write them."""
    chance = random.Random(7)
    journal = Journal.open_writer(path)
    journal.configure(1 << 40)
    now = time.time()
    taken = 0.0
    for first in range(0, rows, BATCH):
        batch = packed(some_records(first, min(BATCH, rows - first), chance))
        began = time.perf_counter()
        journal.append(pages("server.1", now - rows * 0.0005, batch, {}), now - (rows - first) * 0.0005)
        taken += time.perf_counter() - began
    journal.close()
    return taken


def measure(rows: int, folder: str) -> None:
    environment = {**os.environ, "XDG_STATE_HOME": f"{folder}/state", "XDG_RUNTIME_DIR": f"{folder}/run"}
    place = topology.place("bench", environment, folder, os.getuid())
    seconds = build(place.journal_file, rows)
    size = os.stat(place.journal_file).st_size
    figures = {"us_a_row": round(seconds / rows * 1e6, 2), "bytes_a_row": round(size / rows)}
    report("journal_query", "append", {"rows": rows, "batch": BATCH}, figures, n=1)
    for mapped in (False, True):
        with Archive(place.journal_file, mapped=mapped) as archive:
            how = "mapped, " if mapped else ""
            for name, where in FILTERS.items():
                watch = Watch()
                for _ in range(ROUNDS):
                    with watch:
                        found = archive.query(RequestsQuery(where=where))
                watch.tell(f"query, {how}{name}", where, rows, len(found.requests))
            watch = Watch()
            for number in range(ROUNDS):
                with watch:
                    archive.entry(f"{rows // (number + 2):013x}")
            watch.tell(f"entry, {how}by its id", "", rows, 1)
    for name in ("no filter", "few match", "none match, text", "three tests"):
        watch = Watch()
        for _ in range(ROUNDS):
            words = [sys.executable, "-m", "primectl", "requests", "-c", "bench", "--json", "--where", FILTERS[name]]
            with watch:
                done = subprocess.run(words, env=environment, capture_output=True, check=True, cwd=folder)
        watch.tell(f"command, {name}", FILTERS[name], rows, len(msgspec.json.decode(done.stdout)["requests"]))


class Watch:
    """Times what stands in it; `cpu_ms` is of this process and its children, which a busy machine changes less."""

    def __init__(self) -> None:
        self._ms: list[float] = []
        self._cpu_ms: list[float] = []
        self._began = (0.0, 0.0)

    def __enter__(self) -> None:
        self._began = (time.perf_counter(), _cpu_s())

    def __exit__(self, *_: object) -> None:
        began, cpu_began = self._began
        self._ms.append((time.perf_counter() - began) * 1e3)
        self._cpu_ms.append((_cpu_s() - cpu_began) * 1e3)

    def tell(self, subject: str, where: str, rows: int, found: int) -> None:
        figures = {
            "ms": round(median(self._ms), 1),
            "least_ms": round(min(self._ms), 1),
            "most_ms": round(max(self._ms), 1),
            "cpu_ms": round(median(self._cpu_ms), 1),
        }
        report("journal_query", subject, {"rows": rows, "where": where, "found": found}, figures, n=len(self._ms))


def _cpu_s() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        measure(rows, folder)


if __name__ == "__main__":
    main()
