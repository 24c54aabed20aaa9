"""What travels up: widgets and screens post what the operator wants, only the app acts.

Requests name what was under the cursor when the key was pressed, never "the current one".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from primectl.wire.stats import LogLine

if TYPE_CHECKING:
    from primectl.errors import PrimectlError
    from primectl.wire.journal import Entry, Requests, RequestsQuery


class Order(Message):
    """Something the operator wants, by key, by `:` or from the palette."""


# --- for the app ------------------------------------------------------------------------------------------------------


class ScreenRequested(Order):
    """Show a screen; `target` is the pool or process that it shall be about, "" for all."""

    def __init__(self, screen: str, target: str = "") -> None:
        super().__init__()
        self.screen = screen
        self.target = target


class LastScreenRequested(Order):
    """Show the screen that was shown before this one."""


class ScaleRequested(Order):
    """Scale a pool; without `workers` ("8", "+2", "-1") a dialog asks for the number, with it the dialog shows it."""

    def __init__(self, pool: str, workers: str = "") -> None:
        super().__init__()
        self.pool = pool
        self.workers = workers


class KillRequested(Order):
    """KILL `target`: all, a pool, or a process."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target


class RestartRequested(Order):
    """Let every process of `target` finish what it has, leave, and start again."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target


class ReloadRequested(Order):
    """Let `pool` ("all" for every one) get the code as it is now."""

    def __init__(self, pool: str) -> None:
        super().__init__()
        self.pool = pool


class DrainRequested(Order):
    """Let `target` (a pool or a worker) take no more jobs and finish what it has."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target


class ResumeRequested(Order):
    """Let `target` take jobs again."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target


class StopRequested(Order):
    """Stop the whole cluster, cleanly."""


class ReplayRequested(Order):
    """Send the recorded requests with these ids again; a dialog shows the plan."""

    def __init__(self, requests: tuple[str, ...]) -> None:
        super().__init__()
        self.requests = requests


class RunStopRequested(Order):
    """No more of a replay is sent; its report so far comes. `run` is its number in this session."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self.run = run


class BackRequested(Order):
    """Out of here: `leave` also out of the console, when there is nowhere else to go back to."""

    def __init__(self, leave: bool = False) -> None:
        super().__init__()
        self.leave = leave


class LeaveRequested(Order):
    """Leave the console. `at_once` without a word; else the first of two presses within a second only warns."""

    def __init__(self, at_once: bool = True) -> None:
        super().__init__()
        self.at_once = at_once


class HelpRequested(Order):
    """Show what can be done on this screen."""


class PaletteRequested(Order):
    """Show the palette."""


class CopyRequested(Order):
    """Copy the command line that shows what is shown here, or what is under the cursor."""


class RedrawRequested(Order):
    """Draw everything anew."""


class Refused(Order):
    """What was typed or pressed cannot be done; `why` is for the operator."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why


# --- for the screen that is open --------------------------------------------------------------------------------------


class BarRequested(Order):
    """Open the line at the bottom: for a command (`:`) or to filter or search (`/`)."""

    def __init__(self, prompt: str, text: str = "") -> None:
        super().__init__()
        self.prompt = prompt
        self.text = text


class FilterRequested(Order):
    """Show only rows with `text`, or in logs mark the lines with it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class Moved(Order):
    """Move the cursor or the view: `by` lines or pages, or to an end (`by` is then its sign)."""

    def __init__(self, unit: str, by: int) -> None:
        super().__init__()
        self.unit = unit
        self.by = by


class PaneRequested(Order):
    """Give the keys to the next (1) or previous (-1) pane."""

    def __init__(self, by: int) -> None:
        super().__init__()
        self.by = by


class SortMoved(Order):
    """Sort by the column to the left or right; 0 turns the order round."""

    def __init__(self, by: int) -> None:
        super().__init__()
        self.by = by


class Opened(Order):
    """Go into what is under the cursor."""


class LogsOfCursorRequested(Order):
    """The logs of what is under the cursor."""


class FollowToggled(Order):
    """Logs and requests: keep to the newest, or stay."""


class OnlyMatchesToggled(Order):
    """Logs: hide the lines that do not match."""


class WrapToggled(Order):
    """Logs: long lines on several rows, or cut."""


class MatchRequested(Order):
    """Logs: to the next (1) or previous (-1) match."""

    def __init__(self, by: int) -> None:
        super().__init__()
        self.by = by


class Shifted(Order):
    """Logs: look further right or left along long lines."""

    def __init__(self, by: int) -> None:
        super().__init__()
        self.by = by


class FaultsToggled(Order):
    """Requests: only those that failed, or all."""


class MarkToggled(Order):
    """Mark the row under the cursor or take its mark away; `all_rows` those that are shown."""

    def __init__(self, all_rows: bool = False) -> None:
        super().__init__()
        self.all_rows = all_rows


class NeighbourRequested(Order):
    """Differences: to the next (1) or previous (-1) result."""

    def __init__(self, by: int) -> None:
        super().__init__()
        self.by = by


# --- from widgets -----------------------------------------------------------------------------------------------------


class Submitted(Message):
    """The bottom line was finished with Enter (`accepted`) or left."""

    def __init__(self, prompt: str, text: str, accepted: bool) -> None:
        super().__init__()
        self.prompt = prompt
        self.text = text
        self.accepted = accepted


class Typed(Message):
    """The bottom line holds this now."""

    def __init__(self, prompt: str, text: str) -> None:
        super().__init__()
        self.prompt = prompt
        self.text = text


class CommandChosen(Message):
    """A command was picked by its id: a hint was clicked, a palette entry taken."""

    def __init__(self, command: str) -> None:
        super().__init__()
        self.command = command


# --- from the feed and from answers -----------------------------------------------------------------------------------


class LogsArrived(Message):
    """Lines of processes' logs, in order; `tail` marks the answer to a question, else they came live."""

    def __init__(self, lines: list[LogLine], skipped: int = 0, tail: bool = False, target: str = "") -> None:
        super().__init__()
        self.lines = lines
        self.skipped = skipped
        self.tail = tail
        self.target = target


# --- about recorded requests ------------------------------------------------------------------------------------------


class RequestsWanted(Message):
    """The list wants an answer to this."""

    def __init__(self, query: RequestsQuery) -> None:
        super().__init__()
        self.query = query


class RequestsArrived(Message):
    """The answer to a question of the list, or why there is none."""

    def __init__(self, query: RequestsQuery, answer: Requests | PrimectlError) -> None:
        super().__init__()
        self.query = query
        self.answer = answer


class EntryWanted(Message):
    """A screen wants all of the request with this id."""

    def __init__(self, request: str) -> None:
        super().__init__()
        self.request = request


class EntryArrived(Message):
    """All of a request, or why it is not to be had."""

    def __init__(self, request: str, answer: Entry | PrimectlError) -> None:
        super().__init__()
        self.request = request
        self.answer = answer


class DryRunRequested(Message):
    """The plan dialog wants to know what its plan comes to; `argv` follows `primectl`."""

    def __init__(self, argv: list[str]) -> None:
        super().__init__()
        self.argv = argv
