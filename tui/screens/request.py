"""Request: everything that was recorded of one."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from textual.app import ComposeResult

from tui import commands
from tui.commands import Aim
from tui.messages import EntryArrived, EntryWanted, Moved, SortMoved
from tui.present.clean import clean
from tui.present.entries import Entries, entry_lines
from tui.present.panels import rule
from tui.present.picture import Picture
from tui.present.tables import Line, Part, Tone
from tui.screens.view import View
from tui.widgets.lines import Lines
from tui.widgets.text_view import TextView


class RequestScreen(View):
    """`target` is the id of the request."""

    SCREEN = commands.REQUEST
    BINDINGS = commands.bindings(SCREEN)

    def __init__(self, now: Callable[[], float], entries: Entries) -> None:
        super().__init__()
        self._now = now
        self._entries = entries
        self._shown: object = None

    def body(self) -> ComposeResult:
        yield Lines(id="table-rule", classes="rule")
        yield TextView(id="entry")

    @property
    def text(self) -> TextView:
        return self.query_one(TextView)

    def aim(self) -> Aim:
        return Aim(self.SCREEN, requests=(self.target,) if self.target else ())

    def cli(self) -> str:
        return f"primectl requests show {shlex.quote(self.target)}"

    def summary(self) -> str:
        return self.text.summary

    def show(self, picture: Picture) -> None:
        width = self.size.width
        self.query_one("#table-rule", Lines).draw([rule(width, f"REQUEST  {clean(self.target)}", Tone.TITLE)])
        if wanted := self._entries.question(self.target, self._now(), 0.0):
            self.post_message(EntryWanted(wanted))
        entry = self._entries.entry(self.target)
        state = (self.target, entry is None, self._entries.failure(self.target), width)
        if self._shown == state:
            return
        if not isinstance(self._shown, tuple) or self._shown[0] != self.target:
            self.text.begin()
        self._shown = state
        if entry is not None:
            self.text.show(entry_lines(entry, width))
            return
        failure = self._entries.failure(self.target)
        waiting: Line = (Part(f" ▲ {clean(failure)}", Tone.BAD),) if failure else (Part(" …", Tone.DIM),)
        self.text.show([waiting])

    def on_entry_arrived(self, message: EntryArrived) -> None:
        message.stop()
        if self.is_current:
            self.repaint()

    def on_moved(self, message: Moved) -> None:
        message.stop().prevent_default()
        self.text.move(message.unit, message.by)
        self.repaint()

    def on_sort_moved(self, message: SortMoved) -> None:
        message.stop().prevent_default()
