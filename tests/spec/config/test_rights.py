"""What a host does not allow of limits and identity: each rule with what it says, and the keys' own mistakes."""

from collections.abc import Callable

import pytest
from msgspec import structs

from primectl.config.model import PoolConfig
from primectl.config.rights import CAP_SETGID, CAP_SETUID, CAP_SYS_NICE, CAP_SYS_RESOURCE, Fault, Host, Person, faults
from primectl.config.rlimits import RLIMITS, UNLIMITED, parse_limit

Lines = Callable[[str], list[str]]

HARD = dict.fromkeys(RLIMITS, UNLIMITED) | {"nofile": 4096, "as": 1 << 30}
MORTAL = Host(uid=1000, gid=1000, capabilities=0, nice=0, best_nice=20, cpus=frozenset({0, 1}), hard_limits=HARD)
EVERY = sum(1 << each for each in (CAP_SETUID, CAP_SETGID, CAP_SYS_NICE, CAP_SYS_RESOURCE))
ROOT = structs.replace(MORTAL, uid=0, gid=0, capabilities=EVERY)
WWW = Person(33, 33, "www-data", "/var/www")


def myself(host: Host) -> Person:
    return Person(host.uid, host.gid, "", "")


def found(host: Host, person: Person | None = None, **settings: object) -> list[Fault]:
    pool = PoolConfig(handler="m:f", **settings)  # type: ignore[arg-type]
    return list(faults(pool, person or myself(host), host))


def test_root_may_have_it_all() -> None:
    limits = {"nofile": 1 << 20, "as": "unlimited", "cpu": "10m"}
    assert found(ROOT, WWW, user="www-data", nice=-20, cpu_affinity=(0, 1), rlimits=limits) == []


def test_whoever_asks_for_nothing_beyond_his_rights_gets_it() -> None:
    assert found(MORTAL, user="1000", nice=19, cpu_affinity=(1,), rlimits={"nofile": 4096, "as": "1GiB"}) == []


def test_only_root_has_workers_of_other_users_and_groups() -> None:
    assert found(MORTAL, WWW, user="www-data") == [
        Fault(
            ("user",),
            "only root can run workers as another user, and this is user 1000",
            "Start primectl as root, or leave it out",
        )
    ]
    assert [fault.key for fault in found(MORTAL, Person(1000, 33, "", ""), group="www-data")] == [("group",)]


def test_a_root_without_the_capabilities_is_told_which() -> None:
    (fault,) = found(structs.replace(ROOT, capabilities=0), WWW, user="www-data")
    assert fault.what == "this process may not change its user (it lacks CAP_SETUID or CAP_SETGID)"


@pytest.mark.parametrize(
    ("nice", "now", "best", "allowed"),
    [(-1, 0, 20, False), (0, 0, 20, True), (4, 5, 20, False), (5, 5, 20, True), (-5, 0, -5, True), (-6, 0, -5, False)],
)
def test_priority_rises_only_with_rights_or_as_far_as_rlimit_nice_lets_it(
    nice: int, now: int, best: int, allowed: bool
) -> None:
    host = structs.replace(MORTAL, nice=now, best_nice=best)
    assert [fault.key for fault in found(host, nice=nice)] == ([] if allowed else [("nice",)])
    assert found(structs.replace(host, capabilities=1 << CAP_SYS_NICE), nice=nice) == []


def test_a_cpu_that_is_not_there_is_named_at_its_place_in_the_list() -> None:
    assert found(ROOT, cpu_affinity=(1, 7)) == [
        Fault(("cpu_affinity", 1), "there is no CPU 7 on this host", "It has 0 to 1")
    ]


def test_a_hard_limit_is_raised_by_nobody_but_who_may() -> None:
    assert found(MORTAL, rlimits={"nofile": 4097, "as": "unlimited", "core": 0}) == [
        Fault(
            ("rlimits", "nofile"),
            "the hard limit here is 4096, got 4097",
            "Raise it where primectl is started (ulimit -H), or lower this",
        ),
        Fault(
            ("rlimits", "as"),
            'the hard limit here is "1GiB", got "unlimited"',
            "Raise it where primectl is started (ulimit -H), or lower this",
        ),
    ]


