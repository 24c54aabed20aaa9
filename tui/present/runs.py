"""Replays of this session: how far each has come, what it found, and how results and runs read in a table.

A run is told by the lines and the report of the command that does it; both are checked, neither is trusted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec
from msgspec import Struct

from primectl.wire.journal import HopTimes
from tui.present import units
from tui.present.clean import clean
from tui.present.requests import ms_text, status_text, status_tone
from tui.present.tables import Cell, Column, Line, Part, Row, Tone, figure

KEPT = 50
"""Runs that are remembered."""
LINES_KEPT = 20
RESULTS_SHOWN = 5000


class State(StrEnum):
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    STOPPED = "stopped"
    """It ended before all was sent: by the operator, or by its brake."""
    FAILED = "failed"
    """The command itself could not do it."""


class Progress(Struct, frozen=True):
    """A line of `--progress json`. `total` is how many shall be sent: without those that are `skipped`."""

    sent: int = 0
    total: int = 0
    same: int = 0
    changed: int = 0
    failed: int = 0
    skipped: int = 0
    waiting: int = 0
    lag_ms: float = 0.0


class StatusPair(Struct, frozen=True):
    before: int | None = None
    after: int | None = None


class TimePair(Struct, frozen=True):
    before: float | None = None
    after: float | None = None


class HopsPair(Struct, frozen=True):
    before: list[HopTimes] | None = None
    after: list[HopTimes] | None = None


class Difference(Struct, frozen=True):
    what: str
    before: str | None = None
    after: str | None = None


class Result(Struct, frozen=True):
    """What came of one request, as the report has it."""

    id: str
    replay_id: str = ""
    method: str = ""
    path: str = ""
    outcome: str = ""
    why: str = ""
    status: StatusPair = StatusPair()
    ms: TimePair = TimePair()
    hops: HopsPair = HopsPair()
    differences: list[Difference] = []
    target: str = ""
    new_error: bool = False
    fixed: bool = False
    slower: bool = False
    more: int = 0
    """Differences beside those told."""
    notes: list[str] = []
    """What could not be compared."""

    @property
    def factor(self) -> float:
        """How many times as long as then; 0 where that is not known."""
        before, after = self.ms.before or 0.0, self.ms.after or 0.0
        return after / before if before > 0 and after > 0 else 0.0


class Lag(Struct, frozen=True):
    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0


class Report(Struct, frozen=True):
    """What `primectl replay --json` prints."""

    run: str = ""
    target: str = ""
    sent: int = 0
    same: int = 0
    changed: int = 0
    failed: int = 0
    skipped: int = 0
    new_errors: int = 0
    fixed: int = 0
    slower: int = 0
    not_sent: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    lag_ms: Lag = Lag()
    stopped: str = ""
    requests: list[Result] = []


class Run:
    """One replay. `number` counts from 1 in this session; `command` is its line for a terminal."""

    def __init__(self, number: int, chosen: int, command: str, began: float) -> None:
        self.number = number
        self.chosen = chosen
        self.command = command
        self.began = began
        self.state = State.RUNNING
        self.progress = Progress(total=chosen)
        self.report: Report | None = None
        self.trouble = ""
        self.results: list[Result] = []
        """Of the report, what needs a look first."""
        self._said: deque[str] = deque(maxlen=LINES_KEPT)

    @property
    def over(self) -> bool:
        return self.state not in (State.RUNNING, State.STOPPING)

    @property
    def left(self) -> int:
        return max(self.progress.total - self.progress.sent, 0)

    def heard(self, line: str) -> None:
        """A line of the command's stderr: how far it is, or something to tell the operator."""
        try:
            self.progress = msgspec.json.decode(line, type=Progress)
        except (msgspec.MsgspecError, UnicodeEncodeError):
            if line.strip():
                self._said.append(line.strip())

    def stop_asked(self) -> None:
        if self.state is State.RUNNING:
            self.state = State.STOPPING

    def ended(self, code: int, output: bytes, too_long: bool = False) -> None:
        """The command has ended; `output` is all that it printed, unless that was `too_long`."""
        try:
            self.report = msgspec.json.decode(output, type=Report) if output.strip() and not too_long else None
        except msgspec.MsgspecError as error:
            self.trouble = f"its report cannot be read: {clean(str(error))}"
        report = self.report
        if report is None:
            if self.state is State.STOPPING and not self._said:
                self.state, self.trouble = State.STOPPED, "stopped before anything was sent"
                return
            self.state = State.FAILED
            self.trouble = self.trouble or (
                "its report is too long to be shown here: run it on the command line" if too_long
                else clean(self._said[-1]) if self._said
                else f"it ended with exit code {code} and said nothing"
            )  # fmt: skip
            return
        self.state = State.STOPPED if report.stopped or report.not_sent else State.DONE
        self.trouble = clean(report.stopped)
        total = report.sent + report.not_sent
        self.progress = Progress(report.sent, total, report.same, report.changed, report.failed, report.skipped)
        self.results = sorted(report.requests, key=severity)[:RESULTS_SHOWN]

    def lost(self, why: str) -> None:
        """It could not even be started."""
        self.state, self.trouble = State.FAILED, clean(why)


