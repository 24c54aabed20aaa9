"""Every command of the console, once: keys, words, screens, danger, the CLI line it equals, and what it asks for.

Key bindings, the hints at the bottom, help, the palette and the completion of `:` are all made from `COMMANDS`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from enum import IntEnum
from typing import NamedTuple

from textual.binding import Binding, BindingType

from tui import messages
from tui.messages import Order
from tui.present.clean import clean

OVERVIEW = "overview"
WORKERS = "workers"
LOGS = "logs"
EVENTS = "events"
REQUESTS = "requests"
REQUEST = "request"
REPLAYS = "replays"
REPLAY = "replay"
DIFFERENCE = "difference"

OWN_TARGETS = frozenset({REQUESTS, REQUEST, REPLAYS, REPLAY, DIFFERENCE})
"""Screens that are about something else than a pool or a process."""

FORBIDDEN_KEYS = frozenset(
    {"ctrl+a", "ctrl+b", "ctrl+h", "ctrl+i", "ctrl+j", "ctrl+k", "ctrl+m", "ctrl+q", "ctrl+z", "f2", "f9", "f10", "f11"}
)
"""Taken by terminals, multiplexers and job control, or destructive elsewhere."""


class Danger(IntEnum):
    """What is asked before: nothing, one plain confirmation, a list to confirm, the name of what is hit."""

    NONE = 0
    ASKS = 1
    LISTS = 2
    NAMES = 3


class Aim(NamedTuple):
    """Where the operator is and what is under the cursor, when a key is pressed."""

    screen: str = OVERVIEW
    pool: str = ""
    process: str = ""
    gone: str = ""
    """What was under the cursor and is there no more."""
    requests: tuple[str, ...] = ()
    """Ids of the marked requests, else of the one under the cursor."""
    run: str = ""
    """The number of a replay."""

    @property
    def target(self) -> str:
        return self.process or self.pool


Words = Sequence[str]


class Command(NamedTuple):
    """One thing that an operator can do. `order` makes the message from the aim and, after `:`, the words that follow.

    `takes` names what the words are, for completion: pool, target (all, a pool or a process), drainable (a pool or a
    worker), size, requests (ids, any number), filter (all that follows, as it was typed). `hint` is the label at the
    bottom of the screen, "" for none. `cli` is the same on the command line, with {pool}, {target} and {requests}
    filled in.
    """

    id: str
    title: str
    order: Callable[[Aim, Words], Order]
    keys: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    screens: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    cli: str = ""
    hint: str = ""
    group: str = "Do"
    danger: Danger = Danger.NONE

    def on(self, screen: str) -> bool:
        """Whether it can be done on this screen."""
        return not self.screens or screen in self.screens


class Names(NamedTuple):
    """What completion may offer."""

    pools: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()


def _first(words: Words, otherwise: str = "") -> str:
    return words[0] if words else otherwise


_SIZE = re.compile(r"[+-]?[0-9]{1,6}", re.ASCII)


def _scale(aim: Aim, words: Words) -> Order:
    """`scale compute 5`, `scale compute=+2`, and after a key or a bare `scale` whatever the cursor is on."""
    pool, equals, size = _first(words).partition("=")
    size = size if equals else _first(words[1:])
    pool = pool or aim.pool
    if not pool:
        return messages.Refused(_nothing_there(aim, "pool"))
    if len(words) > (1 if equals else 2) or (size and not _SIZE.fullmatch(size)):
        return messages.Refused("scale takes a pool and a number: scale compute 5, scale compute=+2")
    return messages.ScaleRequested(pool, size)


def _aimed(make: Callable[[str], Order]) -> Callable[[Aim, Words], Order]:
    """An order about the target that was typed, else the one under the cursor."""

    def order(aim: Aim, words: Words) -> Order:
        target = _first(words, aim.target)
        return make(target) if target else messages.Refused(_nothing_there(aim, "pool or process"))

    return order


def _of_pool(make: Callable[[str], Order]) -> Callable[[Aim, Words], Order]:
    """An order about the pool that was typed, else the one under the cursor or that of the worker there."""

    def order(aim: Aim, words: Words) -> Order:
        pool = _first(words, aim.pool)
        return make(pool) if pool else messages.Refused(_nothing_there(aim, "pool"))

    return order


def _nothing_there(aim: Aim, what: str) -> str:
    if aim.gone:
        return f"{clean(aim.gone)} is gone; move the cursor to choose another"
    return f"no {what} is under the cursor; put it there, or type its name after the command"


def _replay(aim: Aim, words: Words) -> Order:
    """The requests that were typed by their ids, else those that are marked, else the one under the cursor."""
    if any(word.startswith("-") for word in words):
        return messages.Refused("replay takes ids here; a dialog asks for the rest")
    chosen = tuple(words) or aim.requests
    return messages.ReplayRequested(chosen) if chosen else messages.Refused(_nothing_there(aim, "request"))


def _stop_run(aim: Aim, words: Words) -> Order:
    return messages.RunStopRequested(aim.run) if aim.run else messages.Refused(_nothing_there(aim, "replay"))


def _requests(aim: Aim, words: Words) -> Order:
    """`requests`, `requests status>=500 or ms>1000`, and with `--where` as on the command line."""
    text = _first(words).strip()
    if text.startswith("--where"):
        try:
            text = " ".join(shlex.split(text.removeprefix("--where").removeprefix("=")))
        except ValueError as error:
            return messages.Refused(f"{clean(text)}: {error}")
    return messages.ScreenRequested(REQUESTS, text)


TABLES = (OVERVIEW, WORKERS, EVENTS)
SORTED = (*TABLES, REQUESTS, REPLAYS, REPLAY)
GO, LOOK, ACT, LOG, OUT = "Go", "Look", "Act", "Logs", "Out"

COMMANDS: tuple[Command, ...] = (
    # Go
    Command(
        "open", "Open what is under the cursor", lambda aim, words: messages.Opened(), ("enter",),
        screens=(OVERVIEW, WORKERS, REQUESTS, REPLAYS, REPLAY), hint="open", group=GO,
    ),
    Command(
        "overview", "Overview: pools, queues, advice", lambda aim, words: messages.ScreenRequested(OVERVIEW), ("1",),
        ("overview", "pools", "ps"), cli="primectl ps", group=GO,
    ),
    Command(
        "workers", "Workers, of all pools or of one",
        lambda aim, words: messages.ScreenRequested(WORKERS, _first(words)), ("3",),
        ("workers",), takes=("pool",), cli="primectl ps", group=GO, hint="workers",
    ),
    Command(
        "requests", "Requests that were recorded; those that fit", _requests, ("4",), ("requests",),
        takes=("filter",), cli="primectl requests", hint="requests", group=GO,
    ),
    Command(
        "replays", "Replays of this session, and what they found",
        lambda aim, words: messages.ScreenRequested(REPLAYS), ("5",), ("replays",), hint="replays", group=GO,
    ),
    Command(
        "logs", "Logs, of all processes or of some",
        lambda aim, words: messages.ScreenRequested(LOGS, _first(words)), ("6",),
        ("logs",), takes=("target",), cli="primectl logs -f", group=GO,
    ),
    Command(
        "logs-here", "Logs of what is under the cursor", lambda aim, words: messages.LogsOfCursorRequested(), ("l",),
        screens=(OVERVIEW, WORKERS), cli="primectl logs -f {target}", hint="logs", group=GO,
    ),
    Command("last-screen", "The screen before this one", lambda aim, words: messages.LastScreenRequested(), ("-",),
            group=GO),
    Command(
        "events", "Events: what happened, by whom",
        lambda aim, words: messages.ScreenRequested(EVENTS), ("7",), ("events",),
        cli="primectl events -f", hint="events", group=GO,
    ),
    # Act
    Command(
        "scale", "Scale a pool", _scale, ("s",), ("scale",), (OVERVIEW, WORKERS), ("pool", "size"),
        "primectl scale {pool}=N", "scale", ACT, Danger.ASKS,
    ),
    Command(
        "restart", "Restart, each after its job", _aimed(messages.RestartRequested), ("R",), ("restart",),
        (OVERVIEW, WORKERS), ("target",), "primectl restart {target}", "", ACT, Danger.ASKS,
    ),
    Command(
        "reload", "Reload: new code, no request fails", _of_pool(messages.ReloadRequested), ("L",), ("reload",),
        (OVERVIEW, WORKERS), ("pool",), "primectl reload {pool}", "", ACT, Danger.ASKS,
    ),
    Command(
        "kill", "KILL: leave now, whatever runs", _aimed(messages.KillRequested), ("K",), ("kill",),
        (OVERVIEW, WORKERS), ("target",), "primectl kill {target}", "kill", ACT, Danger.NAMES,
    ),
    Command(
        "drain", "Drain: no more jobs, finish what it has", _aimed(messages.DrainRequested), ("d",), ("drain",),
        (OVERVIEW, WORKERS), ("drainable",), "primectl drain {target}", "drain", ACT, Danger.ASKS,
    ),
    Command(
        "resume", "Resume: the end of a drain", _aimed(messages.ResumeRequested), ("D",), ("resume",),
        (OVERVIEW, WORKERS), ("drainable",), "primectl resume {target}", "", ACT, Danger.ASKS,
    ),
    Command(
        "replay", "Replay: send the marked requests again", _replay, ("r",), ("replay",),
        (REQUESTS, REQUEST), ("requests",), "primectl replay {requests}", "replay", ACT, Danger.LISTS,
    ),
    Command(
        "stop-replay", "Stop a replay; its report so far comes", _stop_run, ("s",), ("stop-replay",),
        (REPLAYS, REPLAY), hint="stop", group=ACT,
    ),
    Command(
        "stop", "Stop the cluster, cleanly", lambda aim, words: messages.StopRequested(), ("X",), ("down", "stop"),
        cli="primectl down", hint="stop", group=ACT, danger=Danger.NAMES,
    ),
    # Look
    Command("cursor-up", "Up", lambda aim, words: messages.Moved("line", -1), ("k", "up"), group=LOOK),
    Command("cursor-down", "Down", lambda aim, words: messages.Moved("line", 1), ("j", "down"), group=LOOK),
    Command("page-up", "A page up", lambda aim, words: messages.Moved("page", -1), ("pageup",), group=LOOK),
    Command("page-down", "A page down", lambda aim, words: messages.Moved("page", 1), ("pagedown",), group=LOOK),
    Command("half-up", "Half a page up", lambda aim, words: messages.Moved("half", -1), ("ctrl+u",), group=LOOK),
    Command("half-down", "Half a page down", lambda aim, words: messages.Moved("half", 1), ("ctrl+d",), group=LOOK),
    Command("first", "To the first", lambda aim, words: messages.Moved("end", -1), ("g", "home"), group=LOOK),
    Command("last", "To the last", lambda aim, words: messages.Moved("end", 1), ("G", "end"), group=LOOK),
    Command("next-pane", "Next pane", lambda aim, words: messages.PaneRequested(1), ("tab",), group=LOOK),
    Command("previous-pane", "Previous pane", lambda aim, words: messages.PaneRequested(-1), ("shift+tab",),
            group=LOOK),
    Command(
        "filter", "Show only rows with a text", lambda aim, words: messages.BarRequested("/"), ("/",),
        screens=(*TABLES, REPLAYS, REPLAY), hint="filter", group=LOOK,
    ),
    Command(
        "where", "Show only requests that fit a filter", lambda aim, words: messages.BarRequested("/"), ("/",),
        screens=(REQUESTS,), cli="primectl requests --where FILTER", hint="filter", group=LOOK,
    ),
    Command("faults", "Only requests that failed", lambda aim, words: messages.FaultsToggled(), ("!",),
            screens=(REQUESTS,), hint="faults", group=LOOK),
    Command("mark", "Mark the request, or take the mark away", lambda aim, words: messages.MarkToggled(), ("space",),
            screens=(REQUESTS,), hint="mark", group=LOOK),
    Command("mark-all", "Mark all that are shown, or none", lambda aim, words: messages.MarkToggled(all_rows=True),
            ("*",), screens=(REQUESTS,), group=LOOK),
    Command("diff", "The answer then and now", lambda aim, words: messages.Opened(), ("D",),
            screens=(REPLAY,), hint="diff", group=LOOK),
    Command("next-result", "The next result", lambda aim, words: messages.NeighbourRequested(1), ("j", "n"),
            screens=(DIFFERENCE,), hint="next", group=LOOK),
    Command("previous-result", "The result before", lambda aim, words: messages.NeighbourRequested(-1), ("k", "N"),
            screens=(DIFFERENCE,), hint="previous", group=LOOK),
    Command("sort-left", "Sort by the column to the left", lambda aim, words: messages.SortMoved(-1), ("<",),
            screens=SORTED, group=LOOK),
    Command("sort-right", "Sort by the column to the right", lambda aim, words: messages.SortMoved(1), (">",),
            screens=SORTED, group=LOOK),
    Command("sort-turn", "Turn the order round", lambda aim, words: messages.SortMoved(0), ("O",),
            screens=SORTED, group=LOOK),
    # Logs
    Command("follow", "Follow the newest, or stay", lambda aim, words: messages.FollowToggled(), ("f",),
            screens=(LOGS, REQUESTS), hint="follow", group=LOG),
    Command("search", "Mark lines with a text", lambda aim, words: messages.BarRequested("/"), ("/",),
            screens=(LOGS,), hint="search", group=LOG),
    Command("next-match", "To the next match", lambda aim, words: messages.MatchRequested(1), ("n",),
            screens=(LOGS,), hint="next", group=LOG),
    Command("previous-match", "To the previous match", lambda aim, words: messages.MatchRequested(-1), ("N",),
            screens=(LOGS,), group=LOG),
    Command("only-matches", "Only lines that match", lambda aim, words: messages.OnlyMatchesToggled(), ("&",),
            screens=(LOGS,), hint="only", group=LOG),
    Command("wrap", "Wrap long lines, or cut them", lambda aim, words: messages.WrapToggled(), ("w",),
            screens=(LOGS,), hint="wrap", group=LOG),
    Command("right", "Look further right", lambda aim, words: messages.Shifted(1), ("right",),
            screens=(LOGS,), group=LOG),
    Command("left", "Look further left", lambda aim, words: messages.Shifted(-1), ("left",),
            screens=(LOGS,), group=LOG),
    # Out
    Command("bar", "Type a command", lambda aim, words: messages.BarRequested(":"), (":",), hint="command", group=OUT),
    Command("palette", "Find a command", lambda aim, words: messages.PaletteRequested(), ("ctrl+p",), group=OUT),
    Command("copy", "Copy the command line for this", lambda aim, words: messages.CopyRequested(), ("y",), group=OUT),
    Command("help", "What can be done here", lambda aim, words: messages.HelpRequested(), ("?", "f1"), ("help",),
            hint="help", group=OUT),
    Command("redraw", "Draw the screen anew", lambda aim, words: messages.RedrawRequested(), ("ctrl+l",), group=OUT),
    Command("clear", "Clear the filter, else back", lambda aim, words: messages.BackRequested(), ("escape",),
            group=OUT),
    Command("back", "Back; from the overview, leave", lambda aim, words: messages.BackRequested(leave=True), ("q",),
            hint="out", group=OUT),
    Command("leave", "Leave; the cluster keeps running", lambda aim, words: messages.LeaveRequested(), (),
            ("quit", "q"), group=OUT),
    Command("leave-twice", "Twice: leave", lambda aim, words: messages.LeaveRequested(at_once=False), ("ctrl+c",),
            group=OUT),
)  # fmt: skip

BY_ID = {command.id: command for command in COMMANDS}
BY_WORD = {word: command for command in COMMANDS for word in command.words}


def keys_on(command: Command, screen: str) -> tuple[str, ...]:
    """The keys of a command on a screen: one that the screen has for something of its own is not the general one."""
    if command.screens:
        return command.keys
    own = {key for other in COMMANDS if other.screens and other.on(screen) for key in other.keys}
    return tuple(key for key in command.keys if key not in own)


def bindings(screen: str) -> list[BindingType]:
    """The keys of a screen."""
    return [
        Binding(",".join(_key(key) for key in keys), f"app.press('{command.id}')", command.title, show=False)
        for command in COMMANDS
        if command.on(screen) and (keys := keys_on(command, screen))
    ]


_KEY_NAMES = {",": "comma"}
_LABELS = {
    "enter": "⏎",
    "escape": "Esc",
    "space": "Space",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "question_mark": "?",
    "f1": "F1",
}
_LABELS |= {
    "tab": "Tab",
    "shift+tab": "⇧Tab",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "home": "Home",
    "end": "End",
}


def _key(key: str) -> str:
    return _KEY_NAMES.get(key, key)


def label(key: str) -> str:
    """A key as people read it."""
    return _LABELS.get(key, key.replace("ctrl+", "^"))


HINTED = ("open", "replay", "diff", "stop-replay", "next-result", "previous-result", "mark", "scale", "kill", "follow",
          "search", "next-match", "only-matches", "wrap", "logs-here", "filter", "where", "faults", "requests",
          "stop", "bar", "help", "back", "drain", "workers", "replays", "events")  # fmt: skip
"""What the bottom line offers, the most useful first: what has no room is left out from the end."""


def hints(screen: str) -> list[tuple[str, str, str]]:
    """The bottom line of a screen: the command's id, its key, its label."""
    shown = [BY_ID[name] for name in HINTED if BY_ID[name].on(screen) and name != screen]
    return [(command.id, label(command.keys[0]), command.hint) for command in shown]


