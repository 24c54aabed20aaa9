"""What of a pool's limits and identity the host, or one's rights, do not allow: pure; `identity` does the looking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from primectl.config.model import PoolConfig
from primectl.config.problems import Path
from primectl.config.rlimits import UNLIMITED, parse_limit, show_limit

CAP_SETGID = 6
CAP_SETUID = 7
CAP_SYS_NICE = 23
CAP_SYS_RESOURCE = 24
"""Numbers of capabilities(7)."""


class Person(Struct, frozen=True):
    """Whom a pool's processes become. `name` is empty for a number without an account."""

    uid: int
    gid: int
    name: str
    home: str


class Host(Struct, frozen=True):
    """What is so, of this process and the machine."""

    uid: int
    gid: int
    capabilities: int
    """A bit each."""
    nice: int
    best_nice: int
    """The lowest that RLIMIT_NICE lets this process have, whatever its rights."""
    cpus: frozenset[int]
    hard_limits: Mapping[str, int]

    def can(self, capability: int) -> bool:
        return bool(self.capabilities >> capability & 1)


class Fault(Struct, frozen=True):
    """A key of a pool's table that cannot be had."""

    key: Path
    what: str
    mend: str = ""


def is_other(person: Person, host: Host) -> bool:
    """Whether becoming this person is a change at all."""
    return (person.uid, person.gid) != (host.uid, host.gid)


def faults(pool: PoolConfig, person: Person, host: Host) -> Iterator[Fault]:
    """All that can be known beforehand; `identity.assume` finds out the rest."""
    yield from _identity_faults(pool, person, host)
    yield from _nice_faults(pool, host)
    missing = sorted(set(pool.cpu_affinity) - host.cpus)
    if missing:
        known = f"0 to {max(host.cpus)}" if len(host.cpus) > 1 else "0"
        number = pool.cpu_affinity.index(missing[0])
        yield Fault(("cpu_affinity", number), f"there is no CPU {missing[0]} on this host", f"It has {known}")
    if not host.can(CAP_SYS_RESOURCE):
        yield from _limit_faults(pool, host)


def _identity_faults(pool: PoolConfig, person: Person, host: Host) -> Iterator[Fault]:
    if person.uid != host.uid:
        if host.uid != 0:
            what = f"only root can run workers as another user, and this is user {host.uid}"
            yield Fault(("user",), what, "Start primectl as root, or leave it out")
        elif not (host.can(CAP_SETUID) and host.can(CAP_SETGID)):
            what = "this process may not change its user (it lacks CAP_SETUID or CAP_SETGID)"
            yield Fault(("user",), what, "Give it these capabilities, or leave it out")
    elif person.gid != host.gid and not host.can(CAP_SETGID):
        what = f"only root can run workers as another group, and this is group {host.gid}"
        yield Fault(("group",) if pool.group else ("user",), what, "Start primectl as root, or leave it out")


def _nice_faults(pool: PoolConfig, host: Host) -> Iterator[Fault]:
    nice = pool.nice
    if nice == "inherit" or nice >= host.nice or nice >= host.best_nice or host.can(CAP_SYS_NICE):
        return
    what = f"a priority below {min(host.nice, host.best_nice)} needs root, or RLIMIT_NICE, got {nice}"
    yield Fault(("nice",), what, "Leave it out, or start primectl as root")


def _limit_faults(pool: PoolConfig, host: Host) -> Iterator[Fault]:
    for name, value in pool.rlimits.items():
        limit, hard = parse_limit(name, value), host.hard_limits[name]
        if hard != UNLIMITED and (limit == UNLIMITED or limit > hard):
            what = f"the hard limit here is {show_limit(name, hard)}, got {show_limit(name, limit)}"
            yield Fault(("rlimits", name), what, "Raise it where primectl is started (ulimit -H), or lower this")
