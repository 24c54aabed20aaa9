"""View: what all screens share. A line of status above, a line of where and how many and a line of keys below."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from textual.app import ComposeResult
from textual.screen import Screen

from tui import commands
from tui.commands import Aim, Names
from tui.messages import (
    BackRequested,
    BarRequested,
    FilterRequested,
    Moved,
    PaneRequested,
    SortMoved,
    Submitted,
    Typed,
)
from tui.present.clean import clean
from tui.present.panels import one_line, spread, status_line
from tui.present.picture import Picture
from tui.present.tables import Line, Part, Tone
from tui.widgets.hints import Hints
from tui.widgets.lines import Lines
from tui.widgets.live_table import LiveTable


class Moment(NamedTuple):
    """The picture at the moment of painting. `age_s` is None before any data; `waited_s` counts since the start."""

    picture: Picture
    cluster: str
    now: float
    wall: float
    waited_s: float

    @property
    def age_s(self) -> float | None:
        return self.picture.age_s(self.now)

    @property
    def stale(self) -> bool:
        return self.picture.stale(self.now)


@runtime_checkable
class Live(Protocol):
    """A screen or dialog that goes on while it is open, and that has a command line of its own."""

    def paint(self, moment: Moment) -> None:
        """Show this moment."""
        ...

    def cli(self) -> str:
        """The command line that shows or does the same; "" for none."""
        ...


def has_widgets(screen: Screen[Any]) -> bool:
    """False before a screen is composed and while it is taken down, when timers may still reach it."""
    return screen.is_mounted and not screen._pruning and screen.app.is_running


class View(Screen[None], inherit_bindings=False):
    """A screen of the console. `paint` is called by the app's one timer, and once after it was opened."""

    SCREEN: ClassVar[str]
    HORIZONTAL_BREAKPOINTS = [(0, "-slim"), (60, "-usual"), (120, "-wide")]  # noqa: RUF012  as Textual declares them
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (4, "-low"), (16, "-normal"), (36, "-high")]  # noqa: RUF012
    AUTO_FOCUS = "LiveTable, LogView, TextView"

    def __init__(self) -> None:
        super().__init__()
        self.target = ""
        self.moment: Moment | None = None
        self.names = Names()
        self.history: dict[str, list[str]] = {":": [], "/": []}

    # --- for each screen to say ---------------------------------------------------------------------------------------

    def body(self) -> ComposeResult:
        """What stands between the status line and the bottom."""
        raise NotImplementedError

    def show(self, picture: Picture) -> None:
        """Hand the picture to the widgets."""
        raise NotImplementedError

    def aim(self) -> Aim:
        """What is under the cursor."""
        return Aim(self.SCREEN)

    def cli(self) -> str:
        """The command line that shows the same."""
        return commands.cli_line(commands.BY_ID[self.SCREEN], self.aim())

    def about(self) -> str:
        """What this screen is about, for the line at the bottom; "" for everything."""
        return self.target

    def summary(self) -> str:
        """How much is shown, in what order: right of the crumbs."""
        table = self.table()
        return table.summary if table else ""

    # --- shared -------------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield Lines(id="status")
        yield from self.body()
        yield Lines(id="crumbs")
        yield Hints(commands.hints(self.SCREEN))

    def table(self) -> LiveTable | None:
        """The table that has the keys."""
        if isinstance(self.focused, LiveTable):
            return self.focused
        return next(iter(self.query(LiveTable)), None)

    def paint(self, moment: Moment) -> None:
        """Show this moment."""
        self.moment = moment
        if not has_widgets(self):
            return
        picture, width = moment.picture, self.size.width
        self.set_class(moment.stale and picture.known, "-stale")
        status = self.query_one("#status", Lines)
        if self.size.height < 4:
            status.draw([one_line(picture.snapshot, picture.trends.all_growth())])
            return
        status.draw([status_line(picture, moment.cluster, moment.age_s, moment.waited_s, moment.wall, width)])
        self.show(picture)
        self.query_one("#crumbs", Lines).draw([self._crumbs(width)])

    def repaint(self) -> None:
        """The same moment again, after something of this screen's own has changed."""
        if self.moment is not None:
            self.paint(self.moment)

    def _crumbs(self, width: int) -> Line:
        crumbs = [Part(f" ‹{self.SCREEN}›", Tone.ACCENT)]
        if about := self.about():
            crumbs.append(Part(f" ‹{clean(about)}›", Tone.STRONG))
        return spread(tuple(crumbs), (Part(f"{clean(self.summary())} ", Tone.DIM),), width)

    def on_resize(self) -> None:
        self.call_after_refresh(self.repaint)

    def on_screen_resume(self) -> None:
        self.call_after_refresh(self.repaint)

    # --- moving, sorting, filtering -----------------------------------------------------------------------------------

    def on_moved(self, message: Moved) -> None:
        message.stop()
        if table := self.table():
            table.move(message.unit, message.by)
            self.repaint()

    def on_pane_requested(self, message: PaneRequested) -> None:
        message.stop()
        if message.by > 0:
            self.focus_next(self.AUTO_FOCUS or "*")
        else:
            self.focus_previous(self.AUTO_FOCUS or "*")

    def on_sort_moved(self, message: SortMoved) -> None:
        message.stop()
        if table := self.table():
            table.sort_by(message.by)
            self.repaint()

    def on_filter_requested(self, message: FilterRequested) -> None:
        message.stop()
        if table := self.table():
            table.narrow(message.text)
            self.repaint()

    def on_back_requested(self, message: BackRequested) -> None:
        """Escape takes away the filter first; only then it goes back."""
        if not message.leave and self.narrowed():
            message.stop()
            self.post_message(FilterRequested(""))

    def narrowed(self) -> bool:
        """Whether a filter or search is on."""
        return any(table.filter for table in self.query(LiveTable))

    # --- the bottom line ----------------------------------------------------------------------------------------------

    async def on_bar_requested(self, message: BarRequested) -> None:
        message.stop()
        from tui.widgets.bar import Bar  # after the first frame

        if self.query(Bar):
            return
        complete = self._complete if message.prompt == ":" else _nothing
        self.add_class("-typing")
        await self.mount(Bar(message.prompt, message.text, self.history[message.prompt], complete))

    def _complete(self, text: str) -> list[str]:
        return commands.complete(text, self.names)

    def on_typed(self, message: Typed) -> None:
        """A filter works while it is typed."""
        message.stop()
        if message.prompt == "/":
            self.looking_for(message.text)

    async def on_submitted(self, message: Submitted) -> None:
        message.stop()
        from tui.widgets.bar import Bar

        await self.query(Bar).remove()
        self.remove_class("-typing")
        self.set_focus(next(iter(self.query(self.AUTO_FOCUS or "*")), None))
        history = self.history[message.prompt]
        if message.accepted and message.text.strip():
            if message.text in history:
                history.remove(message.text)
            history.append(message.text)
            if message.prompt == ":":
                self.post_message(commands.order_of(message.text, self.aim()))
        if message.prompt == "/":
            self.looked_for(message.text, message.accepted)
        self.call_after_refresh(self.repaint)

    def looking_for(self, text: str) -> None:
        """The bottom line holds this filter, and may change yet."""
        self.post_message(FilterRequested(text))

    def looked_for(self, text: str, accepted: bool) -> None:
        """The bottom line was finished with this filter, or left."""
        if not accepted:
            self.post_message(FilterRequested(""))


def _nothing(_: str) -> list[str]:
    return []
