"""Lines: draws lines of parts in tones, and repaints only the lines that changed.

Textual neither compares frames nor cleans text, and its tables redraw every visible cell (measured: an order of
magnitude more work and bytes), so all live pictures go through this one class.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from tui.present.clean import cells, clean, cut
from tui.present.tables import Line, Part, Tone

STRIPS_KEPT = 2000


class Lines(Widget):
    """A widget that shows what `draw` was last given. Its colours are the component classes `tone--…` and `-cursor`."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*(f"tone--{tone}" for tone in Tone), "tone--cursor"}
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002  Textual's name
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []
        self._marked: frozenset[int] = frozenset()
        self._styles_by_tone: dict[tuple[Tone, bool], Style] = {}
        self._strips: dict[tuple[Line, bool, int], Strip] = {}

    def draw(self, lines: Sequence[Line], marked: Collection[int] = ()) -> None:
        """Show `lines`; those at the indices `marked` as under the cursor. Lines beyond the height are not seen."""
        old, was_marked = self._lines, self._marked
        self._lines, self._marked = list(lines), frozenset(marked)
        if len(old) != len(self._lines) and self.styles.is_auto_height:
            self.refresh(layout=True)
            return
        for y in range(min(max(len(old), len(self._lines)), self.size.height)):
            before = old[y] if y < len(old) else None
            after = self._lines[y] if y < len(self._lines) else None
            if before != after or (y in was_marked) != (y in self._marked):
                self.refresh(Region(0, y, self.size.width, 1))

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return max((cells(part_text(line)) for line in self._lines), default=0)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._lines)

    def notify_style_update(self) -> None:
        self._styles_by_tone.clear()
        self._strips.clear()
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        line, marked = self._lines[y], y in self._marked
        strip = self._strips.get((line, marked, width))
        if strip is None:
            if len(self._strips) > STRIPS_KEPT:
                self._strips.clear()
            strip = self._strips[line, marked, width] = self._strip(line, marked, width)
        return strip

    def _strip(self, line: Line, marked: bool, width: int) -> Strip:
        segments: list[Segment] = []
        room = width
        for part in line:
            # Cleaned by present/ already; once more, because here is the last place before the terminal.
            text = cut(clean(part.text), room)
            room -= cells(text)
            segments.append(Segment(text, self._style(part.tone, marked)))
            if room <= 0:
                break
        return Strip(segments).adjust_cell_length(width, self._style(Tone.PLAIN, marked))

    def _style(self, tone: Tone, marked: bool) -> Style:
        style = self._styles_by_tone.get((tone, marked))
        if style is None:
            style = self.rich_style + self.get_component_rich_style(f"tone--{tone}", partial=True)
            if marked:
                style += self.get_component_rich_style("tone--cursor", partial=True)
            self._styles_by_tone[tone, marked] = style
        return style


def part_text(line: Line) -> str:
    return "".join(part.text for part in line)


def note(text: str, tone: Tone = Tone.DIM) -> Line:
    """A line of one part, from text that may come from anywhere."""
    return (Part(clean(text), tone),)
