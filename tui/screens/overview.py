"""Overview: is it well, where does it hurt, what to do about it."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Horizontal

from primectl.wire.stats import PoolSnapshot
from tui import commands
from tui.commands import Aim
from tui.messages import LogsOfCursorRequested, Opened, ScreenRequested
from tui.present import units
from tui.present.advice import Advice, advise, advise_in_silence
from tui.present.charts import CALM, LOAD
from tui.present.clean import clean
from tui.present.operations import under_way
from tui.present.panels import advice_lines, event_lines, front_lines, rule
from tui.present.picture import Picture
from tui.present.tables import POOL_COLUMNS, PROCESS_COLUMNS, Line, Tone, pool_table, process_table, workers_by_pool
from tui.screens.view import View
from tui.widgets.lines import Lines
from tui.widgets.live_table import LiveTable
from tui.widgets.spark import Spark
from tui.widgets.workers import WorkerStrip


class Overview(View):
    """The pools with their queues; below them the workers of the pool under the cursor, advice, and the last events."""

    SCREEN = commands.OVERVIEW
    BINDINGS = commands.bindings(SCREEN)

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        self._crew_of = ""

    def body(self) -> ComposeResult:
        yield Lines(id="front")
        yield Lines(id="front-rule", classes="rule")
        yield LiveTable(POOL_COLUMNS, self._now, empty="no pools yet", id="pools")
        yield Lines(id="strip-rule", classes="rule")
        yield WorkerStrip(id="strip")
        with Horizontal(id="panes"):
            yield Spark(id="queue-chart")
            yield Spark(id="rate-chart")
            yield LiveTable(PROCESS_COLUMNS, self._now, empty="no workers", id="crew")
        yield Lines(id="advice-rule", classes="rule")
        yield Lines(id="advice")
        yield Lines(id="events-rule", classes="rule")
        yield Lines(id="events")

    def aim(self) -> Aim:
        pools, crew = self.query_one("#pools", LiveTable), self.query_one("#crew", LiveTable)
        if self.focused is crew:
            return Aim(self.SCREEN, pools.cursor, crew.cursor, crew.gone)
        return Aim(self.SCREEN, pools.cursor, "", pools.gone)

    def show(self, picture: Picture) -> None:
        snapshot = picture.snapshot
        width = self.size.width
        pools = self.query_one("#pools", LiveTable)
        pools.show(pool_table(snapshot, picture.trends))
        self._draw("front", front_lines(picture, width))
        self._draw("front-rule", [rule(width)])
        self._draw("advice-rule", [rule(width, under_way(snapshot), Tone.ACCENT)])
        self._draw("events-rule", [rule(width, "EVENTS", Tone.TITLE)])
        workers = workers_by_pool(snapshot).get(pools.cursor, [])
        pool = next((pool for pool in snapshot.pools if pool.name == pools.cursor), None)
        self._draw("strip-rule", [rule(width, f"WORKERS  {clean(pools.cursor)}", Tone.TITLE)])
        self.query_one("#strip", WorkerStrip).show(workers)
        self._show_panes(picture, pool)
        advice = self.query_one("#advice", Lines)
        advice.draw(advice_lines(self._advice(picture), width, max(advice.size.height, 1)))
        events = self.query_one("#events", Lines)
        events.draw(event_lines(picture.events, width, max(events.size.height, 1)))

    def _advice(self, picture: Picture) -> Advice:
        moment = self.moment
        if moment is not None and moment.stale:
            silent = moment.waited_s if moment.age_s is None else moment.age_s
            return advise_in_silence(picture.known, silent)
        return advise(picture.snapshot, picture.trends.all_growth())

    def _show_panes(self, picture: Picture, pool: PoolSnapshot | None) -> None:
        """The charts and workers of the pool under the cursor, where there is room for them."""
        if pool is None or not self.query_one("#panes").display or not self.has_class("-wide", "-high"):
            return
        points = picture.trends.pool(pool.name)
        name = clean(pool.name)
        self.query_one("#queue-chart", Spark).show(
            f"QUEUE  {name}",
            [point.queued for point in points],
            units.count,
            least=max(pool.workers, 8),
            tones=LOAD if pool.queued > pool.workers else CALM,
        )
        self.query_one("#rate-chart", Spark).show(
            f"DONE/s  {name}", [point.rate for point in points], units.rate, least=8, tones=CALM
        )
        crew = self.query_one("#crew", LiveTable)
        if self._crew_of != pool.name:
            self._crew_of = pool.name
            crew.release()
        crew.show(process_table(picture.snapshot, pool.name))

    def _draw(self, name: str, lines: list[Line]) -> None:
        self.query_one(f"#{name}", Lines).draw(lines)

    def on_live_table_cursor_moved(self, message: LiveTable.CursorMoved) -> None:
        message.stop()
        self.repaint()

    def on_live_table_chosen(self) -> None:
        self.post_message(Opened())

    def on_opened(self, message: Opened) -> None:
        message.stop()
        aim = self.aim()
        if aim.process:
            self.post_message(ScreenRequested(commands.LOGS, aim.process))
        elif aim.pool:
            self.post_message(ScreenRequested(commands.WORKERS, aim.pool))

    def on_logs_of_cursor_requested(self, message: LogsOfCursorRequested) -> None:
        message.stop()
        self.post_message(ScreenRequested(commands.LOGS, self.aim().target))
