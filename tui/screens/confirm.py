"""The questions before KILL, restart, reload, drain and resume: what they reach, what is lost, and the name to type
when something is."""

from __future__ import annotations

from collections.abc import Sequence

from textual.widget import Widget
from textual.widgets import Button, Input

from primectl.wire.stats import ClusterSnapshot
from tui.present import plans
from tui.present.clean import clean
from tui.present.plans import Aside, Hit
from tui.present.tables import Line, Part, Tone
from tui.screens.dialog import CANCEL, Dialog, button
from tui.screens.view import Moment
from tui.widgets.lines import Lines


class KillDialog(Dialog[bool]):
    """Ends with True for KILL. While something would be lost the target's name has to be typed."""

    TONE = Tone.BAD

    def __init__(self, snapshot: ClusterSnapshot, target: str) -> None:
        super().__init__()
        self._plan = plans.hit(snapshot, target)
        self._asks_name = self._plan.jobs > 0
        self._typed = ""

    def on_mount(self) -> None:
        super().on_mount()
        if self._asks_name:
            self.query_one(Input).focus()

    @property
    def target(self) -> str:
        return self._plan.target

    def heading(self) -> str:
        return f"KILL broadcast to {_what(self._plan)}"

    def lines(self) -> Sequence[Line]:
        if not self._plan.exists:
            return [(Part(f"{clean(self.target)} is gone: nothing is left to reach", Tone.WARN),)]
        return plans.kill_lines(self._plan)

    def between(self) -> list[Widget]:
        if not self._asks_name:
            return []
        prompt = Lines(id="prompt")
        prompt.draw([(Part("type ", Tone.DIM), Part(clean(self.target), Tone.STRONG), Part(" to go on", Tone.DIM))])
        return [prompt, Input(id="name", compact=True)]

    def buttons(self) -> list[Button]:
        return [button("Cancel", CANCEL), button("KILL", "kill", danger=True)]

    def cli(self) -> str:
        return f"primectl kill {self.target} --yes"

    def paint(self, moment: Moment) -> None:
        self._plan = plans.hit(moment.picture.snapshot, self.target)
        super().paint(moment)

    def repaint(self) -> None:
        super().repaint()
        self.query_one("#kill", Button).disabled = not self._may

    @property
    def _may(self) -> bool:
        return self._plan.exists and (not self._asks_name or self._typed == self.target)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._typed = event.value.strip()
        self.repaint()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._may:
            self.dismiss(True)
        else:
            self.app.bell()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(True if event.button.id == "kill" and self._may else None)


class RestartDialog(Dialog[bool]):
    """Ends with True for restart."""

    TONE = Tone.WARN

    def __init__(self, snapshot: ClusterSnapshot, target: str) -> None:
        super().__init__()
        self._plan = plans.hit(snapshot, target)

    def heading(self) -> str:
        return f"Restart {_what(self._plan)}"

    def lines(self) -> Sequence[Line]:
        return plans.restart_lines(self._plan)

    def buttons(self) -> list[Button]:
        return [button("Cancel", CANCEL), button("Restart", "restart")]

    def cli(self) -> str:
        return f"primectl restart {self._plan.target}"

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(True if event.button.id == "restart" else None)


class ReloadDialog(Dialog[bool]):
    """Ends with True for reload."""

    def __init__(self, snapshot: ClusterSnapshot, pool: str) -> None:
        super().__init__()
        self._plan = plans.hit(snapshot, pool)

    def heading(self) -> str:
        return "Reload every pool" if self._plan.target == "all" else f"Reload pool {clean(self._plan.target)}"

    def lines(self) -> Sequence[Line]:
        return plans.reload_lines(self._plan)

    def buttons(self) -> list[Button]:
        return [button("Cancel", CANCEL), button("Reload", "reload")]

    def cli(self) -> str:
        return f"primectl reload {self._plan.target}"

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(True if event.button.id == "reload" else None)


class DrainDialog(Dialog[bool]):
    """Ends with True for drain."""

    TONE = Tone.WARN

    def __init__(self, plan: Aside) -> None:
        super().__init__()
        self._plan = plan

    def heading(self) -> str:
        return f"Drain {_whom(self._plan)}"

    def lines(self) -> Sequence[Line]:
        return plans.drain_lines(self._plan)

    def buttons(self) -> list[Button]:
        return [button("Cancel", CANCEL), button("Drain", "drain")]

    def cli(self) -> str:
        return f"primectl drain {self._plan.target}"

    def paint(self, moment: Moment) -> None:
        self._plan = plans.aside(moment.picture.snapshot, self._plan.target) or self._plan
        super().paint(moment)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(True if event.button.id == "drain" else None)


class ResumeDialog(Dialog[bool]):
    """Ends with True for resume."""

    def __init__(self, plan: Aside) -> None:
        super().__init__()
        self._plan = plan

    def heading(self) -> str:
        return f"Resume {_whom(self._plan)}"

    def lines(self) -> Sequence[Line]:
        return plans.resume_lines(self._plan)

    def buttons(self) -> list[Button]:
        return [button("Cancel", CANCEL), button("Resume", "resume")]

    def cli(self) -> str:
        return f"primectl resume {self._plan.target}"

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(True if event.button.id == "resume" else None)


def _whom(plan: Aside) -> str:
    """The pool or worker in words."""
    return plan.target if plan.worker is not None else f"pool {plan.target}"


def _what(plan: Hit) -> str:
    """The target in words."""
    if plan.target == "all":
        return "every worker of the cluster"
    return plan.target if plan.processes and plan.processes[0].id == plan.target else f"pool {plan.target}"
