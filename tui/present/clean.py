"""Text from outside, made harmless; and text measured and cut by terminal cells.

Request paths, log lines, exception texts and even names come from strangers. A terminal obeys ESC sequences wherever
they stand (OSC 52 writes the clipboard), and bidirectional overrides make a line read as another. So whatever is not
a printable character is shown as a symbol for itself, and what makes widths differ between terminals is dropped.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

ELLIPSIS = "…"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_VARIATION_SELECTORS = range(0xFE00, 0xFE10)
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_REGIONAL_INDICATORS = range(0x1F1E6, 0x1F200)
_HANGUL_FOLLOWERS = range(0x1160, 0x1200)
_JOINERS = frozenset("\u200b\u200c\u200d\u2060\ufeff\u00ad")


def clean(text: str) -> str:
    """`text` as one line that a terminal only prints: C0 as ␀ … ␡, other controls and bidi marks as U+FFFD."""
    if text.isascii() and text.isprintable():
        return text
    return _clean(text)


@lru_cache(maxsize=8192)
def _clean(text: str) -> str:
    return "".join(map(_harmless, text))


def _harmless(char: str) -> str:
    code = ord(char)
    if code in _VARIATION_SELECTORS or code in _SKIN_TONES or char in _JOINERS:
        return ""
    if code in _REGIONAL_INDICATORS:
        return chr(ord("A") + code - _REGIONAL_INDICATORS.start)
    if char.isprintable():
        return char
    if char == "\t" or unicodedata.category(char) == "Zs":
        return " "
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    return REPLACEMENT


def cells(text: str) -> int:
    """How many terminal cells cleaned text takes: 2 for wide characters, 0 for combining marks."""
    return len(text) if text.isascii() else _cells(text)


@lru_cache(maxsize=8192)
def _cells(text: str) -> int:
    return sum(map(_char_cells, text))


@lru_cache(maxsize=4096)
def _char_cells(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me") or ord(char) in _HANGUL_FOLLOWERS:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, width: int) -> str:
    """At most `width` cells of cleaned text; what was cut shows as an ellipsis."""
    if width <= 0:
        return ""
    if cells(text) <= width:
        return text
    if text.isascii():
        return text[: width - 1] + ELLIPSIS
    kept: list[str] = []
    room = width - 1
    for char in text:
        room -= _char_cells(char)
        if room < 0:
            break
        kept.append(char)
    return "".join(kept) + ELLIPSIS


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Cleaned text as exactly `width` cells: cut, or filled with spaces on the side away from its edge."""
    short = cut(text, width)
    filler = " " * (width - cells(short))
    return filler + short if right else short + filler
