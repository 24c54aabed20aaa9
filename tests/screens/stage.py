"""A stage for the console without a cluster: a channel that records what was asked and publishes what it is told to."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from primectl.errors import PrimectlError
from primectl.wire.control import Events, Logs, Progress
from primectl.wire.journal import Requests
from primectl.wire.stats import (
    ClusterSnapshot,
    Event,
    EventPublished,
    FeedMessage,
    LogLine,
    LogsPublished,
    SnapshotPublished,
)
from tests.support.snapshots import NOON, a_cluster
from tui.app import Console

if TYPE_CHECKING:
    from textual.pilot import Pilot

NARROW = (80, 24)
WIDE = (160, 50)
SMALL = (60, 15)
FAKE_REPLAY = (sys.executable, "-m", "tests.screens.fake_replay")


class StageClock:
    """Stands still until it is moved; its wall clock is that of the built snapshots."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return NOON + self.now - 1000.0


class StageFeed:
    """A subscription whose fd is level-triggered, which is more than the console asks for."""

    def __init__(self, topics: Collection[str]) -> None:
        self.topics = tuple(topics)
        self.closed = False
        self._waiting: list[FeedMessage] = []
        self._out, self._in = os.pipe()

    def fileno(self) -> int:
        return self._out

    def receive(self) -> list[FeedMessage]:
        waiting, self._waiting = self._waiting, []
        if waiting:
            os.read(self._out, 1 << 16)
        return waiting

    def close(self) -> None:
        self.closed = True
        os.close(self._out)
        os.close(self._in)

    def push(self, message: FeedMessage) -> None:
        self._waiting.append(message)
        os.write(self._in, b".")


class StageChannel:
    """`asks` holds each question as (method, path, body). `answers`, by path: a reply, an error, or a function."""

    def __init__(self) -> None:
        self.asks: list[tuple[str, str, Struct | None]] = []
        self.feeds: list[StageFeed] = []
        self.answers: dict[str, Any] = {"/events": Events([]), "/logs": Logs([]), "/requests": Requests([])}
        self.hold = threading.Event()
        """Cleared, every POST waits before it is answered."""
        self.hold.set()

    def ask(
        self,
        method: str,
        path: str,
        body: Struct | None,
        reply: type[Any],
        *,
        timeout_s: float = 5.0,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Any:
        self.asks.append((method, path, body))
        if method == "POST":
            assert self.hold.wait(20), "a test left its question unanswered"
        answer = self.answers[path]
        if callable(answer):
            answer = answer(body, on_progress)
        if isinstance(answer, PrimectlError):
            raise answer
        return answer

    def listen(self, topics: Collection[str]) -> StageFeed:
        feed = StageFeed(topics)
        self.feeds.append(feed)
        return feed

    # --- what tests do ------------------------------------------------------------------------------------------------

    def posts(self) -> list[tuple[str, Struct | None]]:
        return [(path, body) for method, path, body in self.asks if method == "POST"]

    def publish(self, *messages: ClusterSnapshot | Event | list[LogLine]) -> None:
        for message in messages:
            match message:
                case ClusterSnapshot():
                    self._push("snapshot", SnapshotPublished(message))
                case Event():
                    self._push("event", EventPublished(message))
                case _:
                    self._push("log", LogsPublished(message))

    def _push(self, topic: str, message: FeedMessage) -> None:
        for feed in self.feeds:
            if topic in feed.topics and not feed.closed:
                feed.push(message)


class Stage:
    """The console on its stage: keys in, frames and questions out."""

    def __init__(self, console: Console, channel: StageChannel, clock: StageClock, pilot: Pilot[str]) -> None:
        self.console = console
        self.channel = channel
        self.clock = clock
        self.pilot = pilot
        self.said: list[str] = []
        """Every toast so far; Textual forgets those that have faded."""
        notify = console.notify

        def note(message: str, **how: Any) -> None:
            self.said.append(message)
            notify(message, **how)

        console.notify = note  # type: ignore[method-assign]

    async def show(self, *messages: ClusterSnapshot | Event | list[LogLine]) -> None:
        """Publish, and wait until it is painted."""
        self.channel.publish(*messages)
        await self.settle()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def type(self, text: str) -> None:
        await self.press(*(_KEYS.get(char, char) for char in text))

    async def settle(self) -> None:
        """Until everything that is under way has been handled and painted."""
        await self.pilot.pause()
        self.console._tick()
        await self.pilot.pause()

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for what happens in another thread."""
        for _ in range(500):
            if condition():
                return
            await self.pilot.pause(0.01)
            await self.settle()
        raise AssertionError(f"never happened: {what}\n{self.frame()}")

    async def resize(self, width: int, height: int) -> None:
        await self.pilot.resize_terminal(width, height)
        await self.settle()

    def frame(self) -> str:
        """What is on screen, as text."""
        size = self.console.size
        lines = [""] * size.height
        for y, strips in enumerate(self.console.screen._compositor.render_strips()):
            lines[y] = "".join(segment.text for segment in strips)
        return "\n".join(line.rstrip() for line in lines)

    def line(self, wanted: str) -> str:
        """The first line on screen that holds `wanted`."""
        for line in self.frame().splitlines():
            if wanted in line:
                return line
        raise AssertionError(f"{wanted!r} is not on screen:\n{self.frame()}")

    @property
    def left(self) -> bool:
        return self.console._exit


_KEYS = {" ": "space", "/": "slash", ":": "colon", "+": "plus", "-": "minus", "=": "equals_sign", "?": "question_mark"}
_KEYS |= {"'": "apostrophe", "~": "tilde", "!": "exclamation_mark", "*": "asterisk", ",": "comma"}
_KEYS |= {".": "full_stop", "&": "ampersand", "<": "less_than_sign", ">": "greater_than_sign", "_": "underscore"}


@asynccontextmanager
async def a_stage(
    first: ClusterSnapshot | None = None, size: tuple[int, int] = NARROW, *, empty: bool = False, notice: str = ""
) -> AsyncIterator[Stage]:
    """The console, at work on a cluster; `empty` before any data has come."""
    channel, clock = StageChannel(), StageClock()
    console = Console(channel, "prime", notice, clock, FAKE_REPLAY)
    async with console.run_test(size=size, notifications=True) as pilot:
        stage = Stage(console, channel, clock, pilot)
        await stage.until(lambda: bool(channel.feeds), "the console listens")
        if not empty:
            await stage.show(first or a_cluster())
        yield stage
