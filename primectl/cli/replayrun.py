"""§ One run of a replay: sends a plan, compares each answer as it comes, shows how far it is, and reports."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import msgspec
import uvloop
from msgspec import Struct

from primectl.cli.replaytarget import Aim, Watch
from primectl.cli.replaywishes import Meant
from primectl.cli.terminal import ProgressLine
from primectl.clock import SystemClock
from primectl.config.topology import Place
from primectl.journal import sender
from primectl.journal.archive import Archive
from primectl.journal.compare import compare
from primectl.journal.report import Lag, Report
from primectl.journal.resume import Remembering
from primectl.journal.sender import Settings
from primectl.journal.steps import Outcome, Plan, Step
from primectl.wire.control import Progress
from primectl.wire.journal import RequestsQuery, Row
from tui.present import units

HOPS_S = 2.0
"""So long the cluster's own record of the answers is waited for."""
_LOOK_S = 0.05
_LATE_MS = 10.0
"""Sending that is late by less is on time, for people."""
_SKEW_S = 2.0
"""Row numbers are the recorder's clock; this is how far it may be behind ours."""


class Told(Struct, frozen=True):
    """A line of `--progress json`."""

    sent: int
    total: int
    same: int
    changed: int
    failed: int
    skipped: int
    waiting: int
    lag_ms: float


def carry_out(
    plan: Plan, aim: Aim, meant: Meant, place: Place, report: Report, remembering: Remembering, *, json_progress: bool
) -> bool:
    """Send the plan; `report` has all of it then. Returns whether it was interrupted by Ctrl-C."""
    with ExitStack() as stack:
        watch = None
        if any(each.needs_cluster for each in meant.brakes):
            watch = Watch(place)
            stack.callback(watch.close)
        show = _json_lines(report) if json_progress else stack.enter_context(_Bar(report))
        # A million entries that stay need not be looked through by each collection.
        gc.collect()
        gc.freeze()
        stack.callback(gc.unfreeze)
        return uvloop.run(_run(plan, aim, meant, place, report, remembering, watch, show))


async def _run(
    plan: Plan,
    aim: Aim,
    meant: Meant,
    place: Place,
    report: Report,
    remembering: Remembering,
    watch: Watch | None,
    show: Callable[[sender.Progress], None],
) -> bool:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    interrupted = False
    rules = meant.rules

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        loop.remove_signal_handler(signal.SIGINT)  # the second one ends it at once
        stop.set()

    def on_outcome(step: Step, outcome: Outcome) -> None:
        report.add(compare(step.entry, outcome, rules))
        if not outcome.unsent:
            remembering.ended(outcome.number)

    started = SystemClock().wall()
    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        ended = await sender.send(
            plan,
            aim.target,
            Settings(report.run, meant.in_flight, meant.timeout_s, meant.brakes),
            on_outcome,
            stop,
            on_progress=show,
            look=watch,
        )
        report.end(
            seconds=ended.seconds,
            not_sent=ended.not_sent,
            stopped=ended.reason,
            lag=Lag(ended.lag.p50_ms, ended.lag.p99_ms, ended.lag.max_ms),
        )
        if aim.records:
            report.take_hops(await _rows(place, report.run, started, report.unseen(), stop))
    finally:
        loop.remove_signal_handler(signal.SIGINT)
    return interrupted


async def _rows(place: Place, run: str, started: float, wanted: set[str], stop: asyncio.Event) -> dict[str, Row]:
    """What the cluster has recorded of the run: the rows of the answers `wanted`, as far as they come in time, or are
    there when it is to `stop`."""
    clock = SystemClock()
    deadline = clock.monotonic() + HOPS_S
    found: dict[str, Row] = {}
    after = int((started - _SKEW_S) * 1e6)
    with Archive(place.journal_file) as archive:
        while True:
            for row in archive.rows(RequestsQuery(where=f'run = "{run}"', after=after, last=0)):
                after = row.number
                if row.id in wanted:
                    found[row.id] = row
                if clock.monotonic() >= deadline:
                    break
            if len(found) >= len(wanted) or clock.monotonic() >= deadline or stop.is_set():
                return found
            await asyncio.sleep(_LOOK_S)


class _Bar:
    """A line on the terminal; nothing without one."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._line = ProgressLine()

    def __enter__(self) -> Self:
        self._line.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.__exit__(kind, error, trace)

    def __call__(self, progress: sender.Progress) -> None:
        report = self._report
        facts = [
            f"{number} {what}"
            for number, what in (
                (report.changed, "changed"),
                (report.failed, "failed"),
                (progress.open, "open"),
                (progress.waiting, "waiting"),
            )
            if number
        ]
        if progress.lag_ms >= _LATE_MS:
            facts.append(f"{units.milliseconds(progress.lag_ms)} late")
        self._line(Progress("  ".join(facts), progress.sent, progress.total))


def _json_lines(report: Report) -> Callable[[sender.Progress], None]:
    def show(progress: sender.Progress) -> None:
        line = Told(
            progress.sent,
            progress.total,
            report.same,
            report.changed,
            report.failed,
            report.skipped,
            progress.waiting,
            round(progress.lag_ms, 3),
        )
        sys.stderr.write(f"{msgspec.json.encode(line).decode()}\n")
        sys.stderr.flush()

    return show
