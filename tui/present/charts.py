"""Charts of block characters: a history as columns of eighths, in three tones from calm to much."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tui.present.tables import Line, Part, Tone
from tui.present.trends import levels
from tui.present.units import SPARK

CALM: tuple[Tone, Tone, Tone] = (Tone.BUSY, Tone.ACCENT, Tone.GOOD)
LOAD: tuple[Tone, Tone, Tone] = (Tone.BUSY, Tone.WARN, Tone.BAD)

LABEL_CELLS = 6


def chart(
    values: Sequence[float],
    width: int,
    height: int,
    label: Callable[[float], str],
    *,
    floor: float = 0.0,
    tones: tuple[Tone, Tone, Tone] = CALM,
) -> list[Line]:
    """The newest values at the right, over `height` lines with the scale at the left.

    `floor` is the least value of the top of the scale. Each line has one tone, by its height: three in all.
    """
    across = width - LABEL_CELLS
    if across < 4 or height < 1:
        return []
    top = max((*values[-across:], floor), default=0.0)
    columns = levels(values, across, floor=floor, steps=8 * height)
    lines: list[Line] = []
    for row in range(height):
        below = 8 * (height - 1 - row)
        text = "".join(_block(level - below, last=not below) for level in columns)
        tone = tones[min(2, (height - 1 - row) * 3 // height)]
        mark = label(top * (below + 8) / (8 * height)) if row in (0, height // 2) or height < 3 else ""
        lines.append((Part(f"{mark:>{LABEL_CELLS - 1}}", Tone.DIM), Part("┤", Tone.DIM), Part(text, tone)))
    return lines


def _block(eighths: int, *, last: bool) -> str:
    """One cell of a column; the lowest line shows a ground line where there is history but nothing in it."""
    if eighths > 0:
        return SPARK[min(eighths, 8) - 1]
    return "▁" if last and eighths == 0 else " "