def order_of(line: str, aim: Aim) -> Order:
    """What a line after `:` asks for. What cannot be understood is refused with what could have been meant."""
    head, _, rest_of_line = line.removeprefix(":").strip().removeprefix("primectl ").strip().partition(" ")
    if head in BY_WORD and BY_WORD[head].takes == ("filter",):
        # Quotes in a filter are the filter's own.
        return BY_WORD[head].order(aim, [rest_of_line])
    try:
        words = shlex.split(line.removeprefix(":").strip())
    except ValueError as error:
        return messages.Refused(f"{clean(line)}: {error}")
    if words and words[0] == "primectl":
        del words[0]
    if not words:
        return messages.Refused("type a command; ? lists them")
    command = BY_WORD.get(words[0])
    if command is None:
        near = get_close_matches(words[0], BY_WORD, n=1)
        hint = f"; did you mean {near[0]}?" if near else "; ? lists what there is"
        return messages.Refused(f"there is no command {clean(words[0])!r}{hint}")
    rest = [word for word in words[1:] if word not in ("-f", "--yes")]
    if len(rest) > len(command.takes) and command.takes != ("requests",):
        return messages.Refused(f"{words[0]} does not take {clean(rest[len(command.takes)])!r}")
    return command.order(aim, rest)


def complete(line: str, names: Names) -> list[str]:
    """Whole lines that `line` may become, for the word that its end is in."""
    head, space, part = line.rpartition(" ")
    if not space:
        return [word for word in sorted(BY_WORD) if word.startswith(part)]
    words = head.split()
    command = BY_WORD.get(words[0]) if words else None
    if command is None or len(words) > len(command.takes):
        return []
    return [f"{head} {name}" for name in _offers(command.takes[len(words) - 1], names) if name.startswith(part)]


