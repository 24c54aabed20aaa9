"""The replay dialog: a plan to look at and to change; nothing is sent before it is started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from textual import events
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Button, Input

from primectl.wire.stats import ClusterSnapshot
from tui.messages import DryRunRequested
from tui.present import replays
from tui.present.clean import clean
from tui.present.replays import Chosen, Wishes
from tui.present.tables import Line, Part, Tone
from tui.screens.dialog import CANCEL, Dialog, button
from tui.screens.view import Moment
from tui.widgets.lines import Lines


class ReplayDialog(Dialog[Wishes]):
    """Ends with the wishes to start with. Up and Down choose what Space and digits change."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "go(1)", "The next field", show=False),
        Binding("k,up", "go(-1)", "The field before", show=False),
        Binding("space,plus", "turn(1)", "The next choice", show=False),
        Binding("minus", "turn(-1)", "The choice before", show=False),
    ]

    def __init__(self, chosen: Chosen, wishes: Wishes, snapshot: ClusterSnapshot) -> None:
        super().__init__()
        self._chosen = chosen
        self._wishes = msgspec.structs.replace(wishes, unsafe=False)
        self._snapshot = snapshot
        self._fields = replays.fields(chosen)
        self._at = 0
        self._fresh = True
        self._dry = ""

    @property
    def argv(self) -> list[str]:
        return replays.argv(self._wishes, self._chosen)

    def heading(self) -> str:
        number = len(self._chosen.ids)
        return f"Replay {number} requests" if number != 1 else f"Replay {self._chosen.ids[0]}"

    def lines(self) -> Sequence[Line]:
        field = self._fields[self._at]
        lines = replays.plan_lines(self._wishes, self._chosen, field, self._snapshot)
        if refusal := replays.refusal(self._wishes, self._chosen):
            lines.append((Part(f"▲ {clean(refusal)}", Tone.BAD),))
        elif replays.sends_unsafe(self._wishes, self._chosen):
            lines.append((Part("▲ unsafe requests run again: what they change, they change once more", Tone.BAD),))
        else:
            lines.append(
                (Part(self._dry or "  ↑↓ field   Space changes it   0-9 type   Tab to the buttons", Tone.DIM),)
            )
        return lines

    def between(self) -> list[Widget]:
        prompt = Lines(id="prompt")
        told = "not compared: date, x-request-id …, and these (headers, /json/pointers)"
        prompt.draw([(Part(told, Tone.DIM),)])
        return [prompt, Input(id="name", compact=True, placeholder="etag, /trip/id")]

    def buttons(self) -> list[Button]:
        return [button("Cancel", CANCEL), button("Dry run", "dry"), button("Start", "ok")]

    def cli(self) -> str:
        return replays.command_line(self._wishes, self._chosen)

    def paint(self, moment: Moment) -> None:
        self._snapshot = moment.picture.snapshot
        super().paint(moment)

    def repaint(self) -> None:
        super().repaint()
        unsafe = replays.sends_unsafe(self._wishes, self._chosen)
        for tone, on in ((Tone.BAD, unsafe), (Tone.ACCENT, not unsafe)):
            self.set_class(on, f"-{tone}")
        refused = bool(replays.refusal(self._wishes, self._chosen))
        self.query_one("#ok", Button).disabled = refused
        self.query_one("#ok", Button).set_class(unsafe, "-danger")
        self.query_one("#dry", Button).disabled = refused

    def told(self, text: str) -> None:
        """What the dry run came to."""
        self._dry = f"  dry run: {clean(text)}"
        self.repaint()

    # --- keys ---------------------------------------------------------------------------------------------------------

    def action_go(self, by: int) -> None:
        self._at = (self._at + by) % len(self._fields)
        self._fresh = True
        self.repaint()

    def action_turn(self, by: int) -> None:
        self._change(replays.turned(self._wishes, self._fields[self._at], by))
        self._fresh = True

    def on_key(self, event: events.Key) -> None:
        """Digits replace the number of the field at first and then add to it, as in a calculator."""
        if isinstance(self.focused, Input):
            return
        field = self._fields[self._at]
        held = replays.number_of(self._wishes, field)
        if event.character and event.character in "0123456789.":
            event.stop()
            self._change(replays.typed(self._wishes, field, event.character if self._fresh else held + event.character))
            self._fresh = False
        elif event.key == "backspace":
            event.stop()
            self._change(replays.typed(self._wishes, field, held[:-1]))
            self._fresh = False

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._change(msgspec.structs.replace(self._wishes, ignore=event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.query_one(f"#{CANCEL}", Button).focus()

    def _change(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self._dry = ""
        self.repaint()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "dry":
            self._dry = "  dry run …"
            self.repaint()
            self.post_message(DryRunRequested(self.argv))
        elif event.button.id == "ok":
            self.dismiss(self._wishes)
        else:
            self.dismiss(None)
