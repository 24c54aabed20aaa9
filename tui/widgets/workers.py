"""WorkerStrip: one cell a worker, and what the shapes mean."""

from __future__ import annotations

from collections.abc import Sequence

from primectl.wire.stats import ProcessSnapshot
from tui.present.panels import worker_lines
from tui.widgets.lines import Lines


class WorkerStrip(Lines):
    """As many lines as the workers need, at most `most`."""

    def show(self, workers: Sequence[ProcessSnapshot], most: int = 2) -> None:
        self.draw(worker_lines(workers, self.size.width, most))