def _offers(kind: str, names: Names) -> Iterable[str]:
    match kind:
        case "pool":
            return names.pools
        case "target":
            return ("all", *names.pools, *names.processes)
        case "drainable":
            return (*names.pools, *(name for name in names.processes if name.rpartition(".")[0] in names.pools))
        case _:
            return ()


REQUESTS_SHOWN = 3
"""Of the ids in a command line that is only shown."""


def cli_line(command: Command, aim: Aim) -> str:
    """The same on the command line, about what is under the cursor."""
    requests = " ".join(clean(each) for each in aim.requests[:REQUESTS_SHOWN])
    more = " …" if len(aim.requests) > REQUESTS_SHOWN else ""
    return command.cli.format(
        pool=clean(aim.pool) or "POOL", target=clean(aim.target) or "TARGET", requests=requests + more or "ID"
    )


def key_table() -> str:
    """All commands as the table in docs/console.md."""
    lines = ["| keys | after `:` | does | on the command line |", "|---|---|---|---|"]
    for command in COMMANDS:
        keys = " ".join(f"`{label(key)}`" for key in command.keys)
        words = " ".join(f"`{word}`" for word in command.words)
        cli = f"`{cli_line(command, Aim())}`" if command.cli else ""
        where = f" ({', '.join(command.screens)})" if command.screens else ""
        lines.append(f"| {keys} | {words} | {command.title}{where} | {cli} |")
    return "\n".join(lines)
