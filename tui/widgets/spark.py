"""Spark: a history as a chart of blocks under a title."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tui.present.charts import CALM, chart
from tui.present.panels import rule
from tui.present.tables import Tone
from tui.widgets.lines import Lines


class Spark(Lines):
    """As high as the style sheet says; `show` is given all there is and draws the newest that fit."""

    def show(
        self,
        title: str,
        values: Sequence[float],
        label: Callable[[float], str],
        *,
        least: float = 0.0,
        tones: tuple[Tone, Tone, Tone] = CALM,
    ) -> None:
        width, height = self.size
        self.draw(
            [
                rule(width, title, Tone.TITLE),
                *chart(values, width - 1, height - 1, label, least=least, tones=tones),
            ]
        )
