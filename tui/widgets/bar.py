"""Bar: the line at the bottom for a command (`:`) or a text to find (`/`), with what it could become above it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from tui.messages import Submitted, Typed
from tui.present.clean import cells
from tui.present.tables import Part, Tone
from tui.widgets.lines import Lines


class Bar(Vertical):
    """Tab completes, Up and Down go through what was typed before, Enter takes, Escape leaves."""

    BINDINGS = [  # noqa: RUF012  as Textual declares them
        ("up", "recall(-1)", "Earlier"),
        ("down", "recall(1)", "Later"),
        ("tab", "complete", "Complete"),
        ("escape", "leave", "Leave"),
        ("ctrl+c", "leave", "Leave"),
    ]

    def __init__(self, prompt: str, text: str, history: Sequence[str], complete: Callable[[str], list[str]]) -> None:
        super().__init__(id="bar")
        self._prompt = prompt
        self._text = text
        self._history = [*history, ""]
        self._place = len(history)
        self._complete = complete
        self._done = False

    def compose(self) -> ComposeResult:
        yield Lines(id="bar-offers")
        with Horizontal():
            yield Lines(id="bar-prompt")
            yield Input(self._text, compact=True, select_on_focus=False)

    def on_mount(self) -> None:
        self.query_one("#bar-prompt", Lines).draw([(Part(self._prompt, Tone.ACCENT),)])
        self.query_one(Input).focus()
        self._offer()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._offer()
        self.post_message(Typed(self._prompt, event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._finish(accepted=True)

    def on_key(self, event: events.Key) -> None:
        if event.key == "backspace" and not self.query_one(Input).value:
            self._finish(accepted=False)

    def action_leave(self) -> None:
        self._finish(accepted=False)

    def action_recall(self, by: int) -> None:
        self._place = min(max(self._place + by, 0), len(self._history) - 1)
        self._put(self._history[self._place])

    def action_complete(self) -> None:
        """As a shell: as far as all offers agree, a whole word when there is one."""
        offers = self._complete(self.query_one(Input).value)
        if len(offers) == 1:
            self._put(offers[0] + " ")
        elif offers:
            self._put(_common(offers))

    def _finish(self, *, accepted: bool) -> None:
        if not self._done:
            self._done = True
            self.post_message(Submitted(self._prompt, self.query_one(Input).value, accepted))

    def _put(self, text: str) -> None:
        line = self.query_one(Input)
        line.value = text
        line.cursor_position = len(text)

    def _offer(self) -> None:
        parts: list[Part] = []
        room = self.size.width or self.app.size.width
        for offer in self._complete(self.query_one(Input).value):
            word = f" {offer.rpartition(' ')[2]} "
            room -= cells(word)
            if room < 2:
                parts.append(Part(" …", Tone.DIM))
                break
            parts.append(Part(word, Tone.DIM if parts else Tone.ACCENT))
        self.query_one("#bar-offers", Lines).draw([tuple(parts)])


def _common(lines: Sequence[str]) -> str:
    """The longest beginning that all lines share."""
    first, last = min(lines), max(lines)
    for index, char in enumerate(first):
        if last[index] != char:
            return first[:index]
    return first
