"""Help: all that can be done on the screen it was asked on, made from the one table of commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui import commands
from tui.commands import Aim, Danger
from tui.present.tables import Cell, Column, Part, Row, Tone
from tui.widgets.lines import Lines
from tui.widgets.live_table import LiveTable

COLUMNS = (
    Column("KEYS", 7, grow=16),
    Column("WHAT IT DOES", 34, grow=50),
    Column("AFTER :", 8, drop=1, grow=20),
    Column("ON THE COMMAND LINE", 19, drop=2, grow=40),
)
_DANGERS = {Danger.NONE: "", Danger.ASKS: "asks", Danger.LISTS: "asks", Danger.NAMES: "asks"}


class HelpScreen(ModalScreen[str], inherit_bindings=False):
    """Ends with the id of a command to do, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,ctrl+c", "close", "Close", show=False),
        Binding("enter", "choose", "Do it", show=False),
        Binding("j,down", "move('line', 1)", "Down", show=False),
        Binding("k,up", "move('line', -1)", "Up", show=False),
        Binding("pagedown,ctrl+d", "move('page', 1)", "A page down", show=False),
        Binding("pageup,ctrl+u", "move('page', -1)", "A page up", show=False),
        Binding("g,home", "move('end', -1)", "To the first", show=False),
        Binding("G,end", "move('end', 1)", "To the last", show=False),
    ]
    SCREEN = "help"

    def __init__(self, aim: Aim, now: Callable[[], float]) -> None:
        super().__init__()
        self._aim = aim
        self._now = now

    def compose(self) -> ComposeResult:
        with Vertical(id="help"):
            yield Lines(id="heading")
            yield LiveTable(COLUMNS, self._now, id="help-table")
            yield Lines(id="help-hints")

    def on_mount(self) -> None:
        self.query_one("#heading", Lines).draw([(Part(f"What can be done here: {self._aim.screen}", Tone.ACCENT),), ()])
        hints = "⏎ does it   j k move   Esc closes   leaving does not stop the cluster"
        self.query_one("#help-hints", Lines).draw([(), (Part(hints, Tone.DIM),)])
        self.call_after_refresh(lambda: self.query_one(LiveTable).show(help_rows(self._aim)))

    def action_close(self) -> None:
        self.dismiss(None)

    def action_choose(self) -> None:
        self.dismiss(self.query_one(LiveTable).cursor or None)

    def action_move(self, unit: str, by: int) -> None:
        self.query_one(LiveTable).move(unit, by)

    def on_live_table_chosen(self) -> None:
        self.action_choose()


def help_rows(aim: Aim) -> list[Row]:
    """A row for every command of the screen, by its id."""
    return [
        Row(
            command.id,
            (
                Cell(
                    (
                        Part(
                            "  ".join(commands.label(key) for key in commands.keys_on(command, aim.screen)), Tone.ACCENT
                        ),
                    )
                ),
                Cell((Part(command.title), Part("  " + _DANGERS[command.danger], Tone.WARN))),
                Cell((Part(", ".join(command.words), Tone.GOOD),)),
                Cell((Part(commands.cli_line(command, aim), Tone.DIM),)),
            ),
        )
        for command in commands.COMMANDS
        if command.on(aim.screen)
    ]