class RunBook:
    """The runs of this session, newest first, at most `KEPT`; one that is not over is never forgotten."""

    def __init__(self) -> None:
        self._runs: dict[int, Run] = {}
        self._count = 0

    def begin(self, chosen: int, command: str, began: float) -> Run:
        self._count += 1
        run = self._runs[self._count] = Run(self._count, chosen, command, began)
        for number in [number for number, each in self._runs.items() if each.over][: max(len(self._runs) - KEPT, 0)]:
            del self._runs[number]
        return run

    def run(self, number: str) -> Run | None:
        return self._runs.get(int(number)) if number.isdecimal() and number.isascii() else None

    def __iter__(self) -> Iterator[Run]:
        return reversed(self._runs.values())

    @property
    def going(self) -> list[Run]:
        return [run for run in self._runs.values() if not run.over]


def severity(result: Result) -> tuple[int, float]:
    """What needs a look first comes first."""
    order = ("new error", "failed", "changed", "fixed", "slower", "same", "skipped")
    return order.index(word(result)), -result.factor


def word(result: Result) -> str:
    """What came of it, in a word."""
    if result.outcome == "failed":
        return "failed"
    if result.outcome == "skipped":
        return "skipped"
    if result.new_error:
        return "new error"
    if result.fixed:
        return "fixed"
    if result.outcome == "changed":
        return "changed"
    return "slower" if result.slower else "same"


_TONES = {"same": Tone.GOOD, "fixed": Tone.GOOD, "changed": Tone.WARN, "slower": Tone.WARN, "skipped": Tone.DIM}


def word_tone(shown: str) -> Tone:
    return _TONES.get(shown, Tone.BAD)


# --- tables -----------------------------------------------------------------------------------------------------------

RUN_COLUMNS = (
    Column("RUN", 4, right=True),
    Column("BEGAN", 8, drop=5),
    Column("STATE", 10, few_first=True),
    Column("SENT", 11, right=True),
    Column("SAME", 5, right=True, drop=3),
    Column("CHANGED", 7, right=True),
    Column("FAILED", 6, right=True),
    Column("NEW ERR", 7, right=True, drop=2),
    Column("LEFT", 5, right=True, drop=1),
    Column("LAG", 6, right=True, drop=6),
    Column("WHAT", 12, drop=7, grow=300, few_first=True),
)

_STATES = {
    State.RUNNING: Part("● running", Tone.BUSY),
    State.STOPPING: Part("▽ stopping", Tone.WARN),
    State.DONE: Part("✓ done", Tone.GOOD),
    State.STOPPED: Part("▽ stopped", Tone.WARN),
    State.FAILED: Part("✗ failed", Tone.BAD),
}


def run_row(run: Run) -> Row:
    """A run under `RUN_COLUMNS`."""
    told, report = run.progress, run.report
    errors = report.new_errors if report else 0
    return Row(
        str(run.number),
        (
            Cell((Part(str(run.number), Tone.STRONG),), run.number),
            Cell((Part(units.clock(run.began), Tone.DIM),), run.began),
            Cell((_STATES[run.state],), run.state.value),
            figure(f"{told.sent} of {told.total}", told.sent),
            figure(str(told.same), told.same, Tone.GOOD),
            figure(str(told.changed), told.changed, Tone.WARN),
            figure(str(told.failed), told.failed, Tone.BAD),
            figure(str(errors) if report else "-", errors, Tone.BAD),
            figure(str(run.left), run.left),
            figure(units.milliseconds(told.lag_ms) if not run.over else "-", told.lag_ms),
            Cell((Part(run.trouble or clean(run.command), Tone.WARN if run.trouble else Tone.DIM),), run.command),
        ),
    )


RESULT_COLUMNS = (
    Column("RESULT", 9, few_first=True),
    Column("ID", 5, drop=3, grow=13),
    Column("METHOD", 6, drop=4, few_first=True),
    Column("PATH", 14, grow=60, few_first=True),
    Column("STATUS", 9),
    Column("MS", 13, drop=1),
    Column("TIMES", 6, right=True, drop=5),
    Column("WHAT DIFFERS", 12, drop=2, grow=200, few_first=True),
)


