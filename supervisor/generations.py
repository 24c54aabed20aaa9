"""Which generation of a pool's code a worker gets when it starts, and which zygotes that takes.

A generation is the code and the settings as they were when its zygote imported them; pools without zygotes have
generations too, which say after which reload a worker was started. Outside of a reload there is one. A reload adds
the next (`prepare`), tries it with extra workers, gives it to whoever starts from then on (`prove`), and in the end
makes it the only one (`commit`) or drops it (`give_up`). Nothing is noted worker by worker: whoever starts asks.
"""

from __future__ import annotations

from typing import NamedTuple

from supervisor.events import zygote_ids


class Generation(NamedTuple):
    """`zygote` forks its workers; "" when each has an interpreter of its own."""

    number: int
    zygote: str


class Generations:
    """Those of one pool."""

    def __init__(self, pool: str, *, forks: bool) -> None:
        self.pool = pool
        self.current = Generation(1, zygote_ids(pool)[0] if forks else "")
        self.coming: Generation | None = None
        """The one that a reload brings."""
        self.proven = False
        """Whoever starts gets the coming one."""
        self.surge = 0
        """Workers above the pool's size, while a reload rolls; until it is proven they alone get the coming one."""
        self._issued = 1

    def for_start(self, *, extra: bool) -> Generation:
        """What a worker gets that starts now."""
        if self.coming is not None and (self.proven or extra):
            return self.coming
        return self.current

    def number_of(self, zygote: str) -> int:
        """The generation that this zygote imports when it starts now."""
        return self.coming.number if self.coming is not None and self.coming.zygote == zygote else self.current.number

    def is_on_trial(self, number: int) -> bool:
        """Whether a reload is trying this one, and gives it up when one of its processes fails."""
        return self.coming is not None and number == self.coming.number

    @property
    def zygotes(self) -> tuple[str, ...]:
        """Those that should run."""
        both = (self.current, self.coming)
        return tuple(generation.zygote for generation in both if generation is not None and generation.zygote)

    def prepare(self, *, forks: bool) -> Generation:
        """The next generation, by the zygote id that is not in use; `forks` as the pool is configured now."""
        self._issued += 1
        first, second = zygote_ids(self.pool)
        zygote = (second if self.current.zygote == first else first) if forks else ""
        self.coming = Generation(self._issued, zygote)
        return self.coming

    def prove(self) -> None:
        self.proven = True

    def commit(self) -> None:
        """The coming one is the current one from now on. Raises ValueError when there is none."""
        if self.coming is None:
            raise ValueError(f"pool {self.pool} has no coming generation")
        self.current = self.coming
        self.give_up()

    def give_up(self) -> None:
        """Whoever starts gets the current one again."""
        self.coming = None
        self.proven = False
