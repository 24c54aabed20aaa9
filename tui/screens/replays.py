"""Replays: the runs of this session, the results of one, and one result in full."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult

from tui import commands
from tui.commands import Aim
from tui.messages import Moved, NeighbourRequested, Opened, Refused, ScreenRequested, SortMoved
from tui.present.clean import clean
from tui.present.differences import diff_lines
from tui.present.panels import rule
from tui.present.picture import Picture
from tui.present.runs import RESULT_COLUMNS, RUN_COLUMNS, Run, RunBook, result_rows, run_lines, run_row
from tui.present.tables import Part, Tone
from tui.screens.view import View
from tui.widgets.lines import Lines
from tui.widgets.live_table import LiveTable
from tui.widgets.text_view import TextView


class ReplaysScreen(View):
    """The runs of this session, newest first."""

    SCREEN = commands.REPLAYS
    BINDINGS = commands.bindings(SCREEN)

    def __init__(self, now: Callable[[], float], runs: RunBook) -> None:
        super().__init__()
        self._now = now
        self._runs = runs

    def body(self) -> ComposeResult:
        yield Lines(id="table-rule", classes="rule")
        empty = "nothing was replayed yet: 4 shows requests, r there sends them again"
        yield LiveTable(RUN_COLUMNS, self._now, empty=empty, id="runs")

    def aim(self) -> Aim:
        table = self.query_one(LiveTable)
        return Aim(self.SCREEN, gone=table.gone, run=table.cursor)

    def cli(self) -> str:
        run = self._runs.run(self.query_one(LiveTable).cursor)
        return run.command if run else ""

    def show(self, picture: Picture) -> None:
        self.query_one("#table-rule", Lines).draw([rule(self.size.width, "REPLAYS", Tone.TITLE)])
        self.query_one(LiveTable).show([run_row(run) for run in self._runs])

    def on_live_table_chosen(self) -> None:
        self.post_message(Opened())

    def on_opened(self, message: Opened) -> None:
        message.stop()
        if run := self.aim().run:
            self.post_message(ScreenRequested(commands.REPLAY, run))


class ReplayScreen(View):
    """One run: how far it is, then what it found. `target` is its number."""

    SCREEN = commands.REPLAY
    BINDINGS = commands.bindings(SCREEN)

    def __init__(self, now: Callable[[], float], runs: RunBook) -> None:
        super().__init__()
        self._now = now
        self._runs = runs
        self._shown: tuple[str, bool] | None = None

    def body(self) -> ComposeResult:
        yield Lines(id="run")
        yield Lines(id="table-rule", classes="rule")
        yield LiveTable(RESULT_COLUMNS, self._now, empty="its results come when it is over", id="results")

    @property
    def run(self) -> Run | None:
        return self._runs.run(self.target)

    def aim(self) -> Aim:
        return Aim(self.SCREEN, run=self.target)

    def cli(self) -> str:
        return self.run.command if self.run else ""

    def show(self, picture: Picture) -> None:
        run, width = self.run, self.size.width
        self.query_one("#table-rule", Lines).draw([rule(width)])
        if run is None:
            self.query_one("#run", Lines).draw([(Part(" this replay is not remembered any more", Tone.WARN),), ()])
            return
        self.query_one("#run", Lines).draw(run_lines(run, width))
        table = self.query_one(LiveTable)
        if self._shown != (self.target, run.over):
            if self._shown is None or self._shown[0] != self.target:
                table.release()
            self._shown = (self.target, run.over)
            table.show(result_rows(run.results))

    def on_live_table_chosen(self) -> None:
        self.post_message(Opened())

    def on_opened(self, message: Opened) -> None:
        message.stop()
        if row := self.query_one(LiveTable).cursor:
            self.post_message(ScreenRequested(commands.DIFFERENCE, f"{self.target}/{row}"))
        else:
            self.post_message(Refused("there is no result under the cursor"))


class DifferenceScreen(View):
    """One result. `target` is the number of the run and the place of the result, `3/0`."""

    SCREEN = commands.DIFFERENCE
    BINDINGS = commands.bindings(SCREEN)

    def __init__(self, runs: RunBook) -> None:
        super().__init__()
        self._runs = runs
        self._shown: tuple[str, int] | None = None

    def body(self) -> ComposeResult:
        yield Lines(id="table-rule", classes="rule")
        yield TextView(id="difference")

    @property
    def text(self) -> TextView:
        return self.query_one(TextView)

    def _at(self) -> tuple[Run | None, int]:
        number, _, place = self.target.partition("/")
        run = self._runs.run(number)
        at = int(place or 0)
        return (run, at) if run is not None and at < len(run.results) else (None, 0)

    def aim(self) -> Aim:
        return Aim(self.SCREEN, run=self.target.partition("/")[0])

    def about(self) -> str:
        run, place = self._at()
        return f"{place + 1} of {len(run.results)}" if run else ""

    def cli(self) -> str:
        run, place = self._at()
        return f"primectl replay {run.results[place].id} --diff" if run else ""

    def summary(self) -> str:
        return self.text.summary

    def show(self, picture: Picture) -> None:
        run, place = self._at()
        width = self.size.width
        number = self.target.partition("/")[0]
        self.query_one("#table-rule", Lines).draw([rule(width, f"REPLAY {clean(number)}", Tone.TITLE)])
        if self._shown == (self.target, width):
            return
        if self._shown is None or self._shown[0] != self.target:
            self.text.begin()
        self._shown = (self.target, width)
        gone = [(Part(" this replay is not remembered any more", Tone.WARN),)]
        self.text.show(diff_lines(run, place, width) if run else gone)

    def on_neighbour_requested(self, message: NeighbourRequested) -> None:
        message.stop()
        run, place = self._at()
        if run is None:
            return
        other = place + message.by
        if not 0 <= other < len(run.results):
            self.post_message(Refused("that was the last result" if message.by > 0 else "that was the first result"))
            return
        self.target = f"{run.number}/{other}"
        self.repaint()

    def on_moved(self, message: Moved) -> None:
        message.stop().prevent_default()
        self.text.move(message.unit, message.by)
        self.repaint()

    def on_sort_moved(self, message: SortMoved) -> None:
        message.stop().prevent_default()
