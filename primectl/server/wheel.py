"""Whose time is up: each item is due at one time, and looking costs only what is due, however many there are."""

from __future__ import annotations

from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")

SLOT_S = 0.25
"""How exactly times are kept: an item comes up to so much late."""


class Wheel(Generic[ItemT]):
    """Items by when they are due. `now` is monotonic seconds and never steps back."""

    def __init__(self) -> None:
        self._slots: dict[int, set[ItemT]] = {}
        self._slot_of: dict[ItemT, int] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._slot_of)

    def set(self, item: ItemT, at: float) -> None:
        """An item is due at `at`, whatever was said before."""
        slot = max(int(at / SLOT_S) + 1, self._next)
        before = self._slot_of.get(item)
        if before == slot:
            return
        if before is not None:
            self._take_out(item, before)
        self._slot_of[item] = slot
        self._slots.setdefault(slot, set()).add(item)

    def drop(self, item: ItemT) -> None:
        """Forget an item, if it is known."""
        slot = self._slot_of.pop(item, None)
        if slot is not None:
            self._take_out(item, slot)

    def due(self, now: float) -> list[ItemT]:
        """The items whose time has come; they are forgotten."""
        last = int(now / SLOT_S)
        if last < self._next:
            return []
        # After a long pause most slots are empty, and there may be fewer of them than of seconds gone by.
        span = range(self._next, last + 1)
        slots = (
            [slot for slot in span if slot in self._slots]
            if len(span) < len(self._slots)
            else [slot for slot in sorted(self._slots) if slot <= last]
        )
        self._next = last + 1
        found: list[ItemT] = []
        for slot in slots:
            found += self._slots.pop(slot)
        for item in found:
            del self._slot_of[item]
        return found

    def _take_out(self, item: ItemT, slot: int) -> None:
        items = self._slots[slot]
        items.discard(item)
        if not items:
            del self._slots[slot]
