"""Events: what happened, newest first, and who asked for it."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult

from tui import commands
from tui.present.panels import rule
from tui.present.picture import Picture
from tui.present.tables import EVENT_COLUMNS, event_table
from tui.screens.view import View
from tui.widgets.lines import Lines
from tui.widgets.live_table import LiveTable


class EventsScreen(View):
    """All events that are still remembered."""

    SCREEN = commands.EVENTS
    BINDINGS = commands.bindings(SCREEN)

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        self._shown: object = None

    def body(self) -> ComposeResult:
        yield Lines(id="table-rule", classes="rule")
        yield LiveTable(EVENT_COLUMNS, self._now, empty="nothing has happened yet", id="all-events")

    def show(self, picture: Picture) -> None:
        self.query_one("#table-rule", Lines).draw([rule(self.size.width)])
        if self._shown is not picture.events:
            self._shown = picture.events
            self.query_one("#all-events", LiveTable).show(event_table(picture.events))
