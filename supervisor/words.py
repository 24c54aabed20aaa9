"""Numbers of things, as they are said."""

from __future__ import annotations


def counted(number: int, noun: str, nouns: str = "") -> str:
    """1 worker, 2 workers; `nouns` where an s does not do."""
    return f"{number} {noun if number == 1 else nouns or f'{noun}s'}"


def processes(number: int) -> str:
    return counted(number, "process", "processes")
