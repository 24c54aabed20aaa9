"""Hints: the keys of a screen in its last line; a click on one does the same as the key."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events

from tui.messages import CommandChosen
from tui.present.clean import cells
from tui.present.tables import Part, Tone
from tui.widgets.lines import Lines

KEPT = ("help", "back")


class Hints(Lines):
    """(command, key, label) from left to right; what has no room is left out, help and the way out never."""

    def __init__(self, hints: Sequence[tuple[str, str, str]]) -> None:
        super().__init__(id="hints")
        self._hints = hints
        self._spans: list[tuple[int, int, str]] = []

    def on_resize(self) -> None:
        parts: list[Part] = [Part(" ")]
        self._spans = []
        room = self.size.width - 1
        reserved = sum(_room(key, label) for command, key, label in self._hints if command in KEPT)
        for command, key, label in self._hints:
            needed = _room(key, label)
            reserved -= needed if command in KEPT else 0
            if needed + reserved > room:
                continue
            start = self.size.width - room
            self._spans.append((start, start + needed, command))
            parts += (Part(key, Tone.ACCENT), Part(f" {label}  ", Tone.DIM))
            room -= needed
        self.draw([tuple(parts)])

    def on_click(self, event: events.Click) -> None:
        for start, end, command in self._spans:
            if start <= event.x < end:
                self.post_message(CommandChosen(command))


def _room(key: str, label: str) -> int:
    return cells(key) + cells(label) + 3
