"""The console: holds the picture, hands it down to what it shows, and turns what comes up into commands.

A client like any other: it reads the feed and asks the control API, and closing it changes nothing in the cluster.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from msgspec import Struct
from textual.app import App
from textual.binding import BindingType
from textual.command import Hit, Hits, Provider
from textual.message import Message
from textual.screen import Screen

from primectl.clock import Clock, SystemClock
from primectl.errors import NotFound, PrimectlError
from primectl.wire.control import (
    Drained,
    DrainOrder,
    Events,
    EventsQuery,
    Kill,
    Killed,
    Logs,
    LogsQuery,
    Progress,
    Reloaded,
    ReloadOrder,
    Restart,
    Restarted,
    Resumed,
    ResumeOrder,
    Scale,
    Scaled,
    Stop,
    Stopped,
)
from primectl.wire.stats import EventPublished, FeedMessage, LogsPublished, Role, SnapshotPublished
from tui import commands, messages
from tui.commands import Names
from tui.feed import EVENTS, LOGS, SNAPSHOTS, Channel, ClusterChannel, Listening
from tui.present import plans
from tui.present.clean import clean
from tui.present.picture import Picture
from tui.screens.overview import Overview
from tui.screens.view import Live, Moment, View
from tui.theme import NIGHT

if TYPE_CHECKING:
    from primectl.config.topology import Place
    from primectl.wire.journal import Row
    from tui.present.entries import Entries
    from tui.present.replays import Chosen, Wishes
    from tui.present.runs import Run, RunBook
    from tui.runs import Command
    from tui.screens.stop import Stopping

PAINTS_A_SECOND = 4
EVENTS_ASKED = 200
LOG_LINES_ASKED = 500
LAST_LINES = 6
"""Of a traceback that comes with an error, in a toast."""
SLACK_S = 10.0
"""How much longer a question waits for its answer than the supervisor may take over it."""
LEAVE_AGAIN_S = 1.0
PRIMECTL = (sys.executable, "-m", "primectl")
"""The command line, for what it does on the console's behalf."""

T = TypeVar("T")


class Delivered(Message):
    """An answer has come to a question asked in a thread; `take` is called with it in the app."""

    def __init__(self, take: Callable[[], None]) -> None:
        super().__init__()
        self.take = take


