"""§ The cluster's key for what is redacted: made when it is first needed, and kept, so that hashes stay comparable."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from primectl.errors import JournalError
from primectl.journal.redact import KEY_BYTES

MODE = 0o600
FOLDER_MODE = 0o700


def read_key(path: str) -> bytes:
    """The key in this file, which is made with its folder where there is none. Raises JournalError.

    A file of another size is not taken, nor replaced: with another key, nothing would equal what was written before.
    """
    try:
        with suppress(FileNotFoundError):
            return _checked(Path(path).read_bytes(), path)
        os.makedirs(os.path.dirname(path) or ".", FOLDER_MODE, exist_ok=True)
        _make(path)
        return _checked(Path(path).read_bytes(), path)
    except OSError as error:
        raise JournalError(f"the key for redacted values: {error.strerror}", path) from error


def _make(path: str) -> None:
    """Whole or not at all; of two that do so at once, one wins, and both read the winner's."""
    half = f"{path}.{os.getpid()}"
    fd = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(half, path)
    finally:
        os.unlink(half)


def _checked(key: bytes, path: str) -> bytes:
    if len(key) != KEY_BYTES:
        what = f"the key for redacted values has {len(key)} bytes, not {KEY_BYTES}"
        raise JournalError(what, path, "Restore it, or remove it: what is recorded then is hashed with a new one")
    return key
