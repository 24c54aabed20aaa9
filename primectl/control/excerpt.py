"""As much of a text as fits."""

from __future__ import annotations


def excerpt(text: str, most_bytes: int) -> str:
    """The text, or its beginning and a word about that; at most so many bytes in UTF-8."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= most_bytes:
        return data.decode()
    note = f"\n… cut here: it has {len(data)} bytes"
    return data[: max(0, most_bytes - len(note.encode()))].decode("utf-8", "ignore") + note
