"""§ Limits and identity of a pool's processes: whether this host allows them, and taking them on.

`assume` is called before a handler is imported, by whoever is going to import one: a zygote, a worker with an
interpreter of its own, and the trial of `check`. So no code of a handler ever runs as somebody else than it should.
"""

from __future__ import annotations

import grp
import os
import pwd
import resource
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from msgspec import structs

from primectl.config.model import Config, PoolConfig
from primectl.config.problems import Problems, show_path, show_value
from primectl.config.rights import Fault, Host, Person, faults, is_other
from primectl.config.rlimits import RLIMITS, UNLIMITED, parse_limit, show_limit
from primectl.errors import ConfigError

SERVICE_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
"""What a service manager says to the supervisor alone (sd_notify(3)): no child gets them."""

_JUDGED = ("user", "group", "nice", "cpu_affinity", "rlimits")
_ASKS_NOTHING = PoolConfig(handler="")
KEYS = (*_JUDGED, "cwd", "umask")
"""Of a pool's table: all that is told of here."""


class IdentityFault(ConfigError):
    """What cannot be taken on, and by which key of the pool's table."""

    def __init__(self, pool: str, fault: Fault) -> None:
        super().__init__(fault.what, show_path(("pools", pool, *fault.key)), fault.mend)
        self.fault = fault


# --- beforehand -------------------------------------------------------------------------------------------------------


def check_identities(config: Config, problems: Problems) -> None:
    """All that this host does not allow of any pool, for keys without a mistake of their own."""
    if not any(_asks(pool) for pool in config.pools.values()):
        return
    host = host_now()
    for name, whole in config.pools.items():
        path = ("pools", name)
        mistaken = [key for key in _JUDGED if not problems.clean((*path, key))]
        pool = structs.replace(whole, **{key: getattr(_ASKS_NOTHING, key) for key in mistaken})
        if not _asks(pool):
            continue
        try:
            person = person_of(name, pool)
        except IdentityFault as error:
            problems.add((*path, *error.fault.key), error.what, error.mend)
            pool = structs.replace(pool, user="", group="")
            person = person_of(name, pool)
        for fault in faults(pool, person, host):
            problems.add((*path, *fault.key), fault.what, fault.mend)


def person_of(name: str, pool: PoolConfig) -> Person:
    """Whom the processes of a pool become: what this one is, where the pool names nobody. Raises IdentityFault."""
    person = _account(name, pool.user) if pool.user else Person(os.getuid(), os.getgid(), "", "")
    gid = _gid(name, pool.group) if pool.group else person.gid
    return Person(person.uid, gid, person.name, person.home)


def host_now() -> Host:
    soft, _ = resource.getrlimit(resource.RLIMIT_NICE)
    return Host(
        uid=os.getuid(),
        gid=os.getgid(),
        capabilities=_capabilities(),
        nice=os.getpriority(os.PRIO_PROCESS, 0),
        best_nice=-20 if soft == UNLIMITED else 20 - soft,
        cpus=_online(),
        hard_limits={name: resource.getrlimit(_number(name))[1] for name in RLIMITS},
    )


def _asks(pool: PoolConfig) -> bool:
    return bool(pool.user or pool.group or pool.cpu_affinity or pool.rlimits or pool.nice != "inherit")


def _account(pool: str, user: str) -> Person:
    try:
        known = pwd.getpwnam(user)
    except KeyError:
        if not user.isdecimal() or int(user) >= 1 << 32:
            near = get_close_matches(user, [each.pw_name for each in pwd.getpwall()], 1)
            what = f"there is no user {show_value(user)} on this host"
            raise IdentityFault(pool, Fault(("user",), what, _did_you_mean(near))) from None
        try:
            known = pwd.getpwuid(int(user))
        except KeyError:  # a container may know numbers only
            return Person(int(user), int(user), "", "/")
    return Person(known.pw_uid, known.pw_gid, known.pw_name, known.pw_dir)


