"""TextView: lines to read, longer than the screen."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events

from tui.present.tables import Line
from tui.widgets.lines import Lines


class TextView(Lines, can_focus=True, inherit_bindings=False):
    """`show` it lines; the view stays where it is while they are the same in number."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  Textual's name
        super().__init__(id=id)
        self._all: list[Line] = []
        self._top = 0

    @property
    def summary(self) -> str:
        """How far down it is."""
        last = min(self._top + self.size.height, len(self._all))
        return f"{self._top + 1}-{last} of {len(self._all)}" if len(self._all) > self.size.height else ""

    def show(self, lines: Sequence[Line]) -> None:
        self._all = list(lines)
        self._paint()

    def begin(self) -> None:
        """Back to the first line: it is another text."""
        self._top = 0

    def move(self, unit: str, by: int) -> None:
        """Move the view by `by` lines, pages or half pages, or to the end that `by` points to."""
        page = max(self.size.height - 1, 1)
        self._top += {"line": by, "page": by * page, "half": by * max(page // 2, 1), "end": by * len(self._all)}[unit]
        self._paint()

    def on_resize(self) -> None:
        self._paint()

    def _paint(self) -> None:
        self._top = max(min(self._top, len(self._all) - self.size.height), 0)
        self.draw(self._all[self._top : self._top + max(self.size.height, 1)])

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.move("line", 3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.move("line", -3)
