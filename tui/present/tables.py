"""ClusterSnapshot -> rows, and which columns fit.

A row is cells by column, a cell is parts in tones, and a tone is a meaning that the style sheet turns into a colour.
Every state is a word or a shape before it is a tone. Text from outside is cleaned here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from primectl.wire.stats import ClusterSnapshot, Event, PoolSnapshot, ProcessSnapshot, Role
from tui.present import units
from tui.present.advice import needed
from tui.present.clean import clean
from tui.present.trends import Trends, spark


class Tone(StrEnum):
    """What a piece of text means; the style sheet has a colour for each."""

    PLAIN = "plain"
    DIM = "dim"
    STRONG = "strong"
    TITLE = "title"
    ACCENT = "accent"
    GOOD = "good"
    BUSY = "busy"
    IDLE = "idle"
    LOW = "low"
    MIDDLE = "middle"
    HIGH = "high"
    WARN = "warn"
    BAD = "bad"
    MATCH = "match"


class Part(NamedTuple):
    """Text that is already clean, in one tone."""

    text: str
    tone: Tone = Tone.PLAIN


Line = tuple[Part, ...]


class Cell(NamedTuple):
    """Parts from left to right; `order` is what the column sorts by, of one type a column.

    `newest_last`: what has no room is cut away at the left, as of a history.
    """

    parts: Line
    order: float | str = ""
    newest_last: bool = False


class Row(NamedTuple):
    """`id` is what the cursor holds on to and what actions are given."""

    id: str
    cells: tuple[Cell, ...]


class Column(NamedTuple):
    """`drop`: columns with the largest leave first when it gets narrow, 0 never leaves. `grow`: most cells it may get.

    `few_first`: sorting by it first shows the smallest (names), else the largest (figures).
    """

    title: str
    width: int
    right: bool = False
    drop: int = 0
    grow: int = 0
    few_first: bool = False


class Slot(NamedTuple):
    """A column that is shown: its index and its cells on screen."""

    column: int
    width: int


def lay_out(columns: Sequence[Column], width: int) -> list[Slot]:
    """Which columns fit in `width` cells with one between each, and how wide; at least those that never leave."""
    shown = list(range(len(columns)))
    while sum(columns[index].width for index in shown) + len(shown) - 1 > width:
        leaving = max(shown, key=lambda index: (columns[index].drop, index))
        if not columns[leaving].drop:
            break
        shown.remove(leaving)
    widths = {index: columns[index].width for index in shown}
    spare = width - sum(widths.values()) - len(shown) + 1
    growing = [index for index in shown if columns[index].grow > columns[index].width]
    while spare > 0 and growing:
        growing.sort(key=lambda index: columns[index].grow - widths[index])
        index = growing.pop(0)
        extra = min(columns[index].grow - widths[index], spare // (len(growing) + 1))
        widths[index] += extra
        spare -= extra
    return [Slot(index, widths[index]) for index in shown]


# --- pools ------------------------------------------------------------------------------------------------------------

POOL_HEADERS = ("POOL", "WORKERS", "BUSY", "IDLE", "QUEUED", "RATE/s", "UTIL", "P50", "P99", "DONE", "STATE")
"""Of `pool_rows`, for printed tables."""

POOL_COLUMNS = (
    Column("POOL", 8, grow=20, few_first=True),
    Column("QUEUE", 6, right=True),
    Column("Δ/s", 5, right=True, drop=3),
    Column("WAIT", 5, right=True, drop=4),
    Column("WORKERS", 14, drop=2, grow=18),
    Column("EACH", 12, drop=12, grow=40),
    Column("UTIL", 9, drop=6),
    Column("QUEUE, LAST MINUTE", 18, drop=11, grow=60),
    Column("IN/s", 5, right=True, drop=8),
    Column("OUT/s", 5, right=True, drop=5),
    Column("P50", 5, right=True, drop=9),
    Column("P99", 5, right=True, drop=7),
    Column("FAILED", 6, right=True, drop=10),
    Column("STATE", 6),
)


class PoolState(NamedTuple):
    """A word for the state of a pool, and how bad it is."""

    word: str
    tone: Tone

    @property
    def alarming(self) -> bool:
        return self.tone is Tone.BAD or self.tone is Tone.WARN


def pool_state(pool: PoolSnapshot, growth: float = 0.0) -> PoolState:
    """ok, or what is wrong: the worst first."""
    if pool.failed_workers:
        return PoolState(f"DEAD{pool.failed_workers}", Tone.BAD)
    if not pool.target:
        return PoolState("OFF", Tone.BAD if pool.queued else Tone.DIM)
    if pool.state == "draining" or 0 < pool.workers <= pool.draining:
        return PoolState("DRAIN", Tone.WARN)
    if pool.workers - pool.starting <= 0:
        return PoolState("START" if pool.starting else "DOWN", Tone.WARN if pool.starting else Tone.BAD)
    if pool.max_queue and pool.queued >= 0.9 * pool.max_queue:
        return PoolState("FULL", Tone.BAD)
    overloaded = pool.queued > pool.workers and (growth > 0.5 or needed(pool) > pool.workers)
    if overloaded or (growth > 0.5 and pool.queued > pool.workers and not pool.idle):
        return PoolState("SLOW", Tone.WARN)
    if pool.trouble:
        return PoolState("NO NEW", Tone.WARN)
    if pool.target > pool.workers or pool.starting:
        return PoolState("GROW", Tone.ACCENT)
    if pool.workers > pool.target:
        return PoolState("SHRINK", Tone.ACCENT)
    if pool.draining:
        return PoolState(f"DRAIN{pool.draining}", Tone.ACCENT)
    return PoolState("ok", Tone.GOOD)


def pool_rows(snapshot: ClusterSnapshot) -> list[tuple[str, ...]]:
    """The pools as plain strings, under `POOL_HEADERS`."""
    return [
        (
            clean(pool.name),
            f"{pool.workers}/{pool.target}{drift(pool)}",
            str(pool.busy),
            str(pool.idle),
            units.count(pool.queued),
            units.rate(pool.rate),
            units.share(pool.utilisation),
            units.milliseconds(pool.p50_ms),
            units.milliseconds(pool.p99_ms),
            units.count(pool.done),
            pool_state(pool).word,
        )
        for pool in snapshot.pools
    ]


def pool_table(snapshot: ClusterSnapshot, trends: Trends) -> list[Row]:
    """The pools under `POOL_COLUMNS`, in the order of the config file."""
    by_pool = workers_by_pool(snapshot)
    return [_pool_row(pool, by_pool.get(pool.name, []), trends) for pool in snapshot.pools]


def _pool_row(pool: PoolSnapshot, workers: list[ProcessSnapshot], trends: Trends) -> Row:
    growth = trends.growth(pool.name)
    state = pool_state(pool, growth)
    waiting = Tone.WARN if pool.queued > pool.workers else Tone.PLAIN if pool.queued else Tone.DIM
    full, empty = units.bar(pool.utilisation, 5)
    history = spark((point.queued for point in trends.pool(pool.name)), 60, floor=8)
    return Row(
        pool.name,
        (
            Cell((Part(clean(pool.name), Tone.STRONG),), pool.name),
            Cell((Part(units.count(pool.queued), waiting),), pool.queued),
            figure(units.growth(growth), growth, Tone.WARN if growth > 0.5 else Tone.PLAIN),
            figure(units.milliseconds(pool.oldest_wait_ms), pool.oldest_wait_ms),
            Cell(head_count(pool), pool.workers),
            Cell(strip(workers), pool.workers),
            Cell(
                (
                    Part(full, load_tone(pool.utilisation)),
                    Part(empty, Tone.DIM),
                    Part(units.share(pool.utilisation).rjust(4), load_tone(pool.utilisation)),
                ),
                pool.utilisation,
            ),
            Cell((Part(history, waiting if pool.queued else Tone.DIM),), pool.queued, newest_last=True),
            figure(units.rate(pool.arrival_rate), pool.arrival_rate),
            figure(units.rate(pool.rate), pool.rate),
            figure(units.milliseconds(pool.p50_ms), pool.p50_ms),
            figure(units.milliseconds(pool.p99_ms), pool.p99_ms),
            figure(units.count(pool.failed), pool.failed, Tone.WARN if pool.failed else Tone.PLAIN),
            Cell((Part(state.word, state.tone),), state.word),
        ),
    )


def drift(pool: PoolSnapshot) -> str:
    """` (file 4)` where an operator has given the pool another size than its file; else nothing."""
    return "" if pool.configured in (None, pool.target) else f" (file {pool.configured})"


def head_count(pool: PoolSnapshot) -> Line:
    """`8  6b 2i`, and only if there are any: s starting, d draining, x failed; ` (file 4)` for another size there."""
    parts = [Part(str(pool.workers).ljust(2), Tone.STRONG)]
    counts = (
        (pool.busy, "b", Tone.BUSY),
        (pool.idle, "i", Tone.IDLE),
        (pool.starting, "s", Tone.ACCENT),
        (pool.draining, "d", Tone.WARN),
        (pool.failed_workers, "x", Tone.BAD),
    )
    for number, letter, tone in counts:
        if number or letter in "bi":
            parts.append(Part(f" {number}{letter}", tone if number else Tone.DIM))
    if told := drift(pool):
        parts.append(Part(told, Tone.DIM))
    return tuple(parts)


# --- processes --------------------------------------------------------------------------------------------------------

PROCESS_HEADERS = ("PROCESS", "ROLE", "POOL", "PID", "STATE", "UPTIME", "RESTARTS", "JOBS", "CPU", "RSS")
"""Of `process_rows`, for printed tables."""

PROCESS_COLUMNS = (
    Column("PROCESS", 10, grow=24, few_first=True),
    Column("ROLE", 6, drop=9, grow=10, few_first=True),
    Column("PID", 7, right=True, drop=5),
    Column("STATE", 10, few_first=True),
    Column("FOR", 6, right=True, drop=4),
    Column("REQUEST", 13, drop=11),
    Column("JOBS", 6, right=True, drop=3),
    Column("CPU", 5, right=True, drop=1),
    Column("RSS", 5, right=True, drop=6),
    Column("UP", 6, right=True, drop=7),
    Column("RST", 3, right=True, drop=8),
    Column("HB", 5, right=True, drop=2),
    Column("LAST ENDED BECAUSE", 8, drop=10, grow=60, few_first=True),
)

LATE_HEARTBEAT_S = 2.0
LONG_JOB_S = 5.0
TELLING_S = 1.0
"""A shorter job is over before its request can be looked up."""


class Shape(NamedTuple):
    """A worker in one cell, and in one word."""

    glyph: str
    word: str
    tone: Tone


BUSY = Shape("■", "busy", Tone.BUSY)
IDLE = Shape("□", "idle", Tone.IDLE)
STARTING = Shape("◇", "starting", Tone.ACCENT)
DRAINING = Shape("▽", "draining", Tone.WARN)
BACKOFF = Shape("↻", "backoff", Tone.WARN)
FAILED = Shape("✗", "failed", Tone.BAD)
RUNNING = Shape("●", "running", Tone.GOOD)
STOPPING = Shape("▽", "stopping", Tone.WARN)
EXITED = Shape("·", "exited", Tone.DIM)
LEGEND = (BUSY, IDLE, STARTING, DRAINING, BACKOFF, FAILED)

_SHAPES = {shape.word: shape for shape in (STARTING, DRAINING, BACKOFF, FAILED, STOPPING, EXITED)}


def shape(process: ProcessSnapshot) -> Shape:
    """What a process is at: a running worker is busy or idle, a state that is not known is shown by its own word."""
    if process.state == "running":
        if process.role is not Role.WORKER:
            return RUNNING
        return BUSY if process.busy else IDLE
    return _SHAPES.get(process.state) or Shape("?", clean(process.state), Tone.WARN)


def cause_text(process: ProcessSnapshot) -> str:
    """Why it ended last; of one that waits, for how long; of one that has failed, what it said last."""
    if process.retry_in_s > 0:
        return f"again in {units.duration(process.retry_in_s)}: {process.cause}"
    last = process.last_lines[-1].strip() if process.last_lines else ""
    return f"{process.cause} | {last}" if last and last not in process.cause else process.cause


def strip(workers: Iterable[ProcessSnapshot]) -> Line:
    """One cell a worker, neighbours in one state joined to one part."""
    parts: list[Part] = []
    run, glyph, tone = 0, "", Tone.PLAIN
    for worker in workers:
        now = shape(worker)
        if now.glyph == glyph and now.tone is tone:
            run += 1
            continue
        if run:
            parts.append(Part(glyph * run, tone))
        run, glyph, tone = 1, now.glyph, now.tone
    if run:
        parts.append(Part(glyph * run, tone))
    return tuple(parts)


def legend(workers: Iterable[ProcessSnapshot]) -> Line:
    """The shapes that occur, each with its word and how many; busy and idle always."""
    counts: dict[Shape, int] = {BUSY: 0, IDLE: 0}
    for worker in workers:
        now = shape(worker)
        counts[now] = counts.get(now, 0) + 1
    parts: list[Part] = []
    for now, number in counts.items():
        parts += (
            Part(f"{now.glyph} ", now.tone),
            Part(f"{number} {now.word}   ", Tone.PLAIN if number else Tone.DIM),
        )
    return tuple(parts)


def natural(process_id: str) -> str:
    """A sort key that puts `compute.2` before `compute.10`."""
    name, dot, number = process_id.rpartition(".")
    return f"{name}{dot}{int(number):08}" if dot and number.isascii() and number.isdigit() else process_id


def workers_by_pool(snapshot: ClusterSnapshot) -> dict[str, list[ProcessSnapshot]]:
    """The workers of each pool, by number."""
    by_pool: dict[str, list[ProcessSnapshot]] = {}
    for process in snapshot.processes:
        if process.role is Role.WORKER:
            by_pool.setdefault(process.pool, []).append(process)
    for workers in by_pool.values():
        workers.sort(key=lambda worker: natural(worker.id))
    return by_pool


def process_rows(snapshot: ClusterSnapshot) -> list[tuple[str, ...]]:
    """The processes as plain strings, under `PROCESS_HEADERS`."""
    return [
        (
            clean(process.id),
            process.role.value,
            clean(process.pool),
            str(process.pid or "-"),
            activity(process),
            units.uptime(process.uptime_s),
            str(process.restarts),
            units.count(process.jobs) if process.role is Role.WORKER else "-",
            f"{process.cpu_percent:.1f}%",
            _memory(process),
        )
        for process in snapshot.processes
    ]


def activity(process: ProcessSnapshot) -> str:
    """What it is at; of a job that takes its time, for how long and which request; of one in backoff, when it is tried
    again."""
    word = shape(process).word
    if process.retry_in_s > 0:
        return f"{word}, again in {units.duration(process.retry_in_s)}"
    if not process.busy or process.job_s < TELLING_S:
        return word
    return f"{word} {units.duration(process.job_s)} {clean(process.request)}".rstrip()


def _memory(process: ProcessSnapshot) -> str:
    """A process is measured a moment after it has started; until then its size is not known."""
    return units.size(process.rss_bytes) if process.rss_bytes else "-"


def process_table(snapshot: ClusterSnapshot, pool: str = "") -> list[Row]:
    """Every process, or the workers of one pool by number, under `PROCESS_COLUMNS`."""
    processes = workers_by_pool(snapshot).get(pool, []) if pool else snapshot.processes
    return [_process_row(process) for process in processes]


def _process_row(process: ProcessSnapshot) -> Row:
    now = shape(process)
    lasting = process.job_s if process.busy else 0.0
    request = clean(process.request) if lasting >= TELLING_S else ""
    overdue = process.heartbeat_age_s > LATE_HEARTBEAT_S
    works = process.role is Role.WORKER
    return Row(
        process.id,
        (
            Cell((Part(clean(process.id), Tone.STRONG),), natural(process.id)),
            Cell((Part(process.role.value, Tone.DIM),), process.role.value),
            figure(str(process.pid or "-"), process.pid),
            Cell((Part(f"{now.glyph} {now.word}", now.tone),), now.word),
            figure(
                f"{units.duration(lasting)}{'!' if lasting > LONG_JOB_S else ''}" if lasting else "-",
                lasting,
                Tone.WARN if lasting > LONG_JOB_S else Tone.PLAIN,
            ),
            Cell((Part(request or "-", Tone.PLAIN if request else Tone.DIM),), request),
            figure(units.count(process.jobs) if works else "-", process.jobs if works else -1),
            figure(f"{process.cpu_percent:.0f}%", process.cpu_percent),
            figure(_memory(process), process.rss_bytes),
            figure(units.uptime(process.uptime_s), process.uptime_s),
            figure(str(process.restarts), process.restarts, Tone.WARN if process.restarts else Tone.PLAIN),
            figure(
                f"{process.heartbeat_age_s:.1f}{'!' if overdue else ''}",
                process.heartbeat_age_s,
                Tone.BAD if overdue else Tone.PLAIN,
            ),
            Cell((Part(clean(cause_text(process)), Tone.WARN),), process.cause),
        ),
    )


# --- events -----------------------------------------------------------------------------------------------------------

EVENT_COLUMNS = (
    Column("TIME", 8),
    Column("KIND", 10, drop=2, few_first=True),
    Column("ABOUT", 12, few_first=True),
    Column("WHAT HAPPENED", 16, grow=400, few_first=True),
    Column("BY", 8, drop=1, few_first=True),
)

_BAD_WORDS = ("crash", "fail", "fatal", "lost", "dead", "kill")
_WARN_WORDS = (
    "late",
    "backoff",
    "restart",
    "exit",
    "drop",
    "stop",
    "refus",
    "drain",
    "stuck",
    "suspend",
    "silent",
    "unrespons",
)
_GOOD_WORDS = ("ready", "running", "scale", "adopt", "started", "resum")


def event_tone(event: Event) -> Tone:
    """How much an event should catch the eye, by its kind; of those about the journal, the ones with a cause."""
    kind = event.kind.lower()
    if kind == "journal":
        return Tone.WARN if event.cause else Tone.GOOD
    for words, tone in ((_BAD_WORDS, Tone.BAD), (_WARN_WORDS, Tone.WARN), (_GOOD_WORDS, Tone.GOOD)):
        if any(word in kind for word in words):
            return tone
    return Tone.PLAIN


def event_table(events: Iterable[Event]) -> list[Row]:
    """Events under `EVENT_COLUMNS`, in the order given."""
    return [
        Row(
            str(event.number),
            (
                Cell((Part(units.clock(event.time), Tone.DIM),), event.time),
                Cell((Part(clean(event.kind), event_tone(event)),), event.kind),
                Cell((Part(clean(event.subject), Tone.STRONG),), event.subject),
                Cell((Part(clean(event.text)),), event.text),
                Cell((Part(clean(event.operator), Tone.DIM),), event.operator),
            ),
        )
        for event in events
    ]


# --- cells ------------------------------------------------------------------------------------------------------------


def figure(text: str, order: float, tone: Tone = Tone.PLAIN) -> Cell:
    """A number; what is nothing steps back."""
    return Cell((Part(text, Tone.DIM if text in ("0", "-", "0%", "0.0", "0B", "0s") else tone),), order)


def load_tone(utilisation: float) -> Tone:
    """Full, nearly full, fine."""
    return Tone.BAD if utilisation >= 0.97 else Tone.WARN if utilisation >= 0.85 else Tone.BUSY


def plain(line: Iterable[Part]) -> str:
    """The text of a line, without its tones."""
    return "".join(part.text for part in line)