def _gid(pool: str, group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        if group.isdecimal() and int(group) < 1 << 32:
            return int(group)
        near = get_close_matches(group, [each.gr_name for each in grp.getgrall()], 1)
        what = f"there is no group {show_value(group)} on this host"
        raise IdentityFault(pool, Fault(("group",), what, _did_you_mean(near))) from None


def _did_you_mean(near: list[str]) -> str:
    return f'Did you mean "{near[0]}"?' if near else "Create it, or name another"


def _capabilities() -> int:
    with open("/proc/self/status", "rb") as status:
        return next((int(line.split()[1], 16) for line in status if line.startswith(b"CapEff:")), 0)


def _online() -> frozenset[int]:
    try:
        with open("/sys/devices/system/cpu/online", encoding="ascii") as file:
            ranges = [part.partition("-") for part in file.read().strip().split(",")]
    except OSError:  # a container may hide it
        return frozenset(range(os.cpu_count() or 1))
    return frozenset(cpu for first, _, last in ranges for cpu in range(int(first), int(last or first) + 1))


def _number(name: str) -> int:
    number: int = getattr(resource, f"RLIMIT_{name.upper()}")
    return number


# --- taking it on -----------------------------------------------------------------------------------------------------


def assume(name: str, pool: PoolConfig, groups: Iterable[int] = ()) -> None:
    """Become what the processes of this pool are to be, for good. Raises IdentityFault.

    What needs rights comes first, the user last but for the working folder, which that user must be able to enter.
    `groups` are taken beside the user's own.
    """
    person = person_of(name, pool)
    for fault in _limit(pool):
        raise IdentityFault(name, fault)
    if is_other(person, host_now()):
        _become(name, pool, person, groups)
    os.umask(int(pool.umask, 8))
    if pool.cwd:
        _enter(name, person, pool.cwd)


def _limit(pool: PoolConfig) -> Iterator[Fault]:
    """Priority, CPUs and limits; a fault where the kernel refuses."""
    if pool.nice != "inherit":
        try:
            os.setpriority(os.PRIO_PROCESS, 0, pool.nice)
        except OSError as refused:
            what = f"{pool.nice} cannot be had: {refused.strerror}"
            yield Fault(("nice",), what, "Leave it out, or give primectl CAP_SYS_NICE")
    if pool.cpu_affinity:
        wanted = set(pool.cpu_affinity)
        try:
            os.sched_setaffinity(0, wanted)
            missing = wanted - os.sched_getaffinity(0)
        except OSError:
            missing = wanted
        if missing:
            what = f"this process may not use CPU {min(missing)} (a cpuset keeps it from it)"
            yield Fault(("cpu_affinity",), what, "Choose others, or widen the cpuset")
    for name, value in pool.rlimits.items():
        limit = parse_limit(name, value)
        hard = resource.getrlimit(_number(name))[1]
        # At the hard limit of processor time the kernel sends SIGKILL, which tells nobody why; SIGXCPU comes before.
        upper = limit + 1 if name == "cpu" and limit != UNLIMITED and limit != hard else limit
        try:
            resource.setrlimit(_number(name), (limit, upper))
        except (OSError, ValueError) as refused:
            reason = refused.strerror if isinstance(refused, OSError) else str(refused)
            yield Fault(("rlimits", name), f"{show_limit(name, limit)} cannot be had: {reason}", "Lower it")


def _become(name: str, pool: PoolConfig, person: Person, groups: Iterable[int]) -> None:
    try:
        if pool.user:
            own = os.getgrouplist(person.name, person.gid) if person.name else [person.gid]
            os.setgroups(list(dict.fromkeys([*own, *groups])))
        os.setresgid(person.gid, person.gid, person.gid)
        os.setresuid(person.uid, person.uid, person.uid)
    except OSError as refused:
        what = f"this process cannot become {_whom(person)}: {refused.strerror}"
        mend = "Give primectl CAP_SETUID and CAP_SETGID, and a user that this container has"
        raise IdentityFault(name, Fault(("user",) if pool.user else ("group",), what, mend)) from None
    if pool.user:
        shown = person.name or str(person.uid)
        follow = {"HOME": person.home, "USER": shown, "LOGNAME": shown}
        os.environ.update({key: value for key, value in follow.items() if key not in pool.env})


def _enter(name: str, person: Person, folder: str) -> None:
    try:
        os.chdir(folder)
    except OSError as refused:
        what = f"{_whom(person)} cannot enter {folder}: {refused.strerror}"
        raise IdentityFault(name, Fault(("cwd",), what, "Make it, or open it to that user")) from None


def _whom(person: Person) -> str:
    return f"user {person.name or person.uid}"


def out_of_reach(pool: PoolConfig, import_path: str) -> str:
    """What another user, which this process is by now, lacks for imports; empty when nothing does.

    No fault by itself: whatever is imported already is there, and an import that fails tells.
    """
    if not pool.user:
        return ""
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    folders = [import_path, ours, os.path.dirname(os.__file__)]
    closed = [folder for folder in folders if not os.access(folder, os.R_OK | os.X_OK)]
    return f"user {pool.user} cannot read {' and '.join(closed)}, from where modules are imported" if closed else ""
