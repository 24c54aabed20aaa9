"""How many requests a second a replay sends at `--speed max`, every answer compared, and how punctual it is otherwise.

    python -m tests.bench.replay [--requests 40000] [--seconds 5]

Against the floor (`bare_http`: what the sender itself can do) and against the two-pool sample, which takes its share of
the same cores and keeps its journal meanwhile. Lag is how late a request went out, at the pace at which it had come.
"""

from __future__ import annotations

import argparse
import asyncio
import gc

import uvloop

from primectl.http.client import HttpClient
from primectl.journal import pace, sender
from primectl.journal.compare import Kind, Result, Rules, compare
from primectl.journal.steps import Outcome, Outgoing, Plan, Step
from primectl.message import Response
from primectl.wire.journal import Entry, Row
from tests.bench.report import report
from tests.bench.throughput import PRIME_SAMPLE, bare, running

FIELDS = (("accept", "*/*"), ("user-agent", "bench"), ("accept-encoding", "gzip"))
NUMBER = 7919
TARGET = f"/is_prime?possible_prime={NUMBER}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--in-flight", type=int, default=64)
    options = parser.parse_args()
    for name, target in (("bare", bare()), ("two_pools", running(PRIME_SAMPLE))):
        with target as url:
            uvloop.run(replay(name, url, [0.0] * (options.requests // 10), options.in_flight, warm=True))
            uvloop.run(replay(name, url, [0.0] * options.requests, options.in_flight))
            for rate in (200, 1000):
                times = [number / rate for number in range(int(rate * options.seconds))]
                uvloop.run(replay(name, url, pace.due_times(times), options.in_flight, rate))


async def replay(name: str, url: str, due: list[float], in_flight: int, rate: int = 0, *, warm: bool = False) -> None:
    async with HttpClient(url) as client:
        answer = await client.ask("GET", TARGET)
    plan = a_plan(answer, due)
    rules = Rules()
    results: list[Result] = []

    def on_outcome(step: Step, outcome: Outcome) -> None:
        results.append(compare(step.entry, outcome, rules))

    gc.collect()
    gc.freeze()
    settings = sender.Settings("0badcafe", in_flight)
    ended = await sender.send(plan, sender.Target(url), settings, on_outcome, asyncio.Event())
    gc.unfreeze()
    assert not ended.reason
    assert {result.kind for result in results} == {Kind.SAME}
    if not warm:
        figures = (
            {"rate": round(len(due) / ended.seconds, 1)}
            if not rate
            else {"lag_p50_ms": ended.lag.p50_ms, "lag_p99_ms": ended.lag.p99_ms, "lag_max_ms": ended.lag.max_ms}
        )
        question = f"replay_at_{rate}" if rate else "replay_max"
        report(question, name, {"in_flight": in_flight}, figures, n=len(due))


def a_plan(answer: Response, due: list[float]) -> Plan:
    """As many requests as there are times, each with an entry of its own that has this answer."""
    steps = []
    for number, due_s in enumerate(due):
        row = Row(id=f"{number:016x}", time=due_s, method="GET", path="/is_prime", status=answer.status, ms=1.0)
        entry = Entry(row=row, fields=FIELDS, answer_fields=answer.fields, answer_body=answer.body)
        steps.append(Step(number, entry, Outgoing("GET", TARGET, FIELDS), due_s))
    return Plan(steps=tuple(steps))


if __name__ == "__main__":
    main()
