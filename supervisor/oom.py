"""§ Whether the kernel has ended processes for want of memory, by the counters that it keeps of that.

The counters do not say whom it hit, so a death counts as one of these if it was a SIGKILL that nobody here sent and
came when the counter had just risen.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from primectl.clock import Clock, SystemClock

COUNTED = "oom_kill"
RECENT_S = 5.0
"""How long a rise explains deaths: a large process takes a while to be taken apart before its end is seen."""
_CGROUPS = Path("/sys/fs/cgroup")
_VMSTAT = Path("/proc/vmstat")


def counter_files(own_groups: str) -> list[Path]:
    """Where the kills are counted, the nearest first: this process's control group (cgroups(7), version 2, then 1), the
    one that a container shows as its root, the whole host. `own_groups` is the text of /proc/self/cgroup."""
    files: list[Path] = []
    for line in own_groups.splitlines():
        number, controllers, group = line.split(":", 2)
        inside = group.lstrip("/")
        if number == "0":
            files += [_CGROUPS / inside / "memory.events", _CGROUPS / "memory.events"]
        elif "memory" in controllers.split(","):
            base = _CGROUPS / "memory"
            files += [base / inside / "memory.oom_control", base / "memory.oom_control"]
    return [*files, _VMSTAT]


def read_count(text: str) -> int | None:
    """The number of kills in a file of names and numbers; None if it does not count them."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == COUNTED and value.strip().isdigit():
            return int(value)
    return None


class OomKills:
    """The kills that were counted lately and not yet put down to anybody."""

    def __init__(self, files: Iterable[Path] | None = None, clock: Clock | None = None) -> None:
        """`files` in the order of preference: the first that counts is used from then on."""
        if files is None:
            files = counter_files(Path("/proc/self/cgroup").read_text())
        self._clock = clock or SystemClock()
        self._file = next((file for file in files if _count(file) is not None), None)
        self._seen = 0
        self._seen = self._now_counted()
        self._rises: list[float] = []
        """When each of them was seen."""

    def look(self) -> None:
        """Take note of how many there are by now."""
        count, now = self._now_counted(), self._clock.monotonic()
        self._rises = [time for time in self._rises if now - time < RECENT_S]
        # More than these at once is no longer a matter of whom it hit.
        self._rises += [now] * min(max(0, count - self._seen), 1000)
        self._seen = count

    def take_one(self) -> bool:
        """Whether a death that was just seen may be one of them; if so, it explains no other."""
        self.look()
        if not self._rises:
            return False
        self._rises.pop()
        return True

    def _now_counted(self) -> int:
        count = None if self._file is None else _count(self._file)
        return self._seen if count is None else count


def _count(file: Path) -> int | None:
    with suppress(OSError):
        return read_count(file.read_text())
    return None