class Console(App[str], inherit_bindings=False):
    """The app. It ends with what is to be said once the terminal is back."""

    CSS_PATH = "console.tcss"
    TITLE = "primectl"
    BINDINGS: ClassVar[list[BindingType]] = []
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = None
    COMMANDS = set()  # noqa: RUF012  as Textual declares it

    def __init__(
        self,
        channel: Channel,
        cluster: str,
        notice: str = "",
        clock: Clock | None = None,
        command: Sequence[str] = PRIMECTL,
    ) -> None:
        super().__init__()
        self._command = tuple(command)
        self._commands: dict[int, Command] = {}
        """The replays under way, by the number of the run."""
        self._wishes: Wishes | None = None
        """Of the last replay: the next one begins with them."""
        self._channel = channel
        self._cluster = cluster
        self._notice = notice
        self._clock = clock or SystemClock()
        self._began = self._clock.monotonic()
        self._feed: Listening | None = None
        self._supervisor = 0
        """The pid of the one whose events are known."""
        self._log_feed: Listening | None = None
        self._views: dict[str, View] = {}
        self._trail: list[tuple[str, str]] = []
        self._last: tuple[str, str] = (commands.OVERVIEW, "")
        self._stopping: Stopping | None = None
        self._ctrl_c_at = float("-inf")
        self.picture = Picture()
        self.register_theme(NIGHT)
        self.theme = NIGHT.name

    # --- life ---------------------------------------------------------------------------------------------------------

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """So that the style sheet's own colours exist under every theme."""
        return dict(NIGHT.variables)

    def get_default_screen(self) -> Screen[Any]:
        return self._view(commands.OVERVIEW)

    def on_mount(self) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            # Without these the terminal would be left in raw mode.
            asyncio.get_running_loop().add_signal_handler(number, self._leave)
        self.set_interval(1 / PAINTS_A_SECOND, self._tick)
        self.call_after_refresh(self._connect)
        if self._notice:
            self._say(self._notice, timeout=10)

    def on_unmount(self) -> None:
        for feed in (self._feed, self._log_feed):
            self._close(feed)
        self._feed = self._log_feed = None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            loop.remove_signal_handler(number)

    def _connect(self) -> None:
        """After the first frame: that one needs neither ZeroMQ nor a cluster."""
        self._feed = self._open((SNAPSHOTS, EVENTS))
        self._ask_events()
        self._tick()

    def _open(self, topics: tuple[str, ...]) -> Listening:
        feed = self._channel.listen(topics)
        asyncio.get_running_loop().add_reader(feed.fileno(), self._drain)
        self.call_later(self._drain)
        return feed

    def _close(self, feed: Listening | None) -> None:
        if feed is not None:
            asyncio.get_running_loop().remove_reader(feed.fileno())
            feed.close()

    # --- the picture --------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Fold in whatever has arrived; it is painted at the next tick, however much that was."""
        for feed in (self._feed, self._log_feed):
            for message in feed.receive() if feed is not None else ():
                self._fold(message)

    def _fold(self, message: FeedMessage) -> None:
        match message:
            case SnapshotPublished() | EventPublished():
                self.picture.fold(message, self._clock.monotonic(), self._clock.wall())
            case LogsPublished(lines, skipped):
                if commands.LOGS in self._views:
                    self._views[commands.LOGS].post_message(messages.LogsArrived(lines, skipped))

    def _tick(self) -> None:
        # The feed's fd is edge-triggered: an edge that was lost would else be silence.
        self._drain()
        self._catch_up()
        moment = self._moment()
        snapshot = self.picture.snapshot
        names = Names(tuple(pool.name for pool in snapshot.pools), tuple(p.id for p in snapshot.processes))
        for screen in self.screen_stack[-2:]:
            if isinstance(screen, View):
                screen.names = names
            if isinstance(screen, Live):
                screen.paint(moment)

    def _moment(self) -> Moment:
        now = self._clock.monotonic()
        return Moment(self.picture, self._cluster, now, self._clock.wall(), now - self._began)

    def _catch_up(self) -> None:
        """Another supervisor has told its first events before this console was connected to it."""
        supervisors = (process.pid for process in self.picture.snapshot.processes if process.role is Role.SUPERVISOR)
        pid = next(supervisors, self._supervisor)
        if pid != self._supervisor:
            if self._supervisor:
                self._ask_events()
            self._supervisor = pid

    def _ask_events(self) -> None:
        self._ask("GET", "/events", EventsQuery(EVENTS_ASKED), Events, self._take_events, self._ignore)

    def _take_events(self, answer: Events) -> None:
        self.picture.add_events(answer.events)

    # --- asking -------------------------------------------------------------------------------------------------------

    def _ask(
        self,
        method: str,
        path: str,
        body: Struct | None,
        reply: type[T],
        done: Callable[[T], None],
        failed: Callable[[PrimectlError], None] | None = None,
        *,
        timeout_s: float = 5.0,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        """Ask in a thread; `done` or `failed` is called in the app. A daemon thread: leaving does not wait for it."""
        failed = failed or self._complain

        def progress(step: Progress) -> None:
            if on_progress is not None:
                self.post_message(Delivered(partial(on_progress, step)))

        def ask() -> None:
            try:
                answer = self._channel.ask(method, path, body, reply, timeout_s=timeout_s, on_progress=progress)
            except PrimectlError as error:
                self.post_message(Delivered(partial(failed, error)))
            else:
                self.post_message(Delivered(partial(done, answer)))

        threading.Thread(target=ask, name=f"ask {path}", daemon=True).start()

    def on_delivered(self, message: Delivered) -> None:
        message.take()

    def _say(self, text: str, *, timeout: float = 6, bad: bool = False) -> None:
        self.notify(clean(text), severity="error" if bad else "information", timeout=timeout, markup=False)

    def _complain(self, error: PrimectlError) -> None:
        first, *rest = str(error).split("\n")
        self._say("\n".join((first, *rest[-LAST_LINES:])), bad=True, timeout=10)

    def _ignore(self, error: PrimectlError) -> None:
        """Events of before are a courtesy; that no supervisor answers is told by the age of the picture."""
        self.log.warning(clean(str(error)))

    # --- commands -----------------------------------------------------------------------------------------------------

    def action_press(self, command_id: str) -> None:
        """A key, a click or a choice from palette or help: do that command on the screen that is open."""
        screen = self.screen
        if isinstance(screen, View):
            screen.post_message(commands.BY_ID[command_id].order(screen.aim(), ()))

    def on_command_chosen(self, message: messages.CommandChosen) -> None:
        self.action_press(message.command)

    def on_refused(self, message: messages.Refused) -> None:
        self._say(message.why, bad=True)

    def on_help_requested(self) -> None:
        from tui.screens.help import HelpScreen

        if isinstance(self.screen, View):
            self.push_screen(HelpScreen(self.screen.aim(), self._clock.monotonic), self._do)

    def on_palette_requested(self) -> None:
        from textual.command import CommandPalette

        self.push_screen(CommandPalette(providers=[Registry], placeholder="Find a command"), self._run_choice)

    def _run_choice(self, choose: Any) -> None:
        """The palette ends with the callback of what was chosen."""
        if choose is not None:
            self.call_later(choose)

    def _do(self, command_id: str | None) -> None:
        if command_id is not None:
            self.call_later(self.action_press, command_id)

    def on_copy_requested(self) -> None:
        screen = self.screen
        if isinstance(screen, Live) and (line := screen.cli()):
            self.copy_to_clipboard(clean(line))
            self._say(f"copied: {line}", timeout=3)

    def on_redraw_requested(self) -> None:
        self.screen.refresh(layout=True)
        self._tick()

    # --- screens ------------------------------------------------------------------------------------------------------

    def _view(self, name: str) -> View:
        """The screen of that name, made when first shown: each import costs start-up time."""
        if name not in self._views:
            now = self._clock.monotonic
            if name == commands.OVERVIEW:
                view: View = Overview(now)
            elif name == commands.WORKERS:
                from tui.screens.workers import Workers

                view = Workers(now)
            elif name == commands.LOGS:
                from tui.screens.logs import LogsScreen

                view = LogsScreen()
            elif name == commands.REQUESTS:
                from tui.screens.requests import RequestsScreen

                view = RequestsScreen(now, self._entries)
            elif name == commands.REQUEST:
                from tui.screens.request import RequestScreen

                view = RequestScreen(now, self._entries)
            elif name in (commands.REPLAYS, commands.REPLAY, commands.DIFFERENCE):
                view = self._replay_view(name)
            else:
                from tui.screens.events import EventsScreen

                view = EventsScreen(now)
            self.install_screen(view, name)
            self._views[name] = view
        return self._views[name]

    def _replay_view(self, name: str) -> View:
        from tui.screens.replays import DifferenceScreen, ReplayScreen, ReplaysScreen

        if name == commands.REPLAYS:
            return ReplaysScreen(self._clock.monotonic, self.runs)
        if name == commands.REPLAY:
            return ReplayScreen(self._clock.monotonic, self.runs)
        return DifferenceScreen(self.runs)

    def on_screen_requested(self, message: messages.ScreenRequested) -> None:
        if message.screen in commands.OWN_TARGETS:
            self._go(message.screen, message.target)
            return
        known = self.picture.snapshot
        pools = {pool.name for pool in known.pools}
        ids = {process.id for process in known.processes}
        target = "" if message.target == "all" else message.target
        allowed = pools if message.screen == commands.WORKERS else pools | ids
        if target and self.picture.known and target not in allowed:
            self._refuse_unknown(target)
            return
        self._go(message.screen, target)

    def _go(self, screen: str, target: str) -> None:
        here = self._here()
        if here == (screen, target):
            return
        self._trail.append(here)
        self._show(screen, target)

    def on_last_screen_requested(self) -> None:
        self._trail.append(self._here())
        self._show(*self._last)

    def _here(self) -> tuple[str, str]:
        view = next(screen for screen in reversed(self.screen_stack) if isinstance(screen, View))
        return view.SCREEN, view.target

    def _show(self, name: str, target: str) -> None:
        self._last = self._here()
        if self._last[0] == commands.LOGS:
            self._close(self._log_feed)
            self._log_feed = None
        if name == commands.OVERVIEW:
            self._trail.clear()
        view = self._view(name)
        view.target = target
        # The overview lies at the bottom of the stack for good, at most one other screen on top of it.
        if name == commands.OVERVIEW:
            if self.screen is not view:
                self.pop_screen()
        elif self._last[0] == commands.OVERVIEW:
            self.push_screen(name)
        elif self.screen is not view:
            self.switch_screen(name)
        if name == commands.LOGS:
            self._open_logs(target)
        self.call_after_refresh(self._tick)

    def _open_logs(self, target: str) -> None:
        """Subscribe first and then ask for the tail, so that no line falls between."""
        from tui.screens.logs import LogsScreen

        view = self._view(commands.LOGS)
        assert isinstance(view, LogsScreen), "made by _view under that name"
        view.begin()
        self._log_feed = self._open((LOGS,))

        def arrived(answer: Logs) -> None:
            view.post_message(messages.LogsArrived(answer.lines, tail=True, target=target))

        def failed(error: PrimectlError) -> None:
            self._complain(error)
            view.post_message(messages.LogsArrived([], tail=True, target=target))

        self._ask("GET", "/logs", LogsQuery(target or "all", LOG_LINES_ASKED), Logs, arrived, failed)

    def on_back_requested(self, message: messages.BackRequested) -> None:
        if self._trail:
            self._show(*self._trail.pop())
        elif self._here()[0] != commands.OVERVIEW:
            self._show(commands.OVERVIEW, "")
        elif message.leave:
            self._leave()

    def on_leave_requested(self, message: messages.LeaveRequested) -> None:
        if message.at_once or self._clock.monotonic() - self._ctrl_c_at < LEAVE_AGAIN_S:
            self._leave()
        else:
            self._ctrl_c_at = self._clock.monotonic()
            self._say("ctrl+c again leaves; the cluster keeps running", timeout=2)

    def _leave(self) -> None:
        self.exit(self._farewell())

    def end_replays(self) -> list[str]:
        """End the replays that are under way, once the terminal is the operator's again; what to say of them."""
        if not self._commands:
            return []
        from tui.present.runs import left_text
        from tui.runs import end_all

        going = self.runs.going
        end_all(list(self._commands.values()))
        return [left_text(run) for run in going]

    def _farewell(self) -> str:
        """What is true of the cluster at the moment of leaving."""
        name = clean(self._cluster)
        if self._stopping is not None and self._stopping.report is not None:
            return "\n".join("".join(part.text for part in line) for line in plans.stopped_lines(self._stopping.report))
        if self._stopping is not None and not self._stopping.over:
            return f"Cluster {name} goes on stopping. See how far it is: primectl ps"
        return f"Cluster {name} keeps running. Come back: primectl tui   stop it: primectl down"

    # --- recorded requests --------------------------------------------------------------------------------------------

    @cached_property
    def _entries(self) -> Entries:
        from tui.present.entries import Entries

        return Entries()

    @cached_property
    def runs(self) -> RunBook:
        """The replays of this session."""
        from tui.present.runs import RunBook

        return RunBook()

    def on_requests_wanted(self, message: messages.RequestsWanted) -> None:
        from primectl.wire.journal import Requests

        def arrived(answer: Requests | PrimectlError) -> None:
            self._view(commands.REQUESTS).post_message(messages.RequestsArrived(message.query, answer))

        self._ask("GET", "/requests", message.query, Requests, arrived, arrived)

    def on_entry_wanted(self, message: messages.EntryWanted) -> None:
        from primectl.wire.journal import Entry, EntryQuery

        request = message.request

        def arrived(answer: Entry) -> None:
            self._entries.answered(request, answer)
            self._tick()

        def failed(error: PrimectlError) -> None:
            gone = f"{request} is not in the journal (any more)" if isinstance(error, NotFound) else str(error)
            self._entries.refused(request, gone)
            self._tick()

        self._ask("GET", "/requests/entry", EntryQuery(request), Entry, arrived, failed)

    # --- replays ------------------------------------------------------------------------------------------------------

    def on_replay_requested(self, message: messages.ReplayRequested) -> None:
        from tui.present.replays import Chosen, Wishes
        from tui.screens.replay import ReplayDialog

        chosen = Chosen(message.requests, self._rows_of(message.requests))
        dialog = ReplayDialog(chosen, self._wishes or Wishes(), self.picture.snapshot)
        self.push_screen(dialog, partial(self._replay, chosen))
        self._tick()

    def _rows_of(self, requests: tuple[str, ...]) -> tuple[Row, ...]:
        """What the list knows of these requests."""
        from tui.screens.requests import RequestsScreen

        view = self._views.get(commands.REQUESTS)
        found = [view.requests.of_id(each) for each in requests] if isinstance(view, RequestsScreen) else []
        known = {entry.row.id: entry.row for each in requests if (entry := self._entries.entry(each)) is not None}
        rows = {row.id: row for row in found if row is not None}
        return tuple((known | rows)[each] for each in requests if each in rows or each in known)

    def _replay(self, chosen: Chosen, wishes: Wishes | None) -> None:
        if wishes is None:
            return
        from tui.present.replays import argv, command_line
        from tui.runs import Command

        self._wishes = wishes
        run = self.runs.begin(len(chosen.ids), command_line(wishes, chosen), self._clock.wall())

        def heard(line: str) -> None:
            self.post_message(Delivered(partial(run.heard, line)))

        def ended(code: int, output: bytes, too_long: bool) -> None:
            self.post_message(Delivered(partial(self._replay_ended, run, code, output, too_long)))

        try:
            self._commands[run.number] = Command(self._replay_argv(argv(wishes, chosen)), heard, ended)
        except (OSError, ValueError) as error:
            # ValueError: an id with a NUL in it, which no command line can carry.
            run.lost(f"cannot start it: {error}")
            self._say(f"replay {run.number} cannot be started: {error}", bad=True)
        self._go(commands.REPLAY, str(run.number))

    def _replay_argv(self, argv: Sequence[str]) -> list[str]:
        verb, *rest = argv
        return [*self._command, verb, "-c", self._cluster, "--json", "--progress", "json", *rest]

    def _replay_ended(self, run: Run, code: int, output: bytes, too_long: bool) -> None:
        from tui.present.runs import State, ended_text

        self._commands.pop(run.number, None)
        run.ended(code, output, too_long)
        self._say(ended_text(run), bad=run.state is State.FAILED)
        self._tick()

    def on_run_stop_requested(self, message: messages.RunStopRequested) -> None:
        run = self.runs.run(message.run)
        if run is None or run.over:
            self._say("that replay is over already", bad=True)
            return
        run.stop_asked()
        self._commands[run.number].stop()
        self._tick()

    def on_dry_run_requested(self, message: messages.DryRunRequested) -> None:
        from tui.present.replays import dry_text
        from tui.runs import Command

        said: list[str] = []

        def told(text: str) -> None:
            from tui.screens.replay import ReplayDialog

            if isinstance(self.screen, ReplayDialog):
                self.screen.told(text)

        def ended(code: int, output: bytes, too_long: bool) -> None:
            self.post_message(Delivered(partial(told, dry_text(output, said[-1:]))))

        try:
            Command(self._replay_argv([*message.argv[:1], "--dry-run", *message.argv[1:]]), said.append, ended)
        except (OSError, ValueError) as error:
            told(f"cannot start it: {error}")

    # --- orders to the cluster ----------------------------------------------------------------------------------------

    def _refuse_unknown(self, target: str) -> None:
        pools = ", ".join(pool.name for pool in self.picture.snapshot.pools) or "none yet"
        self._say(f"there is no {target} in this cluster; its pools: {pools}", bad=True)

    def on_scale_requested(self, message: messages.ScaleRequested) -> None:
        pool = next((pool for pool in self.picture.snapshot.pools if pool.name == message.pool), None)
        if pool is None:
            self._refuse_unknown(message.pool)
            return
        from tui.screens.scale import ScaleDialog

        self.push_screen(ScaleDialog(pool, message.workers), partial(self._scale, pool.name))
        self._tick()

    def _scale(self, pool: str, workers: int | None) -> None:
        if workers is None:
            return
        order = Scale(pool, str(workers))
        self._say(f"scaling {pool} to {workers} …", timeout=3)
        self._ask(
            "POST", "/scale", order, Scaled, lambda done: self._say(plans.scaled_text(done)),
            timeout_s=order.timeout_s + SLACK_S,
        )  # fmt: skip

    def on_kill_requested(self, message: messages.KillRequested) -> None:
        if not plans.hit(self.picture.snapshot, message.target).exists:
            self._refuse_unknown(message.target)
            return
        from tui.screens.confirm import KillDialog

        self.push_screen(KillDialog(self.picture.snapshot, message.target), partial(self._kill, message.target))
        self._tick()

    def _kill(self, target: str, confirmed: bool | None) -> None:
        if not confirmed:
            return
        order = Kill(target)
        self._say(f"KILL sent to {target} …", timeout=3)
        self._ask(
            "POST", "/kill", order, Killed, lambda done: self._say(plans.killed_text(done), timeout=10),
            timeout_s=order.timeout_s + SLACK_S,
        )  # fmt: skip

    def on_restart_requested(self, message: messages.RestartRequested) -> None:
        if not plans.hit(self.picture.snapshot, message.target).exists:
            self._refuse_unknown(message.target)
            return
        from tui.screens.confirm import RestartDialog

        dialog = RestartDialog(self.picture.snapshot, message.target)
        self.push_screen(dialog, partial(self._restart, message.target))

    def _restart(self, target: str, confirmed: bool | None) -> None:
        if not confirmed:
            return
        order = Restart(target)
        self._say(f"restarting {target} …", timeout=3)
        self._ask(
            "POST", "/restart", order, Restarted, lambda done: self._say(plans.restarted_text(done)),
            timeout_s=order.timeout_s + SLACK_S,
        )  # fmt: skip

    def on_reload_requested(self, message: messages.ReloadRequested) -> None:
        snapshot = self.picture.snapshot
        if message.pool not in ("all", *(pool.name for pool in snapshot.pools)):
            if plans.hit(snapshot, message.pool).exists:
                self._say(f"{message.pool} cannot be reloaded by itself: pools can", bad=True)
            else:
                self._refuse_unknown(message.pool)
            return
        from tui.screens.confirm import ReloadDialog

        self.push_screen(ReloadDialog(snapshot, message.pool), partial(self._reload, message.pool))

    def _reload(self, pool: str, confirmed: bool | None) -> None:
        if not confirmed:
            return
        order = ReloadOrder(pool)
        self._say(f"reloading {pool} …", timeout=3)
        self._ask(
            "POST", "/reload", order, Reloaded, lambda done: self._say(plans.reloaded_text(done)),
            timeout_s=order.timeout_s + SLACK_S,
        )  # fmt: skip

    def on_drain_requested(self, message: messages.DrainRequested) -> None:
        plan = plans.aside(self.picture.snapshot, message.target)
        if plan is None:
            self._refuse_to_drain(message.target)
        elif plan.draining:
            self._say(f"{message.target} takes no more jobs already; D, or :resume, ends that")
        else:
            from tui.screens.confirm import DrainDialog

            self.push_screen(DrainDialog(plan), partial(self._order_drain, message.target))
            self._tick()

    def _order_drain(self, target: str, confirmed: bool | None) -> None:
        if not confirmed:
            return
        order = DrainOrder(target)
        self._say(f"draining {target} …", timeout=3)
        self._ask(
            "POST", "/drain", order, Drained, lambda done: self._say(plans.drained_text(done)),
            timeout_s=order.timeout_s + SLACK_S,
        )  # fmt: skip

    def on_resume_requested(self, message: messages.ResumeRequested) -> None:
        plan = plans.aside(self.picture.snapshot, message.target)
        if plan is None:
            self._refuse_to_drain(message.target)
            return
        from tui.screens.confirm import ResumeDialog

        self.push_screen(ResumeDialog(plan), partial(self._order_resume, message.target))

    def _order_resume(self, target: str, confirmed: bool | None) -> None:
        if not confirmed:
            return
        self._ask(
            "POST", "/resume", ResumeOrder(target), Resumed, lambda done: self._say(plans.resumed_text(done)),
            timeout_s=2 * SLACK_S,
        )  # fmt: skip

    def _refuse_to_drain(self, target: str) -> None:
        if plans.hit(self.picture.snapshot, target).exists:
            self._say(f"{target} cannot be drained: pools and workers can", bad=True)
        else:
            self._refuse_unknown(target)

    def on_stop_requested(self) -> None:
        """The first asks, the next show and shorten what is under way."""
        from tui.screens.stop import PATIENCE_S, StopDialog

        shown = isinstance(self.screen, StopDialog)
        stopping = self._stopping
        if stopping is None or stopping.failure:
            if not shown:
                self.push_screen(StopDialog(self.picture.snapshot, self._cluster), self._stop)
                self._tick()
            return
        if not shown:
            self.push_screen(StopDialog(self.picture.snapshot, self._cluster, stopping))
            self._tick()
        elif not stopping.over and stopping.pressed + 1 < len(PATIENCE_S):
            stopping.pressed += 1
            self._order_stop()

    def _stop(self, confirmed: bool | None) -> None:
        if not confirmed:
            return
        from tui.screens.stop import StopDialog, Stopping

        self._stopping = Stopping(self._clock.monotonic())
        self.push_screen(StopDialog(self.picture.snapshot, self._cluster, self._stopping))
        self._order_stop()

    def _order_stop(self) -> None:
        stopping = self._stopping
        assert stopping is not None, "only ordered once it was asked for"

        def progress(step: Progress) -> None:
            stopping.progress = step

        def stopped(report: Stopped) -> None:
            if stopping.report is None:
                stopping.report, stopping.failure = report, ""
                self._show_stop_report()

        def failed(error: PrimectlError) -> None:
            # A shortened stop has two askers, and the supervisor leaves after it has answered one of them.
            if not stopping.over:
                stopping.failure = str(error)
                self._show_stop_report()

        self._ask(
            "POST", "/stop", Stop(stopping.patience_s), Stopped, stopped, failed,
            timeout_s=stopping.patience_s + SLACK_S, on_progress=progress,
        )  # fmt: skip

    def _show_stop_report(self) -> None:
        """In a dialog with its own answers, whether the progress was hidden or not."""
        from tui.screens.stop import StopDialog

        if isinstance(self.screen, StopDialog):
            self.pop_screen()
        self.push_screen(StopDialog(self.picture.snapshot, self._cluster, self._stopping))
        self._tick()


class Registry(Provider):
    """The palette's view of the commands."""

    async def discover(self) -> Hits:
        for command in self._here():
            yield self._hit(1.0, command, command.title)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in self._here():
            text = f"{command.title}  {' '.join(command.words)}"
            if (score := matcher.match(text)) > 0:
                yield self._hit(score, command, matcher.highlight(text))

    def _here(self) -> list[commands.Command]:
        screen = self.screen
        name = screen.SCREEN if isinstance(screen, View) else commands.OVERVIEW
        return [command for command in commands.COMMANDS if command.on(name) and command.id != "palette"]

    def _hit(self, score: float, command: commands.Command, display: Any) -> Hit:
        keys = "  ".join(commands.label(key) for key in command.keys)
        app = self.app
        assert isinstance(app, Console), "the palette belongs to the console"
        return Hit(score, display, partial(app.action_press, command.id), text=command.title, help=keys)


def run(place: Place, notice: str = "") -> int:
    """Open the console until the operator leaves; the exit code. `notice` is shown for a while at first."""
    return operate(Console(ClusterChannel(place), place.cluster, notice))


def operate(console: Console) -> int:
    """Run a console to its end, and say what is true of the cluster on the terminal that is the operator's again."""
    try:
        farewell = console.run()
    finally:
        for line in console.end_replays():
            print(line)  # noqa: T201
    if farewell:
        print(farewell)  # noqa: T201
    return console.return_code or 0
