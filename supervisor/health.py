"""Is a process well? A worker is judged by its job and its processor time, not by silence alone.

A process reports from a thread or a loop of its own. It is silent when that cannot run: code in C holds the
interpreter's lock. That may be honest work on a large number, or a deadlock for ever; what tells them apart is whether
the process uses, or waits for, the processor, and whether it runs a job at all. So each silent process is looked at
more closely once a second (`Look` makes the shell do that), and judged by what these looks have shown:

    runs a job       works         told of; a long job is nobody's fault
                     works not     told of; its deadline and `kill_after` end it, or nobody has set that in motion
    runs no job      works         told of; replaced when a job waits for it
                     works not     replaced: nothing will ever wake it up
    any other        works         told of
                     works not     replaced

The second way to be dead is a main thread that hangs between two jobs while the worker's watchdog is well and says so.
"""

from __future__ import annotations

from typing import NamedTuple

from supervisor.books import Books
from supervisor.events import Kind, Look
from supervisor.lifecycle import ProcessState as S
from supervisor.process import Process
from supervisor.vitals import Finding

LATE_S = 3.0
"""A process that is well reports each second. Silent for longer it is looked at."""
UNRESPONSIVE_S = 10.0
"""For servers, proxies and the recorder; pools say it of their workers by `unresponsive_after`."""


class Verdict(NamedTuple):
    """What is to be told, and the cause of its end if it has to be put down."""

    process: Process
    finding: Finding
    text: str
    doom: str = ""


def to_look_at(books: Books, now: float) -> list[Look]:
    """Who is silent."""
    return [
        Look(process.id, process.incarnation)
        for process in books.processes.values()
        if _is_judged(process) and now - process.heard_at >= min(LATE_S, _limit_s(process, books))
    ]


def verdicts(books: Books, now: float) -> list[Verdict]:
    """What has changed with anybody since it was told last. To be asked each second."""
    found: list[Verdict] = []
    for process in books.processes.values():
        if not _is_judged(process):
            continue
        verdict = _judge(process, books, now)
        if _is_news(verdict):
            found.append(verdict)
    return found


def _is_news(verdict: Verdict) -> bool:
    health, finding = verdict.process.health, verdict.finding
    before, health.told = health.told, finding
    if finding is Finding.WORKS or (finding is Finding.WELL and before is Finding.WORKS):
        # Once in a life: whose jobs are long is silent with each of them.
        known = health.has_worked
        health.has_worked = finding is Finding.WELL or known
        return finding is not before and not known
    return finding is not before


def _is_judged(process: Process) -> bool:
    """Zygotes do not report; one that is stopped is a matter of its own, and so is one that does not come up."""
    return process.kind is not Kind.ZYGOTE and process.state in (S.RUNNING, S.DRAINING) and process.stopped_at is None


def _limit_s(process: Process, books: Books) -> float:
    settings = books.config.pools.get(process.pool) if process.kind is Kind.WORKER else None
    return UNRESPONSIVE_S if settings is None else settings.unresponsive_after


def _silence_s(process: Process, books: Books) -> float:
    """How long it may be silent."""
    # One that leaves may have ended its watchdog, and wait in the `stop` of its handler for whatever that takes down.
    leaves = process.kind is Kind.WORKER and process.acknowledged
    return _limit_s(process, books) + (books.config.supervisor.stop_timeout if leaves else 0.0)


def _judge(process: Process, books: Books, now: float) -> Verdict:
    health, limit_s = process.health, _silence_s(process, books)
    silent_s = now - process.heard_at
    if process.kind is Kind.WORKER and health.pulse_s >= _limit_s(process, books) and silent_s < LATE_S:
        text = f"the main thread of {process.id} has not woken up for {health.pulse_s:.1f} s, between two jobs"
        return _dead(process, text, f"its main thread hung for {health.pulse_s:.1f} s")
    if silent_s < min(LATE_S, limit_s):
        return Verdict(process, Finding.WELL, f"{process.id} is heard again")
    said = f"{process.id} has not been heard for {silent_s:.0f} s"
    if silent_s < limit_s or health.works is None:
        return Verdict(process, health.told, said)
    if process.kind is Kind.WORKER:
        return _judge_worker(process, books, said, silent_s, now)
    if health.works:
        return Verdict(process, Finding.WORKS, f"{said}, but works: CPU {process.cpu_percent:.0f} %")
    return _dead(process, f"{said} and uses no processor", f"dead inside, silent for {silent_s:.0f} s")


def _judge_worker(process: Process, books: Books, said: str, silent_s: float, now: float) -> Verdict:
    """It is silent beyond its limit."""
    health, limit_s = process.health, _silence_s(process, books)
    holding, held_s = books.held_jobs(process, now), books.held_s(process, now)
    if holding > 0 if health.runs is None else health.runs:
        job = f"request {health.request or 'not known'} for {held_s:.0f} s, CPU {process.cpu_percent:.0f} %"
        if health.works:
            return Verdict(process, Finding.WORKS, f"{process.id} is silent, but works: {job}")
        if silent_s < _longest_s(process, books) + limit_s:
            text = f"{process.id} is silent and waits in C: {job}; its deadline ends it"
            return Verdict(process, Finding.WAITS, text)
        text = f"{said}, holds a job beyond its deadline and uses no processor"
        return _dead(process, text, "deadlocked in its job")
    if not health.works:
        return _dead(process, f"{said}, runs no job and uses no processor", f"dead inside, silent for {silent_s:.0f} s")
    if holding and held_s >= limit_s:
        text = f"{said} and has not begun what it was given {held_s:.0f} s ago"
        return _dead(process, text, f"silent for {silent_s:.0f} s without beginning its job")
    text = f"{process.id} is silent and runs no job, but works: CPU {process.cpu_percent:.0f} %"
    return Verdict(process, Finding.WORKS, text)


def _longest_s(process: Process, books: Books) -> float:
    """By when a job that began before the silence should have been ended because of its deadline."""
    settings = books.config.pools.get(process.pool)
    return books.config.server.request_timeout + (settings.kill_after if settings else 0.0)


def _dead(process: Process, text: str, doom: str) -> Verdict:
    return Verdict(process, Finding.DEAD, f"{text}: killed and replaced", doom)