@pytest.mark.parametrize(
    ("name", "value", "limit"),
    [
        ("nofile", 0, 0),
        ("as", "2GiB", 2 << 30),
        ("as", 4096, 4096),
        ("cpu", "1500ms", 2),
        ("cpu", 60, 60),
        ("nproc", "unlimited", UNLIMITED),
    ],
)
def test_a_limit_is_a_number_or_has_the_unit_of_its_name(name: str, value: int | str, limit: int) -> None:
    assert parse_limit(name, value) == limit


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("rlimits = { nofil = 1 }", 'rlimits.nofil: unknown limit. Did you mean "nofile"?'),
        ("rlimits = { RLIMIT_AS = 1 }", 'rlimits.RLIMIT_AS: unknown limit. Did you mean "as"?'),
        ('rlimits = { nofile = "1KiB" }', 'rlimits.nofile: expected a whole number or "unlimited", got "1KiB"'),
        (
            'rlimits = { cpu = "1KiB" }',
            'rlimits.cpu: expected a duration such as "10m", a whole number of seconds or "unlimited", got "1KiB"',
        ),
        (
            'rlimits = { as = "1h" }',
            'rlimits.as: expected a size such as "64MiB", a whole number of bytes or "unlimited", got "1h"',
        ),
        ("rlimits = { as = -1 }", "rlimits.as: expected a whole number >= 0 or a text, got -1"),
        (
            "rlimits = { cpu = 0 }",
            "rlimits.cpu: expected more than 0 seconds, got 0. A worker needs some processor time.",
        ),
        (
            'rlimits = { fsize = "1MiB" }',
            'rlimits.fsize: expected at least supervisor.log_size, which is "16MiB", got "1MiB". '
            "A worker writes its own log: raise it, or lower log_size.",
        ),
        ('umask = "888"', 'umask: expected octal digits, got "888". Write it such as "022".'),
        ("umask = 22", 'umask: expected a text in quotes, got 22. Write "22".'),
        ("nice = 20", 'nice: expected "inherit" or a whole number from -20 to 19, got 20'),
        ("cpu_affinity = 1", "cpu_affinity: expected a list of whole numbers, got 1. Write it as [0, 1]."),
        ("cpu_affinity = [-1]", "cpu_affinity[1]: expected a whole number >= 0, got -1"),
        ('user = "no such"', 'user: expected the name or the number of a user, got "no such"'),
        ('cwd = "not/there"', None),
    ],
)
def test_a_wrong_value_is_told_in_one_line(problems_of: Lines, line: str, problem: str | None) -> None:
    (told,) = problems_of(f'[routes]\n"/x" = "work"\n[pools.work]\nhandler = "json:dumps"\n{line}\n')
    if problem is None:
        assert told.endswith("/not/there does not exist. Make it, or name another.")
    else:
        assert told == f"my.toml: pools.work.{problem}"


def test_users_and_groups_that_the_host_does_not_know_are_told_with_the_nearest(problems_of: Lines) -> None:
    head = '[routes]\n"/x" = "work"\n[pools.work]\nhandler = "json:dumps"\n'
    assert problems_of(f'{head}user = "rooot"\n') == [
        'my.toml: pools.work.user: there is no user "rooot" on this host. Did you mean "root"?'
    ]
    assert problems_of(f'{head}group = "q/u/x/e"\n') == [
        'my.toml: pools.work.group: there is no group "q/u/x/e" on this host. Create it, or name another.'
    ]


def test_a_mistake_in_one_key_does_not_hide_what_the_host_says_of_another(problems_of: Lines) -> None:
    text = '[routes]\n"/x" = "work"\n[pools.work]\nhandler = "json:dumps"\nnice = 99\nrlimits = { nofil = 1 }\n'
    assert [line.split(": ")[1] for line in problems_of(f'{text}cpu_affinity = [8191]\nuser = "rooot"\n')] == [
        "pools.work.nice",
        "pools.work.rlimits.nofil",
        "pools.work.cpu_affinity[1]",
        "pools.work.user",
    ]
