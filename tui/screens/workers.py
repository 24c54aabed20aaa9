"""Workers: every process of the cluster, or the workers of one pool."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult

from tui import commands
from tui.commands import Aim
from tui.messages import LogsOfCursorRequested, Opened, ScreenRequested
from tui.present import units
from tui.present.clean import clean
from tui.present.panels import rule
from tui.present.picture import Picture
from tui.present.tables import (
    PROCESS_COLUMNS,
    Line,
    Part,
    Tone,
    head_count,
    load_tone,
    pool_state,
    process_table,
    workers_by_pool,
)
from tui.present.trends import spark
from tui.screens.view import View
from tui.widgets.lines import Lines
from tui.widgets.live_table import LiveTable
from tui.widgets.workers import WorkerStrip


class Workers(View):
    """`target` is the pool, "" for every process."""

    SCREEN = commands.WORKERS
    BINDINGS = commands.bindings(SCREEN)

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        self._shown = ""
        self._pools_by_process: dict[str, str] = {}

    def body(self) -> ComposeResult:
        yield Lines(id="pool")
        yield WorkerStrip(id="strip")
        yield Lines(id="table-rule", classes="rule")
        yield LiveTable(PROCESS_COLUMNS, self._now, empty="no processes", id="processes")

    def aim(self) -> Aim:
        table = self.query_one("#processes", LiveTable)
        pool = self.target or self._pools_by_process.get(table.cursor, "")
        return Aim(self.SCREEN, pool, table.cursor, table.gone)

    def show(self, picture: Picture) -> None:
        snapshot = picture.snapshot
        self._pools_by_process = {process.id: process.pool for process in snapshot.processes}
        by_pool = workers_by_pool(snapshot)
        workers = by_pool.get(self.target, []) if self.target else [w for pool in by_pool.values() for w in pool]
        self.query_one("#pool", Lines).draw(_pool_lines(picture, self.target, self.size.width))
        self.query_one("#strip", WorkerStrip).show(workers, most=4)
        self.query_one("#table-rule", Lines).draw([rule(self.size.width)])
        table = self.query_one("#processes", LiveTable)
        if self._shown != self.target:
            self._shown = self.target
            table.release()
        table.show(process_table(snapshot, self.target))

    def on_live_table_chosen(self) -> None:
        self.post_message(Opened())

    def on_opened(self, message: Opened) -> None:
        message.stop()
        self._to_logs()

    def on_logs_of_cursor_requested(self, message: LogsOfCursorRequested) -> None:
        message.stop()
        self._to_logs()

    def _to_logs(self) -> None:
        if process := self.aim().process:
            self.post_message(ScreenRequested(commands.LOGS, process))


def _pool_lines(picture: Picture, name: str, width: int) -> list[Line]:
    """Two lines about the pool; about all of them when there is no such one."""
    snapshot = picture.snapshot
    pool = next((pool for pool in snapshot.pools if pool.name == name), None)
    if pool is None:
        number = units.plural(len(snapshot.processes), "process", "processes")
        pools = units.plural(len(snapshot.pools), "pool")
        missing = f"there is no pool {clean(name)}: " if name and picture.known else ""
        return [(Part(f" {missing}", Tone.BAD), Part(f"{number}, {pools}", Tone.DIM)), ()]
    growth = picture.trends.growth(name)
    state = pool_state(pool, growth)
    first: Line = (
        Part(" pool ", Tone.DIM),
        Part(clean(name), Tone.STRONG),
        Part("   queue ", Tone.DIM),
        Part(f"{units.count(pool.queued)} ({units.growth(growth)}/s)"),
        Part("   wait ", Tone.DIM),
        Part(units.milliseconds(pool.oldest_wait_ms)),
        Part("   workers ", Tone.DIM),
        *head_count(pool),
        Part("  "),
        Part(state.word, state.tone),
    )
    points = picture.trends.pool(name)
    room = min(max((width - 40) // 3, 4), 40)
    second: Line = (
        Part(" queue ", Tone.DIM),
        Part(spark([point.queued for point in points], room, floor=8), Tone.BUSY),
        Part("  util ", Tone.DIM),
        Part(spark([point.utilisation for point in points], room, floor=1), load_tone(pool.utilisation)),
        Part(f" {units.share(pool.utilisation)}", load_tone(pool.utilisation)),
        Part("  done/s ", Tone.DIM),
        Part(spark([point.rate for point in points], room, floor=1), Tone.GOOD),
        Part(f" {units.rate(pool.rate)}"),
    )
    return [first, second]
