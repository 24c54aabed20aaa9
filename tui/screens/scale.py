"""The scale dialog: a held value, nothing is sent before it is confirmed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.widgets import Button

from primectl.wire.stats import PoolSnapshot, ProcessSnapshot
from tui.present import plans
from tui.present.clean import clean
from tui.present.tables import Line, Part, Tone, workers_by_pool
from tui.screens.dialog import CANCEL, Dialog, button
from tui.screens.view import Moment

DIGITS = 4


class ScaleDialog(Dialog[int]):
    """Ends with the number of workers. Enter confirms a value that was changed; an unchanged one closes the dialog."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus,up", "step(1)", "One more", show=False),
        Binding("minus,down", "step(-1)", "One less", show=False),
        Binding("equals_sign", "back", "As it is now", show=False),
        Binding("enter", "confirm", "Scale", show=False),
    ]
    AUTO_FOCUS = ""

    def __init__(self, pool: PoolSnapshot, wanted: str) -> None:
        super().__init__()
        self._pool = pool
        self._start = pool.target
        self._workers: list[ProcessSnapshot] = []
        self._typed = str(self._resolved(wanted))
        self._fresh = True

    @property
    def value(self) -> int:
        return int(self._typed or "0")

    @property
    def refusal(self) -> str:
        """Why the value cannot be taken; empty when it can."""
        if not self._typed:
            return "type a number"
        if self._pool.max_workers and self.value > self._pool.max_workers:
            return f"at most {self._pool.max_workers}: max_workers in the config says so"
        return ""

    def heading(self) -> str:
        return f"Scale pool {self._pool.name}"

    def lines(self) -> Sequence[Line]:
        changed = self.value != self._start
        value: Line = (
            Part(f"now {self._start}    new size ", Tone.DIM),
            Part(f" {self._typed or '_'} ", Tone.MATCH if changed else Tone.STRONG),
            Part(f"    + - step   = back to {self._start}   0-9 type", Tone.DIM),
        )
        why = self.refusal
        tail: Line = (Part(f"▲ {why}", Tone.BAD),) if why else (Part(" "),)
        return [value, (Part(" "),), *plans.scale_lines(self._pool, self.value, self._workers), tail]

    def buttons(self) -> list[Button]:
        return [button("Cancel", CANCEL), button("Scale", "ok")]

    def cli(self) -> str:
        return f"primectl scale {self._pool.name}={self.value}"

    def paint(self, moment: Moment) -> None:
        snapshot = moment.picture.snapshot
        self._pool = next((pool for pool in snapshot.pools if pool.name == self._pool.name), self._pool)
        self._workers = workers_by_pool(snapshot).get(self._pool.name, [])
        super().paint(moment)

    def repaint(self) -> None:
        super().repaint()
        ok = self.query_one("#ok", Button)
        ok.disabled = bool(self.refusal) or self.value == self._start
        ok.label = f"Scale to {self.value}" if not ok.disabled else "Scale"

    def on_key(self, event: events.Key) -> None:
        """Digits replace the value at first and then add to it, as in a calculator."""
        if event.character and event.character.isdecimal() and event.character.isascii():
            event.stop()
            typed = event.character if self._fresh else self._typed + event.character
            self._hold(str(int(typed))[:DIGITS])
        elif event.key == "backspace":
            event.stop()
            self._hold(self._typed[:-1])

    def action_step(self, by: int) -> None:
        self._hold(str(max(self.value + by, 0)))

    def action_back(self) -> None:
        self._hold(str(self._start))
        self._fresh = True

    def action_confirm(self) -> None:
        if self.refusal:
            self.app.bell()
        elif self.value == self._start:
            self.dismiss(None)
        else:
            self.dismiss(self.value)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "ok":
            self.action_confirm()
        else:
            self.dismiss(None)

    def _hold(self, typed: str) -> None:
        self._typed = typed
        self._fresh = False
        self.repaint()

    def _resolved(self, wanted: str) -> int:
        if wanted[:1] in ("+", "-"):
            return max(self._start + int(wanted), 0)
        return int(clean(wanted)) if wanted else self._start
