"""Replies and snapshots as tables for people and as objects for `--json`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from primectl.wire.control import (
    Applied,
    Drained,
    Dumps,
    Killed,
    PlannedChange,
    ProcessDump,
    Reloaded,
    Reopened,
    Restarted,
    Resumed,
    Scaled,
    Stopped,
)
from primectl.wire.stats import ClusterSnapshot, Event
from tui.present import units
from tui.present.clean import cells, clean, cut
from tui.present.journal import journal_trouble
from tui.present.operations import failure_lines, operation_line
from tui.present.tables import POOL_HEADERS, PROCESS_HEADERS, Tone, event_tone, natural, pool_rows, process_rows

_DIGITS = {
    "uptime_s": 1,
    "rate": 1,
    "arrival_rate": 1,
    "error_rate": 1,
    "cpu_percent": 1,
    "p50_ms": 3,
    "p99_ms": 3,
    "oldest_wait_ms": 1,
    "service_ms": 3,
    "utilisation": 3,
    "job_s": 3,
    "heartbeat_age_s": 2,
    "since_s": 1,
    "retry_in_s": 1,
    "time": 3,
    "oldest": 3,
    "seconds": 3,
}
"""Decimals of a figure in JSON: as many as are measured, so that 0.1 does not read 0.10000000149."""
_PAINT = re.compile(r"(\x1b\[[0-9;]*m)")
PLAN_HEADERS = ("KEY", "NOW", "FILE", "WHAT IT DOES")
_LEFT = frozenset({*PLAN_HEADERS, "POOL", "PROCESS", "ROLE", "STATE", "ID", "REQUEST", "STATUS", "WHAT"})
_SGR = {
    "running": "32",
    "ok": "32",
    "idle": "32",
    "busy": "36",
    "GROW": "36",
    "SHRINK": "36",
    "starting": "36",
    "START": "36",
    "draining": "33",
    "stopping": "33",
    "backoff": "33",
    "SLOW": "33",
    "NO NEW": "33",
    "failed": "31",
    "FULL": "31",
    "DOWN": "31",
    "OFF": "2",
    "exited": "2",
}


def paint(text: str, sgr: str, colour: bool) -> str:
    return f"\x1b[{sgr}m{text}\x1b[0m" if colour and sgr and text else text


# --- ps ---------------------------------------------------------------------------------------------------------------


def ps_object(snapshot: ClusterSnapshot) -> dict[str, Any]:
    """The cluster as `ps --json` gives it; the fields of the manual, and whatever else the snapshot knows."""
    whole = rounded(snapshot)
    server = whole.pop("front")
    return {
        "cluster": whole.pop("cluster"),
        "state": whole.pop("state"),
        "uptime_s": whole.pop("uptime_s"),
        "pools": whole.pop("pools"),
        "processes": whole.pop("processes"),
        "server": server,
        **whole,
    }


def rounded(value: object) -> Any:
    """A struct as plain data, its figures with the decimals that mean something."""
    return _rounded(msgspec.to_builtins(value), "")


def _rounded(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item, name) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item, key) for item in value]
    if isinstance(value, float) and key in _DIGITS:
        return round(value, _DIGITS[key])
    return value


def ps_text(snapshot: ClusterSnapshot, *, colour: bool) -> str:
    """A line on the cluster, a table of its pools, a table of its processes; below them what has failed and what is
    under way."""
    front = snapshot.front
    facts = [
        f"cluster {clean(snapshot.cluster)}",
        paint(snapshot.state.value, _SGR.get(snapshot.state.value, "33"), colour),
        f"up {units.uptime(snapshot.uptime_s)}",
    ]
    if front.listen:
        facts.append(clean(front.listen))
        facts.append(f"{units.rate(front.rate)}/s, {units.count(front.in_flight)} open")
    if front.dead_letters:
        facts.append(paint(units.plural(front.dead_letters, "dead letter"), "31", colour))
    if snapshot.progress:
        facts.append(clean(snapshot.progress))
    parts = [" · ".join(facts)]
    if snapshot.pools:
        parts += ["", *table(POOL_HEADERS, pool_rows(snapshot), colour=colour)]
    if snapshot.processes:
        parts += ["", *table(PROCESS_HEADERS, process_rows(snapshot), colour=colour)]
    troubles = [f"{clean(pool.name)}: {clean(pool.trouble)}" for pool in snapshot.pools if pool.trouble]
    if trouble := journal_trouble(snapshot.journal):
        troubles.append(f"journal: {trouble}")
    if failures := [*troubles, *failure_lines(snapshot.processes)]:
        parts += ["", *failures]
    if snapshot.operations:
        parts += ["", paint("UNDER WAY", "2", colour), *map(operation_line, snapshot.operations)]
    return "\n".join(parts)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, colour: bool) -> list[str]:
    """Aligned columns, names to the left and figures to the right; states and the header in colour."""
    widths = [max(map(cells, column)) for column in zip(headers, *rows, strict=True)]
    lines = [paint(_line(headers, headers, widths, False), "2", colour)]
    lines += [_line(headers, row, widths, colour) for row in rows]
    return lines


def _line(headers: Sequence[str], row: Sequence[str], widths: Sequence[int], colour: bool) -> str:
    parts = []
    for header, text, width in zip(headers, row, widths, strict=True):
        filler = " " * (width - cells(text))
        shown = paint(text, _state_sgr(text), colour) if header == "STATE" else text
        parts.append(shown + filler if header in _LEFT else filler + shown)
    return "  ".join(parts).rstrip()


def cut_painted(line: str, width: int) -> str:
    """At most `width` cells of a line with colours in it; colours take no cells."""
    parts = []
    for piece in _PAINT.split(line):
        if _PAINT.fullmatch(piece):
            parts.append(piece)
        else:
            parts.append(cut(piece, width) if cells(piece) > width else piece)
            width = max(0, width - cells(piece))
    return "".join(parts)


def _state_sgr(text: str) -> str:
    word = text.partition(" ")[0].rstrip(",")
    other = "31" if word.startswith("DEAD") else "33" if word.startswith("DRAIN") else ""
    return _SGR.get(text) or _SGR.get(word, other)


# --- answers to orders ------------------------------------------------------------------------------------------------


def scaled_text(scaled: Scaled) -> str:
    if scaled.before == scaled.after:
        return f"{clean(scaled.pool)}: {units.plural(scaled.after, 'worker')} already"
    return f"{clean(scaled.pool)}: {scaled.before} -> {units.plural(scaled.after, 'worker')} in {scaled.seconds:.2f} s"


def killed_text(killed: Killed) -> str:
    """`KILL acknowledged by n of n`, then what it took and what it cost."""
    text = f"KILL acknowledged by {len(killed.acknowledged)} of {len(killed.addressed)} in {killed.seconds:.2f} s"
    if killed.forced:
        text += f"; {name_list(killed.forced)} took SIGKILL"
    still = [process for process in killed.addressed if process not in set(killed.acknowledged)]
    if still:
        text += f"; still there: {name_list(still)}"
    if killed.lost_jobs:
        text += f"; {units.plural(killed.lost_jobs, 'job')} interrupted"
    return text


def restarted_text(restarted: Restarted) -> str:
    count = units.plural(len(restarted.processes), "process", "processes")
    return f"restarted {count} in {restarted.seconds:.2f} s: {name_list(restarted.processes)}"


def reloaded_text(reloaded: Reloaded) -> str:
    """Which workers run the new code; for a pool without any, that the next ones will."""
    who = name_list(reloaded.processes) or "its next workers run the new code"
    return f"reloaded {clean(reloaded.target)} in {reloaded.seconds:.2f} s: {who}"


def plan_text(changes: Sequence[PlannedChange]) -> str:
    """A line for each key: what is, what shall be, what that does."""
    rows = [tuple(map(clean, (change.key, change.before, change.after, change.effect))) for change in changes]
    return "\n".join(table(PLAN_HEADERS, rows, colour=False))


def applied_text(cluster: str, applied: Applied) -> str:
    return f"applied {units.plural(len(applied.changes), 'change')} to cluster {cluster} in {applied.seconds:.2f} s"


def drained_text(drained: Drained) -> str:
    """Who holds nothing now, and how it ends."""
    target = clean(drained.target)
    alone = drained.processes in ([], [drained.target])
    who = "it holds" if alone else f"{name_list(drained.processes)} hold{'s' if len(drained.processes) == 1 else ''}"
    return f"{target} is drained, {who} nothing ({drained.seconds:.2f} s); `primectl resume {target}` ends that"


def resumed_text(resumed: Resumed) -> str:
    who = f": {name_list(resumed.processes)}" if resumed.processes not in ([], [resumed.target]) else ""
    return f"{clean(resumed.target)} takes jobs again{who}"


def dumps_text(dumps: Dumps) -> str:
    """A block for each process: its name, how its stacks were got, the stacks."""
    return "\n\n".join(_dump_text(dump) for dump in dumps.dumps)


def _dump_text(dump: ProcessDump) -> str:
    how = {"signal": " (does not answer; written by faulthandler)", "none": " (no stacks)"}.get(dump.how, "")
    lines = [f"  {clean(line)}" if line else "" for line in dump.text.split("\n")]
    return "\n".join([f"{clean(dump.process)}{clean(how)}", *lines])


def reopened_text(reopened: Reopened, *, rotated: bool) -> str:
    done = "rotated" if rotated else "opened anew"
    return f"{units.plural(len(reopened.processes), 'log')} {done}: {name_list(reopened.processes)}"


def stopped_text(stopped: Stopped) -> str:
    """What the clean stop finished, cancelled and killed."""
    killed = f"{len(stopped.killed)} killed" + (f" ({name_list(stopped.killed)})" if stopped.killed else "")
    return (
        f"cluster {clean(stopped.cluster)} stopped in {stopped.seconds:.2f} s: "
        f"{units.plural(stopped.finished, 'request')} finished, {stopped.cancelled} cancelled, "
        f"{units.plural(stopped.processes, 'process', 'processes')} left, {killed}"
    )


def name_list(names: Sequence[str], most: int = 6) -> str:
    """The names in their natural order, the middle of a long list left out."""
    ordered = [clean(name) for name in sorted(names, key=natural)]
    if len(ordered) <= most:
        return ", ".join(ordered)
    return f"{', '.join(ordered[: most - 2])} … {ordered[-1]}"


# --- events -----------------------------------------------------------------------------------------------------------


def event_text(event: Event, *, colour: bool) -> str:
    """One event on one line: when, what kind, about whom, in words, by whom."""
    sgr = {Tone.BAD: "31", Tone.WARN: "33", Tone.GOOD: "32"}.get(event_tone(event), "")
    by = f" (by {clean(event.operator)})" if event.operator else ""
    kind = paint(f"{clean(event.kind):<13}", sgr, colour)
    return f"{units.clock(event.time)}  {kind}  {clean(event.subject):<12}  {clean(event.text)}{by}"
