"""Logs: the tail of every process's log, merged, or of some."""

from __future__ import annotations

from textual.app import ComposeResult

from primectl.wire.stats import LogLine
from tui import commands
from tui.commands import Aim
from tui.messages import (
    FilterRequested,
    FollowToggled,
    LogsArrived,
    MatchRequested,
    Moved,
    OnlyMatchesToggled,
    Refused,
    Shifted,
    SortMoved,
    WrapToggled,
)
from tui.present.clean import clean
from tui.present.panels import rule
from tui.present.picture import Picture
from tui.present.tables import Tone
from tui.present.tail import join, names
from tui.screens.view import View
from tui.widgets.lines import Lines
from tui.widgets.log_view import LogView


class LogsScreen(View):
    """`target` is a pool or a process, "" for all. The app asks for the tail and subscribes while this is open."""

    SCREEN = commands.LOGS
    BINDINGS = commands.bindings(SCREEN)

    def __init__(self) -> None:
        super().__init__()
        self._early: list[LogLine] | None = None

    def body(self) -> ComposeResult:
        yield Lines(id="table-rule", classes="rule")
        yield LogView(id="log")

    def aim(self) -> Aim:
        pool, dot, _ = self.target.rpartition(".")
        return Aim(self.SCREEN, pool if dot else self.target, self.target if dot else "")

    def cli(self) -> str:
        return f"primectl logs -f {clean(self.target)}".rstrip()

    def summary(self) -> str:
        return self.log_view.summary

    @property
    def log_view(self) -> LogView:
        return self.query_one(LogView)

    def begin(self) -> None:
        """A tail was asked for: live lines wait for it."""
        self._early = []

    def show(self, picture: Picture) -> None:
        about = f"LOGS  {clean(self.target) or 'all processes'}"
        self.query_one("#table-rule", Lines).draw([rule(self.size.width, about, Tone.TITLE)])
        self.log_view.paint()

    def on_logs_arrived(self, message: LogsArrived) -> None:
        message.stop()
        if message.tail:
            if message.target == self.target:
                self.log_view.replace(join(message.lines, self._early or []))
                self._early = None
            return
        wanted = [line for line in message.lines if names(self.target, line.process)]
        if self._early is None:
            self.log_view.extend(wanted, message.skipped)
        else:
            self._early += wanted

    def on_moved(self, message: Moved) -> None:
        message.stop()
        self.log_view.move(message.unit, message.by)
        self.repaint()

    def on_filter_requested(self, message: FilterRequested) -> None:
        message.stop()
        self.log_view.look_for(message.text)
        self.repaint()

    def on_sort_moved(self, message: SortMoved) -> None:
        message.stop()

    def narrowed(self) -> bool:
        return bool(self.log_view.search)

    def on_follow_toggled(self, message: FollowToggled) -> None:
        message.stop()
        self._toggle("follow")

    def on_only_matches_toggled(self, message: OnlyMatchesToggled) -> None:
        message.stop()
        if not self.log_view.search:
            self.post_message(Refused("nothing to match yet: / looks for a text"))
            return
        self._toggle("only_matches")

    def on_wrap_toggled(self, message: WrapToggled) -> None:
        message.stop()
        self._toggle("wrap")

    def on_match_requested(self, message: MatchRequested) -> None:
        message.stop()
        if not self.log_view.next_match(message.by):
            self.post_message(Refused("no line matches" if self.log_view.search else "/ looks for a text"))
        self.repaint()

    def on_shifted(self, message: Shifted) -> None:
        message.stop()
        self.log_view.shift(message.by)

    def _toggle(self, what: str) -> None:
        self.log_view.toggle(what)
        self.repaint()
