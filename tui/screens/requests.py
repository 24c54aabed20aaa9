"""Requests: what was recorded, newest first; below or beside the list the request under the cursor."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Container

from primectl.errors import ConfigError, PrimectlError
from tui import commands
from tui.commands import Aim
from tui.messages import (
    BarRequested,
    EntryArrived,
    EntryWanted,
    FaultsToggled,
    FilterRequested,
    FollowToggled,
    MarkToggled,
    Moved,
    Opened,
    RequestsArrived,
    RequestsWanted,
    ScreenRequested,
    SortMoved,
)
from tui.present.entries import Entries, inspector_lines
from tui.present.panels import rule
from tui.present.picture import Picture
from tui.present.requests import COLUMNS, RequestList, head_line, mistake_lines, summary
from tui.screens.view import View
from tui.widgets.lines import Lines
from tui.widgets.live_table import LiveTable


class RequestsScreen(View):
    """`target` is the filter: one that is given narrows the list, "" leaves it as it is.

    While it follows, the cursor rests on the newest row; moving it holds the list still, so
    that the row under it stays.
    """

    SCREEN = commands.REQUESTS
    BINDINGS = commands.bindings(SCREEN)

    def __init__(self, now: Callable[[], float], entries: Entries) -> None:
        self.requests = RequestList()
        self._entries = entries
        self._drawn = -1
        self._answers_to = 0
        self._inspected: tuple[object, ...] = ()
        super().__init__()
        self._now = now

    @property
    def target(self) -> str:
        return self.requests.wished

    @target.setter
    def target(self, text: str) -> None:
        if text:
            self.requests.look_for(text)

    def body(self) -> ComposeResult:
        yield Lines(id="head")
        yield Lines(id="table-rule", classes="rule")
        with Container(id="request-panes"):
            yield LiveTable(COLUMNS, self._now, empty="no request yet", id="requests")
            yield Lines(id="inspector-rule", classes="rule")
            yield Lines(id="inspector")
        yield Lines(id="mistake")

    @property
    def rows(self) -> LiveTable:
        return self.query_one("#requests", LiveTable)

    def aim(self) -> Aim:
        table = self.rows
        return Aim(self.SCREEN, gone=table.gone, requests=self.requests.chosen(table.cursor))

    def about(self) -> str:
        """Nothing: the head line has the filter."""
        return ""

    def cli(self) -> str:
        where = self.requests.asks_for
        return f"primectl requests --where {shlex.quote(where)}" if where else "primectl requests"

    def summary(self) -> str:
        parts = [summary(self.requests)]
        if self.rows.sorted:
            parts.append(self.rows.summary)
        return "   ".join(parts)

    # --- what is shown ------------------------------------------------------------------------------------------------

    def show(self, picture: Picture) -> None:
        assert self.moment is not None, "set by paint"
        now, width = self._now(), self.size.width
        if query := self.requests.question(now):
            self.post_message(RequestsWanted(query))
        self.query_one("#head", Lines).draw(
            [head_line(self.requests, picture.snapshot.journal, self.moment.wall, width)]
        )
        self.query_one("#table-rule", Lines).draw([rule(width)])
        self.query_one("#mistake", Lines).draw(mistake_lines(self.requests, width))
        table = self.rows
        if self._drawn != self.requests.version:
            self._drawn = self.requests.version
            table.show(self.requests.rows)
            if self._answers_to != self.requests.epoch:
                self._answers_to = self.requests.epoch
                if table.gone:
                    table.rest_on_first()
            if self.requests.follow:
                table.rest_on_first()
        table.mark(self.requests.marks.keys())
        self._inspect(now, table.cursor)

    def _inspect(self, now: float, key: str) -> None:
        inspector = self.query_one("#inspector", Lines)
        if not inspector.display:
            return
        row = self.requests.row(key)
        request = row.id if row is not None else ""
        if wanted := self._entries.question(request, now):
            self.post_message(EntryWanted(wanted))
        self.query_one("#inspector-rule", Lines).draw([rule(self.query_one("#inspector-rule").size.width)])
        entry, failure = self._entries.entry(request), self._entries.failure(request)
        shown = (row, entry is None, failure, inspector.size)
        if shown != self._inspected:
            self._inspected = shown
            width, height = inspector.size
            inspector.draw(inspector_lines(row, entry, failure, width, max(height, 1)))

    # --- answers ------------------------------------------------------------------------------------------------------

    def on_requests_arrived(self, message: RequestsArrived) -> None:
        message.stop()
        answer, now = message.answer, self._now()
        if isinstance(answer, PrimectlError):
            self.requests.refused(message.query, str(answer), now, mistake=isinstance(answer, ConfigError))
        else:
            self.requests.answered(message.query, answer.requests, answer.kept, answer.newest, now)
        if self.is_current:
            self.repaint()

    def on_entry_arrived(self, message: EntryArrived) -> None:
        message.stop()
        if self.is_current:
            self.repaint()

    # --- keys ---------------------------------------------------------------------------------------------------------

    def on_moved(self, message: Moved) -> None:
        """To the first row follows again, as at the end of a log; elsewhere the list stands still."""
        message.stop().prevent_default()
        self.rows.move(message.unit, message.by)
        if message.unit == "end" and message.by < 0 and not self.rows.sorted:
            self._follow(True)
        elif not self.rows.on_first:
            self._follow(False)
        self.repaint()

    def on_live_table_cursor_moved(self, message: LiveTable.CursorMoved) -> None:
        """By a click, among others."""
        message.stop()
        if self.requests.follow and not self.rows.on_first:
            self._follow(False)
        self.repaint()

    def on_follow_toggled(self, message: FollowToggled) -> None:
        message.stop()
        self._follow(not self.requests.follow)
        self.repaint()

    def _follow(self, follow: bool) -> None:
        self.requests.keep_to_newest(follow)
        if follow:
            self.rows.rest_on_first()

    def on_sort_moved(self, message: SortMoved) -> None:
        """In another order the newest row is not the first, so there is no following."""
        message.stop().prevent_default()
        self.rows.sort_by(message.by)
        if self.rows.sorted:
            self._follow(False)
        self.repaint()

    def on_mark_toggled(self, message: MarkToggled) -> None:
        message.stop()
        if message.all_rows:
            self.requests.toggle_all()
        elif key := self.rows.cursor:
            self._follow(False)
            self.requests.toggle_mark(key)
            self.rows.move("line", 1)
        self.repaint()

    def on_faults_toggled(self, message: FaultsToggled) -> None:
        message.stop()
        self.requests.toggle_faults()
        self.repaint()

    def on_live_table_chosen(self) -> None:
        self.post_message(Opened())

    def on_opened(self, message: Opened) -> None:
        message.stop()
        row = self.requests.row(self.rows.cursor)
        if row is not None:
            self._follow(False)
            self.post_message(ScreenRequested(commands.REQUEST, row.id))

    # --- the filter ---------------------------------------------------------------------------------------------------

    async def on_bar_requested(self, message: BarRequested) -> None:
        """The filter is there to be changed, one with a mistake to be mended."""
        if message.prompt == "/" and not message.text:
            message.stop().prevent_default()
            await super().on_bar_requested(BarRequested("/", self.requests.tried or self.requests.wished))

    def looking_for(self, text: str) -> None:
        """Half a filter is a mistake: it is asked for when it is finished."""

    def looked_for(self, text: str, accepted: bool) -> None:
        if accepted:
            self.post_message(FilterRequested(text))

    def on_filter_requested(self, message: FilterRequested) -> None:
        message.stop().prevent_default()
        if message.text:
            self.requests.look_for(message.text)
        else:
            self.requests.widen()
        self.repaint()

    def narrowed(self) -> bool:
        return self.requests.narrowed
