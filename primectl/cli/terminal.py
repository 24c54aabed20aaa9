"""§ stdout for results, stderr for everything else; colour and lines that rewrite themselves only on a terminal."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Self, TextIO

import msgspec

from primectl.wire.control import Progress
from tui.present.clean import clean, cut

CLEAR_LINE = "\r\x1b[K"
BAR_CELLS = 20


def has_colour(stream: TextIO) -> bool:
    """Colour for a terminal, unless NO_COLOR (https://no-color.org) or a dumb terminal forbids it."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(text: str) -> None:
    """A result."""
    print(text)


def tell(text: str) -> None:
    """Anything that is not the result: progress, warnings, errors. No control characters."""
    print("\n".join(map(clean, text.split("\n"))), file=sys.stderr)


def say_json(value: object, *, one_line: bool = False) -> None:
    """A result as one JSON object; indented for a reader, one line for a program or in a stream."""
    data = msgspec.json.encode(value)
    if not one_line and sys.stdout.isatty():
        data = msgspec.json.format(data, indent=2)
    sys.stdout.write(f"{data.decode()}\n")
    if one_line:
        sys.stdout.flush()


def can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str) -> bool:
    """Ask on the terminal; anything but y or yes is a no."""
    sys.stderr.write(f"{clean(question)} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


class ProgressLine:
    """One line on the terminal that shows how far a command is, gone when it is done; nothing without a terminal.

    Who stops waiting (Ctrl-C) does not stop the order, and is told so.
    """

    def __init__(self) -> None:
        self._shown = False
        self._operation = 0
        self._on = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._write(CLEAR_LINE)
        if kind is KeyboardInterrupt and self._operation:
            tell(f"operation {self._operation} goes on; `primectl ps` shows how far it is, `primectl events` its end")

    def __call__(self, progress: Progress) -> None:
        self._operation = progress.operation
        if self._on:
            self._shown = True
            self._write(f"{CLEAR_LINE}{progress_text(progress, os.get_terminal_size(sys.stderr.fileno()).columns)}")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def progress_text(progress: Progress, columns: int) -> str:
    """A bar when the number of parts is known, and what is happening; never as wide as the terminal, or it wraps."""
    text = clean(progress.text)
    if progress.total > 0:
        done = max(0, min(progress.done, progress.total))
        filled = BAR_CELLS * done // progress.total
        text = f"{'█' * filled}{'░' * (BAR_CELLS - filled)} {done}/{progress.total} {text}"
    return cut(text, columns - 1)


def silence_stdout() -> None:
    """Whoever read our output has left: nothing more goes there, and nobody complains about that at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, 1)
    os.close(nowhere)
