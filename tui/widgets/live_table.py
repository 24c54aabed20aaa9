"""LiveTable: rows that change under the operator's eyes, with a cursor that belongs to a row's id.

A row may move or vanish between two ticks. The cursor stays with its row; when the row is gone nothing is under the
cursor until the operator moves, so that a key pressed a moment too late acts on nothing instead of on a neighbour.
For the same reason rows keep their places for a while after each move.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from textual import events
from textual.message import Message

from tui.present.clean import cells, cut, fit
from tui.present.tables import Cell, Column, Line, Part, Row, Slot, Tone, lay_out, plain
from tui.widgets.lines import Lines

SORT_HELD_S = 3.0
MARGIN = 2
"""Cells left of the first column: the cursor, which must show without colour too."""


class LiveTable(Lines, can_focus=True, inherit_bindings=False):
    """A table with a pinned header. `show` it rows each tick; `cursor` is the id under the cursor, "" for none."""

    class CursorMoved(Message):
        """The operator moved the cursor to another row."""

        def __init__(self, table: LiveTable) -> None:
            super().__init__()
            self.table = table

    class Chosen(Message):
        """The row under the cursor was clicked once more."""

    def __init__(
        self,
        columns: Sequence[Column],
        now: Callable[[], float],
        *,
        empty: str = "nothing to show",
        id: str | None = None,  # noqa: A002  Textual's name
    ) -> None:
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._now = now
        self._empty = empty
        self._rows: list[Row] = []
        self._by_id: dict[str, Row] = {}
        self._order: list[str] = []
        self._cursor = ""
        self._place = 0
        self._top = 0
        self._sort: int | None = None
        self._backwards = False
        self._filter = ""
        self._moved_at = float("-inf")
        self._marks: frozenset[str] = frozenset()

    # --- what others read ---------------------------------------------------------------------------------------------

    @property
    def cursor(self) -> str:
        """The id under the cursor; "" when there is none, also after its row has gone."""
        return self._cursor if self._cursor in self._by_id else ""

    @property
    def gone(self) -> str:
        """The id that was under the cursor and has no row any more."""
        return "" if self._cursor in self._by_id else self._cursor

    @property
    def filter(self) -> str:
        return self._filter

    @property
    def sort_held(self) -> bool:
        """True while rows keep their places because the cursor was just moved."""
        return self._now() - self._moved_at < SORT_HELD_S

    @property
    def summary(self) -> str:
        """How many rows are shown, in which order."""
        shown, there = len(self._order), len(self._rows)
        parts = [f"{shown} of {there}" if self._filter else str(there)]
        if self._filter:
            parts.append(f"filter {self._filter!r}")
        if self._sort is not None:
            parts.append(f"sort {self._columns[self._sort].title}{'▲' if self._ascending else '▼'}")
            if self.sort_held:
                parts.append("sort held")
        return "   ".join(parts)

    # --- what others do -----------------------------------------------------------------------------------------------

    def show(self, rows: Sequence[Row]) -> None:
        """The rows as they are now, in their natural order."""
        self._rows = list(rows)
        self._by_id = {row.id: row for row in rows}
        self._arrange()
        self._paint()

    def mark(self, rows: Collection[str]) -> None:
        """These rows, by id, are marked by the operator."""
        if self._marks != rows:
            self._marks = frozenset(rows)
            self._paint()

    def rest_on_first(self) -> None:
        """Put the cursor on the first row without holding the rows in their places: it is where new ones come."""
        self._moved_at = float("-inf")
        self._arrange()
        if self._order and self._order[0] != self._cursor:
            self._cursor = self._order[0]
            self.post_message(self.CursorMoved(self))
        self._paint()

    @property
    def on_first(self) -> bool:
        """Whether the cursor is on the first row, or there is none."""
        return not self._order or self._cursor == self._order[0]

    @property
    def sorted(self) -> bool:
        """Whether the operator has chosen another order than the rows' own."""
        return self._sort is not None or self._backwards

    def release(self) -> None:
        """Forget the cursor: the next rows are about something else, and it begins at the first of them."""
        self._cursor = ""
        self._top = 0
        self._moved_at = float("-inf")

    def move(self, unit: str, by: int) -> None:
        """Move the cursor by `by` lines, pages or half pages, or to the end that `by` points to."""
        if not self._order:
            return
        page = max(self.size.height - 2, 1)
        step = {"line": by, "page": by * page, "half": by * max(page // 2, 1), "end": by * len(self._order)}[unit]
        start = self._place if self.gone and step > 0 else self._place_of_cursor()
        self.point_at(self._order[min(max(start + step - bool(self.gone and step > 0), 0), len(self._order) - 1)])

    def point_at(self, row_id: str) -> None:
        """Put the cursor on a row."""
        self._moved_at = self._now()
        if row_id != self._cursor:
            self._cursor = row_id
            self.post_message(self.CursorMoved(self))
        self._paint()

    def sort_by(self, by: int) -> None:
        """Sort by the next shown column to the right (1) or left (-1); 0 turns the order round."""
        shown = [slot.column for slot in self._slots()]
        if by == 0:
            self._backwards = not self._backwards
        elif self._sort not in shown:
            self._sort, self._backwards = shown[0 if by > 0 else -1], False
        else:
            place = shown.index(self._sort) + by
            self._sort, self._backwards = (shown[place] if 0 <= place < len(shown) else None), False
        self._moved_at = float("-inf")
        self._arrange()
        self._paint()

    def narrow(self, text: str) -> None:
        """Show only rows that hold `text` somewhere; small letters match both."""
        self._filter = text
        self._moved_at = float("-inf")
        self._arrange()
        self._paint()

    # --- order --------------------------------------------------------------------------------------------------------

    @property
    def _ascending(self) -> bool:
        return self._sort is not None and self._columns[self._sort].few_first != self._backwards

    def _arrange(self) -> None:
        ids = [row.id for row in self._rows if self._wanted(row)]
        if self.sort_held and self._order:
            wanted, placed = set(ids), set(self._order)
            ids = [*(row_id for row_id in self._order if row_id in wanted), *(i for i in ids if i not in placed)]
        elif self._sort is not None:
            column = self._sort
            ids.sort(key=lambda row_id: self._by_id[row_id].cells[column].order, reverse=not self._ascending)
        elif self._backwards:
            ids.reverse()
        self._order = ids
        if not self._cursor and ids:
            self._cursor = ids[0]
            self.post_message(self.CursorMoved(self))
        self._place = self._place_of_cursor()

    def _wanted(self, row: Row) -> bool:
        if not self._filter:
            return True
        text = " ".join(plain(cell.parts) for cell in row.cells)
        return self._filter in (text if self._filter != self._filter.lower() else text.lower())

    def _place_of_cursor(self) -> int:
        """The index of the cursor's row; where it last was if the row is gone or filtered out."""
        try:
            return self._order.index(self._cursor)
        except ValueError:
            return min(self._place, max(len(self._order) - 1, 0))

    # --- drawing ------------------------------------------------------------------------------------------------------

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return len(self._order or [""]) + 1

    def on_resize(self) -> None:
        self._paint()

    def _slots(self) -> list[Slot]:
        return lay_out(self._columns, max(self.size.width - MARGIN - 1, 1))

    def _paint(self) -> None:
        height = max(self.size.height - 1, 1)
        place = self._place_of_cursor()
        if self.styles.is_auto_height and len(self._order or [""]) != len(self._lines) - 1:
            self.refresh(layout=True)
        self._top = min(max(self._top, place - height + 1), place)
        self._top = max(min(self._top, len(self._order) - height), 0)
        slots = self._slots()
        lines: list[Line] = [self._header(slots)]
        marked = []
        shown = self._order[self._top : self._top + height]
        for row_id in shown:
            if row_id == self._cursor:
                marked.append(len(lines))
            lines.append(self._line(self._by_id[row_id], slots, row_id == self._cursor))
        if not shown:
            lines.append((Part("  " + (f"nothing holds {self._filter!r}" if self._filter else self._empty), Tone.DIM),))
        if len(self._order) > height:
            self._add_scrollbar(lines, height)
        self.draw(lines, marked)

    def _header(self, slots: Sequence[Slot]) -> Line:
        parts = [Part(" " * MARGIN, Tone.TITLE)]
        for slot in slots:
            column = self._columns[slot.column]
            arrow = ("▲" if self._ascending else "▼") if slot.column == self._sort else ""
            title = cut(column.title, slot.width - len(arrow)) + arrow
            parts.append(Part(fit(title, slot.width, right=column.right) + " ", Tone.ACCENT if arrow else Tone.TITLE))
        return tuple(parts)

    def _line(self, row: Row, slots: Sequence[Slot], at_cursor: bool) -> Line:
        mark = "*" if row.id in self._marks else " "
        parts = [Part("▶" if at_cursor else " ", Tone.ACCENT), Part(mark, Tone.WARN)]
        for place, slot in enumerate(slots):
            if place:
                parts.append(Part(" "))
            parts += _fitted(row.cells[slot.column], slot.width, right=self._columns[slot.column].right)
        return tuple(parts)

    def _add_scrollbar(self, lines: list[Line], height: int) -> None:
        """A thumb in the last column, as far down as the view is."""
        total = len(self._order)
        size = max(height * height // total, 1)
        start = round(self._top * (height - size) / max(total - height, 1))
        width = self.size.width
        for y in range(1, len(lines)):
            glyph = Part("┃", Tone.ACCENT) if start <= y - 1 < start + size else Part("│", Tone.DIM)
            room = width - 1 - cells(plain(lines[y]))
            lines[y] = (*lines[y], Part(" " * max(room, 0)), glyph)

    # --- mouse --------------------------------------------------------------------------------------------------------

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.move("line", 3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.move("line", -3)

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            self._sort_at(event.x)
            return
        place = self._top + event.y - 1
        if place < len(self._order):
            again = self._order[place] == self._cursor
            self.point_at(self._order[place])
            if again:
                self.post_message(self.Chosen())

    def _sort_at(self, x: int) -> None:
        """A click on a title sorts by it, another one turns the order round."""
        start = MARGIN
        for slot in self._slots():
            if start <= x < start + slot.width:
                if self._sort == slot.column:
                    self.sort_by(0)
                else:
                    self._sort, self._backwards = slot.column, False
                    self._moved_at = float("-inf")
                    self._arrange()
                    self._paint()
                return
            start += slot.width + 1


def _fitted(cell: Cell, width: int, *, right: bool) -> list[Part]:
    """The parts of a cell in exactly `width` cells."""
    text = plain(cell.parts)
    if cells(text) > width:
        if cell.newest_last:
            return [Part(plain(cell.parts)[-width:], cell.parts[-1].tone)]
        parts, room = [], width
        for part in cell.parts:
            last = cells(part.text) >= room
            shown = fit(part.text if cells(part.text) < room else part.text + "…", room) if last else part.text
            parts.append(Part(shown, part.tone))
            room -= cells(shown)
            if room <= 0:
                break
        return parts
    filler = Part(" " * (width - cells(text)))
    return [filler, *cell.parts] if right else [*cell.parts, filler]