def result_rows(results: Sequence[Result]) -> list[Row]:
    """Results under `RESULT_COLUMNS`; a row's id is its place: a request may be sent several times."""
    return [_result_row(place, result) for place, result in enumerate(results)]


def _result_row(place: int, result: Result) -> Row:
    shown = word(result)
    before, after = result.status.before or 0, result.status.after or 0
    what = result.why or ", ".join(difference.what for difference in result.differences)
    return Row(
        str(place),
        (
            Cell((Part(shown, word_tone(shown)),), shown),
            Cell((Part(clean(result.id), Tone.ACCENT),), result.id, newest_last=True),
            Cell((Part(clean(result.method), Tone.DIM),), result.method),
            Cell((Part(clean(result.target or result.path)),), result.path),
            Cell(status_parts(before, after, result.outcome), after),
            Cell((Part(times(result)),), result.ms.after or 0.0),
            figure(f"×{result.factor:.1f}" if result.factor else "-", result.factor,
                   Tone.WARN if result.slower else Tone.PLAIN),
            Cell((Part(clean(what), Tone.DIM),), what),
        ),
    )  # fmt: skip


def status_parts(before: int, after: int, outcome: str) -> Line:
    if outcome == "skipped":
        return (Part(status_text(before), Tone.DIM),)
    if before == after:
        return (Part(status_text(after), status_tone(after)),)
    return (Part(f"{status_text(before)} → ", Tone.DIM), Part(status_text(after), status_tone(after)))


def times(result: Result) -> str:
    before, after = result.ms.before, result.ms.after
    first = ms_text(before) if before is not None else "-"
    return first if after is None or result.outcome == "skipped" else f"{first} → {ms_text(after)}"


# --- lines ------------------------------------------------------------------------------------------------------------


def run_lines(run: Run, width: int) -> list[Line]:
    """Two lines above the results: what it is, how far it has come, what it found."""
    state = _STATES[run.state]
    first: Line = (Part(f" replay {run.number}  ", Tone.STRONG), state, Part(f"   {clean(run.command)}", Tone.DIM))
    told, report = run.progress, run.report
    parts = [Part(f" {told.sent} of {told.total} sent   ")]
    counts: list[tuple[int, str, Tone]] = [
        (told.same, "same", Tone.GOOD),
        (told.changed, "changed", Tone.WARN),
        (told.failed, "failed", Tone.BAD),
        (told.skipped, "skipped", Tone.DIM),
    ]
    if report is None:
        counts.append((run.left if not run.over else 0, "left", Tone.PLAIN))
    else:
        counts += [
            (report.fixed, "fixed", Tone.GOOD),
            (report.new_errors, "new errors" if report.new_errors != 1 else "new error", Tone.BAD),
            (report.slower, "slower", Tone.WARN),
            (report.not_sent, "not sent", Tone.WARN),
        ]
    for number, name, tone in counts:
        if number or name == "same":
            parts.append(Part(f"{number} {name}   ", tone if number else Tone.DIM))
    if report is not None:
        parts.append(Part(f"{units.duration(report.seconds)}, {units.rate(report.rate)}/s   ", Tone.DIM))
    elif not run.over and told.lag_ms >= 5:
        parts.append(Part(f"{units.milliseconds(told.lag_ms)} behind   ", Tone.WARN))
    if run.trouble:
        parts.append(Part(f"▲ {run.trouble}", Tone.BAD if run.state is State.FAILED else Tone.WARN))
    return [first, tuple(parts)]


def ended_text(run: Run) -> str:
    """What is said when a run has ended."""
    told, report = run.progress, run.report
    if report is None:
        return f"replay {run.number} failed: {run.trouble}"
    parts = [f"{told.same} same"]
    counts = (
        (told.changed, "changed"),
        (told.failed, "failed"),
        (report.new_errors, "new errors"),
        (report.fixed, "fixed"),
        (told.skipped, "skipped"),
        (report.not_sent, "not sent"),
    )
    parts += (f"{number} {name}" for number, name in counts if number)
    verb = f"stopped ({run.trouble})" if run.state is State.STOPPED else "done"
    return f"replay {run.number} {verb}: {told.sent} sent, {', '.join(parts)}"


def left_text(run: Run) -> str:
    """What is said of a run that the console has ended as it left."""
    return f"Replay {run.number} was ended: {run.progress.sent} of {run.progress.total} requests had been sent."
