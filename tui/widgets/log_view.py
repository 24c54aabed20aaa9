"""LogView: the tail of logs, bounded; follows the newest line, searches, and hides what does not match."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from textual import events

from primectl.wire.stats import LogLine
from tui.present.clean import cells, clean
from tui.present.tables import Line, Part, Tone
from tui.present.tail import mark, matches, row
from tui.widgets.lines import Lines

KEPT = 5000


class LogView(Lines, can_focus=True, inherit_bindings=False):
    """Lines of logs. The view is pinned to lines, not to the end, unless it follows."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  Textual's name
        super().__init__(id=id)
        self._ring: deque[LogLine] = deque(maxlen=KEPT)
        self._dropped = 0
        self._skipped = 0
        self._top = 0
        self._shift = 0
        self._prefix = 6
        self._wanted = ""
        self._at_match = -1
        self.follow = True
        self.only_matches = False
        self.wrap = False
        self._changed = True

    @property
    def search(self) -> str:
        return self._wanted

    @property
    def summary(self) -> str:
        """How many lines there are, what was looked for, what is switched on."""
        parts = [f"{len(self._ring)} lines"]
        if self._wanted:
            found = sum(matches(line, self._wanted) for line in self._ring)
            parts.append(f"find {self._wanted!r} {found}")
        if self._skipped:
            parts.append(f"{self._skipped} skipped: too fast")
        parts.append(f"follow {'ON' if self.follow else 'off'}")
        if self.only_matches:
            parts.append("only matches")
        if self.wrap:
            parts.append("wrap")
        return "   ".join(parts)

    def replace(self, lines: Iterable[LogLine]) -> None:
        """Begin anew with these lines."""
        self._ring.clear()
        self._top = self._dropped = self._skipped = 0
        self._prefix = 6
        self.follow = True
        self.extend(lines)

    def extend(self, lines: Iterable[LogLine], skipped: int = 0) -> None:
        """New lines at the end; the oldest leave once `KEPT` are there. Drawn at the next `paint`."""
        self._skipped += skipped
        for line in lines:
            if len(self._ring) == KEPT:
                self._dropped += 1
            self._ring.append(line)
            self._prefix = min(max(self._prefix, cells(clean(line.process))), 20)
        self._changed = True

    def look_for(self, text: str) -> None:
        """Mark lines with `text`; "" marks none."""
        self._wanted = text
        self._at_match = -1
        if not text:
            self.only_matches = False
        self._changed = True
        self.paint()

    def move(self, unit: str, by: int) -> None:
        """Move the view; away from the end it stops following, at the end it follows again."""
        page = max(self.size.height - 1, 1)
        shown = self._shown()
        start = max(len(shown) - self.size.height, 0) if self.follow else self._index_of_top(shown)
        step = {"line": by, "page": by * page, "half": by * max(page // 2, 1), "end": by * len(shown)}[unit]
        self._go(start + step, shown)

    def next_match(self, by: int) -> bool:
        """To the next line that matches, in the direction of `by`; False when there is none."""
        shown = self._shown()
        places = [place for place, number in enumerate(shown) if matches(self._ring[number], self._wanted)]
        if not places:
            return False
        # The last match is remembered by its number in the whole log, so lines that leave do not move it.
        here = self._at_match - self._dropped
        after = [place for place in places if (shown[place] > here) == (by > 0) and shown[place] != here]
        if here < 0 or not after:
            after = places if by > 0 else places[-1:]
        place = after[0] if by > 0 else after[-1]
        self._at_match = shown[place] + self._dropped
        self._go(place - self.size.height // 2, shown)
        return True

    def shift(self, by: int) -> None:
        """Look further right or left along lines that are cut."""
        self._shift = max(self._shift + 20 * by, 0)
        self._changed = True
        self.paint()

    def toggle(self, what: str) -> None:
        """Switch `follow`, `only_matches` or `wrap`."""
        setattr(self, what, not getattr(self, what))
        if what == "follow" and not self.follow:
            shown = self._shown()
            self._pin(max(len(shown) - self.size.height, 0), shown)
        self._changed = True
        self.paint()

    def on_resize(self) -> None:
        self._changed = True
        self.paint()

    def paint(self) -> None:
        """Draw what has changed since the last time."""
        if not self._changed:
            return
        self._changed = False
        height = self.size.height
        shown = self._shown()
        if self.follow:
            lines = self._following(shown, height)
        else:
            top = self._index_of_top(shown)
            lines = [part for number in shown[top : top + height] for part in self._drawn(number)][:height]
        self.draw(lines or [(Part(" no lines yet" if not self._ring else " no line matches", Tone.DIM),)])

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.move("line", 3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.move("line", -3)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _shown(self) -> Sequence[int]:
        """Indices into the ring of the lines that are shown."""
        if self.only_matches and self._wanted:
            return [number for number, line in enumerate(self._ring) if matches(line, self._wanted)]
        return range(len(self._ring))

    def _index_of_top(self, shown: Sequence[int]) -> int:
        """Where the pinned top line now stands among the shown ones."""
        pinned = self._top - self._dropped
        return next((place for place, number in enumerate(shown) if number >= pinned), max(len(shown) - 1, 0))

    def _pin(self, place: int, shown: Sequence[int]) -> None:
        self._top = shown[place] + self._dropped if shown else 0

    def _go(self, place: int, shown: Sequence[int]) -> None:
        last = max(len(shown) - self.size.height, 0)
        self.follow = place >= last
        self._pin(min(max(place, 0), last), shown)
        self._changed = True
        self.paint()

    def _following(self, shown: Sequence[int], height: int) -> list[Line]:
        lines: list[Line] = []
        for number in reversed(shown):
            lines[:0] = self._drawn(number)
            if len(lines) >= height:
                break
        return lines[-height:] if height else []

    def _drawn(self, number: int) -> list[Line]:
        """A line of the ring as the lines it takes on screen."""
        who, bar, text = row(self._ring[number], self._prefix)
        here = number + self._dropped == self._at_match
        head: Line = (who, Part(" ▶ " if here else bar.text, Tone.ACCENT if here else bar.tone))
        width = max(self.size.width - cells(who.text) - 3, 10)
        if not self.wrap:
            return [mark((*head, Part(text.text[self._shift :], text.tone)), self._wanted)]
        pieces = _in_pieces(text.text, width)
        blank: Line = (Part(" " * cells(who.text)), Part(" │ ", Tone.DIM))
        return [
            mark((*(blank if index else head), Part(piece, text.tone)), self._wanted)
            for index, piece in enumerate(pieces)
        ]


def _in_pieces(text: str, width: int) -> list[str]:
    """`text` cut every `width` cells."""
    pieces, piece, room = [], "", width
    for char in text:
        if room < cells(char):
            pieces.append(piece)
            piece, room = "", width
        piece += char
        room -= cells(char)
    return [*pieces, piece]
