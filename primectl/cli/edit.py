"""§ `--edit`: each request as a text in the operator's editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from primectl.cli.terminal import can_ask, confirm, tell
from primectl.errors import ConfigError, PrimectlError
from primectl.journal.editing import from_text, to_text
from primectl.journal.plan import bare
from primectl.journal.steps import Outgoing
from primectl.message import Headers
from primectl.wire.journal import Entry

MOST = 20
"""So many requests are edited one after the other; more are most likely not meant."""


def edited(entries: Sequence[Entry], set_headers: Headers) -> dict[str, Outgoing | None]:
    """What the operator has made of each, by its id; None for one that was emptied. Raises ConfigError."""
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "")
    if not editor and not can_ask():
        raise ConfigError(
            "there is no terminal to edit at", "--edit", "Set EDITOR to a program that changes the file it is given"
        )
    if len(entries) > MOST:
        raise ConfigError(f"{len(entries)} requests are too many to edit", "--edit", f"Choose {MOST} at most")
    return {entry.row.id: _edited(bare(entry, set_headers), editor or ["vi"]) for entry in entries}


def _edited(outgoing: Outgoing, editor: Sequence[str]) -> Outgoing | None:
    """A mistake is told, and on a terminal the editor comes again with the text as it was left, until it is right or
    given up."""
    with tempfile.NamedTemporaryFile("w", prefix="primectl-", suffix=".http", encoding="utf-8") as file:
        file.write(to_text(outgoing))
        file.flush()
        while True:
            try:
                code = subprocess.call([*editor, file.name])
            except OSError as error:
                raise PrimectlError(
                    f"cannot be run: {error.strerror}", editor[0], "Set EDITOR to one that is there"
                ) from None
            if code:
                raise PrimectlError(f"it ended with exit code {code}", editor[0], "Nothing was sent")
            try:
                # Read by its name: many editors write a new file in the place of the old one.
                return from_text(Path(file.name).read_text(encoding="utf-8"))
            except (ConfigError, UnicodeDecodeError) as error:
                if not can_ask():
                    raise ConfigError(str(error)) from None
                tell(str(error))
                if not confirm("edit it again?"):
                    return None
