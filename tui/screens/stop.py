"""The stop dialog: asks, then shows how the cluster stops, then the report. Hiding it does not end the stop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct
from textual.binding import Binding, BindingType
from textual.widgets import Button

from primectl.wire.control import Progress, Stopped
from primectl.wire.stats import ClusterSnapshot
from tui.messages import LeaveRequested, StopRequested
from tui.present import plans, units
from tui.present.clean import clean
from tui.present.tables import Line, Part, Tone
from tui.screens.dialog import CANCEL, Dialog, button
from tui.screens.view import Moment

PATIENCE_S = (30.0, 5.0, 0.0)
"""How long a stop may take: at first, and after each further X. 0 kills what is left at once."""


class Stopping(Struct):
    """A stop that was asked for; the app keeps it, whether the dialog is open or not."""

    begun: float
    pressed: int = 0
    """How often the wait was shortened."""
    progress: Progress | None = None
    report: Stopped | None = None
    failure: str = ""

    @property
    def over(self) -> bool:
        return self.report is not None or bool(self.failure)

    @property
    def patience_s(self) -> float:
        return PATIENCE_S[min(self.pressed, len(PATIENCE_S) - 1)]


class StopDialog(Dialog[bool]):
    """Ends with True for "stop". Opened on a `Stopping` it shows that one instead of asking."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("X", "shorten", "Shorten the wait", show=False)]
    TONE = Tone.BAD

    def __init__(self, snapshot: ClusterSnapshot, cluster: str, stopping: Stopping | None = None) -> None:
        super().__init__()
        self._snapshot = snapshot
        self._cluster = cluster
        self._stopping = stopping

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(Button).focus()  # the first: Cancel, Hide, or at the end Leave

    def heading(self) -> str:
        if self._stopping is None:
            return f"Stop cluster {self._cluster}"
        if self._stopping.report is not None:
            return f"Cluster {self._cluster} is stopped"
        return (
            f"Cluster {self._cluster} could not be stopped" if self._stopping.failure else f"Stopping {self._cluster}"
        )

    def lines(self) -> Sequence[Line]:
        stopping = self._stopping
        if stopping is None:
            return plans.stop_lines(self._snapshot)
        if stopping.report is not None:
            return plans.stopped_lines(stopping.report)
        if stopping.failure:
            return [(Part(clean(stopping.failure), Tone.BAD),)]
        lines: list[Line] = []
        now = self.moment.now if self.moment else stopping.begun
        if stopping.progress is not None:
            step = stopping.progress
            full, empty = units.bar(step.done / step.total if step.total else 0.0, 30)
            lines.append((Part(full, Tone.ACCENT), Part(empty, Tone.DIM), Part(f"  {step.done} of {step.total}")))
            lines.append((Part(clean(step.text)),))
        waited = f"{units.duration(max(now - stopping.begun, 0.0))} so far"
        shorter = {0: "X = wait at most 5 s more", 1: "X = kill what is left now"}.get(stopping.pressed, "")
        return [
            *lines,
            *plans.stopping_lines(self._snapshot),
            (Part(waited, Tone.DIM), Part(f"   {shorter}", Tone.WARN)),
        ]

    def buttons(self) -> list[Button]:
        if self._stopping is None:
            return [button("Cancel", CANCEL), button("Stop the cluster", "stop", danger=True)]
        if self._stopping.report is not None:
            return [button("Leave", "leave"), button("Stay", CANCEL)]
        return [button("Hide", CANCEL)]

    def cli(self) -> str:
        return "primectl down" if self._stopping is None else ""

    def paint(self, moment: Moment) -> None:
        self._snapshot = moment.picture.snapshot
        super().paint(moment)

    def action_shorten(self) -> None:
        if self._stopping is not None and not self._stopping.over:
            self.post_message(StopRequested())

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "leave":
            self.app.post_message(LeaveRequested())
        self.dismiss(True if event.button.id == "stop" else None)
