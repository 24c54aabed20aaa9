"""Charts of block characters: a history as columns of eighths, in three tones from calm to much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor, log10

from tui.present.tables import Line, Part, Tone
from tui.present.trends import levels
from tui.present.units import SPARK

CALM: tuple[Tone, Tone, Tone] = (Tone.LOW, Tone.MIDDLE, Tone.HIGH)
LOAD: tuple[Tone, Tone, Tone] = (Tone.LOW, Tone.WARN, Tone.BAD)

LABEL_CELLS = 6


def chart(
    values: Sequence[float],
    width: int,
    height: int,
    label: Callable[[float], str],
    *,
    least: float = 0.0,
    tones: tuple[Tone, Tone, Tone] = CALM,
) -> list[Line]:
    """The newest values at the right, over `height` lines with the scale at the left.

    `least` is the least value of the top of the scale. Each line has one tone, by its height: three in all.
    """
    across = width - LABEL_CELLS
    if across < 4 or height < 1:
        return []
    top = round_up(max((*values[-across:], least), default=0.0))
    columns = levels(values, across, floor=top, steps=8 * height)
    lines: list[Line] = []
    for row in range(height):
        below = 8 * (height - 1 - row)
        text = "".join(_block(level - below, last=not below) for level in columns)
        tone = tones[min(2, (height - 1 - row) * 3 // height)]
        marked = row == 0 or (row == height // 2 and height % 2 == 0)
        mark = label(top * (below + 8) / (8 * height)) if marked else "0" if not below else ""
        axis = "┤" if mark else "│"
        lines.append((Part(f"{mark:>{LABEL_CELLS - 1}}{axis}", Tone.DIM), Part(text, tone)))
    return lines


def round_up(value: float) -> float:
    """The next of 1, 2, 4, 6, 8 times a power of ten: a scale that people read, and that rarely changes."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next((step * power for step in (1, 2, 4, 6, 8) if step * power >= value * (1 - 1e-9)), 10 * power)


def _block(eighths: int, *, last: bool) -> str:
    """One cell of a column; the lowest line shows a ground line where there is history but nothing in it."""
    if eighths > 0:
        return SPARK[min(eighths, 8) - 1]
    return "▁" if last and eighths == 0 else " "
