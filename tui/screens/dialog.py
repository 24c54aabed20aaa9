"""Dialog: what all questions share. It says what would happen, shows the same as a command line, and waits.

The safe answer has the focus, Escape takes it too, and the other one is never a key that repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button

from tui.messages import CopyRequested
from tui.present.clean import clean
from tui.present.tables import Line, Part, Tone
from tui.screens.view import Moment, has_widgets
from tui.widgets.lines import Lines

AnswerT = TypeVar("AnswerT")

CANCEL = "cancel"


class Dialog(ModalScreen[AnswerT], Generic[AnswerT], inherit_bindings=False):
    """A question over the screen that it is about. It ends with the answer, or with None for "do nothing"."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Do nothing", show=False),
        Binding("tab,right", "app.focus_next", "Next", show=False),
        Binding("shift+tab,left", "app.focus_previous", "Previous", show=False),
        Binding("y", "copy", "Copy the command line", show=False),
        Binding("ctrl+c", "cancel", "Do nothing", show=False),
    ]
    AUTO_FOCUS = f"#{CANCEL}"
    VERTICAL_BREAKPOINTS = [(0, "-low"), (22, "-normal")]  # noqa: RUF012  as Textual declares them
    SCREEN = "dialog"
    TONE: ClassVar[Tone] = Tone.ACCENT

    def __init__(self) -> None:
        super().__init__(classes=f"-{self.TONE}")
        self.moment: Moment | None = None

    # --- for each dialog to say ---------------------------------------------------------------------------------------

    def heading(self) -> str:
        """What is asked."""
        raise NotImplementedError

    def lines(self) -> Sequence[Line]:
        """What would happen."""
        raise NotImplementedError

    def buttons(self) -> list[Button]:
        """The answers, the safe one first."""
        raise NotImplementedError

    def cli(self) -> str:
        """The same on the command line."""
        raise NotImplementedError

    def between(self) -> list[Widget]:
        """Widgets between the text and the buttons."""
        return []

    # --- shared -------------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Lines(id="heading")
            yield Lines(id="facts")
            yield from self.between()
            yield Lines(id="same-as")
            with Horizontal(id="buttons"):
                yield from self.buttons()

    def on_mount(self) -> None:
        self.repaint()

    def paint(self, moment: Moment) -> None:
        """The picture goes on while the question stands."""
        self.moment = moment
        if has_widgets(self):
            self.repaint()

    def repaint(self) -> None:
        self.query_one("#heading", Lines).draw([(Part(clean(self.heading()), self.TONE),)])
        facts = [line for line in self.lines() if line]
        if self.moment is not None and self.moment.stale:
            facts.append((Part("▲ the picture is stale: what is said here may not be true any more", Tone.WARN),))
        self.query_one("#facts", Lines).draw(facts)
        same = self.cli()
        self.query_one("#same-as", Lines).draw(
            [(Part("same as  ", Tone.DIM), Part(clean(same), Tone.ACCENT), Part("   y copies it", Tone.DIM))]
            if same
            else []
        )

    def action_cancel(self) -> None:
        self.dismiss(None)

    def action_copy(self) -> None:
        self.post_message(CopyRequested())


def button(label: str, id: str, *, danger: bool = False) -> Button:  # noqa: A002  Textual's name
    """A button of one line; its label may come from outside."""
    return Button(Content(clean(label)), id=id, classes="-danger" if danger else "", compact=True)
