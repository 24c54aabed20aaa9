"""Limits and identity of workers, as the handler sees them; what cannot be had is refused before anything starts."""

from __future__ import annotations

import json
import os
import pwd
import resource
import signal
import stat
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import ClusterUnderTest, wait_until
from tests.support.otherusers import (
    NOT_ROOT,
    STRANGER,
    USER,
    ClusterOfOthers,
    can_be_made_readable,
    reached,
)

WHO = """
import os, resource
from primectl import Response

IMPORTED_BY = os.getuid()

def seen():
    umask = os.umask(0)
    os.umask(umask)
    return {
        "imported_by": IMPORTED_BY,
        "users": os.getresuid(),
        "groups": os.getresgid(),
        "cwd": os.getcwd(),
        "umask": umask,
        "nice": os.nice(0),
        "cpus": sorted(os.sched_getaffinity(0)),
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "cpu": resource.getrlimit(resource.RLIMIT_CPU),
        "env": {name: os.environ.get(name) for name in ("HOME", "USER", "LOGNAME", "WANTED")},
    }

def who(request, job):
    print("x" * int(request.query.get("say", "0")))
    return Response.json(seen())
"""

HEAD = """
[cluster]
name = "{name}"
[server]
listen = "http://127.0.0.1:0"
[supervisor]
log_size = "4KiB"
[routes]
"/forked" = "forked"
"/execed" = "execed"
"""

LIMITS = """
handler = "who:who"
cwd = "work"
umask = "027"
nice = 7
cpu_affinity = [0]
rlimits = {{ nofile = 300, core = 0, cpu = "1h" }}
env = {{ WANTED = "yes" }}
spawn = "{spawn}"
"""


def pools(more: str = "") -> str:
    return "".join(
        f"[pools.{name}]{LIMITS.format(spawn=spawn)}{more}\n"
        for name, spawn in (("forked", "fork"), ("execed", "exec"))
    )


def ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def test_a_handler_finds_the_limits_that_its_pool_asks_for_forked_or_not() -> None:
    with ClusterUnderTest(HEAD + pools(), name="limits", files={"who.py": WHO}) as cluster:
        (cluster.folder / "work").mkdir()
        cluster.up()
        for pool in ("forked", "execed"):
            found = ask(f"{cluster.url}/{pool}")
            assert found["cwd"] == str(cluster.folder / "work")
            assert (found["umask"], found["nice"], found["cpus"]) == (0o027, 7, [0])
            assert (found["nofile"], found["core"], found["cpu"]) == ([300, 300], [0, 0], [3600, 3601])
            assert (found["users"], found["env"]["WANTED"]) == ([os.getuid()] * 3, "yes")


def test_what_cannot_be_had_is_one_line_each_and_nothing_is_started() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wrong = """
[pools.forked]
handler = "who:who"
user = "nobdy"
[pools.execed]
handler = "who:who"
cpu_affinity = [8191]
cwd = "not-there"
rlimits = { nofile = 9000000000000000 }
"""
    with ClusterUnderTest(HEAD + wrong, name="wrong", files={"who.py": "raise SystemExit('imported')\n"}) as cluster:
        for command in (["check"], ["up", "-d"], ["up"]):
            lines = cluster.cli(*command, code=2).stderr.splitlines()
            assert lines[0] == (
                'primectl.toml: pools.forked.user: there is no user "nobdy" on this host. Did you mean "nobody"?'
            )
            assert lines[1].startswith(
                "primectl.toml: pools.execed.cpu_affinity[1]: there is no CPU 8191 on this host. "
            )
            assert lines[2] == (
                f"primectl.toml: pools.execed.cwd: expected a folder, {cluster.folder}/not-there does not exist. "
                "Make it, or name another."
            )
        assert cluster.files_left() == []
        # Whoever may raise hard limits is refused by the kernel: no process may have so many files.
        cluster.file.write_text(cluster.file.read_text().replace('user = "nobdy"', "").replace("[8191]", "[0]"))
        (cluster.folder / "not-there").mkdir()
        (cluster.folder / "who.py").write_text(WHO)
        (line,) = cluster.cli("check", code=2).stderr.splitlines()
        assert line.startswith("primectl.toml: pools.execed.rlimits.nofile: ")
        assert f"the hard limit here is {hard}" in line or "cannot be had" in line


def skip_where_there_are_no_others() -> None:
    if os.getuid() != 0:
        pytest.skip(NOT_ROOT)
    if not can_be_made_readable():
        pytest.skip("other users cannot read this Python, and there is no right to mount (CAP_SYS_ADMIN)")


@pytest.fixture(scope="module")
def others() -> Iterator[ClusterOfOthers]:
    skip_where_there_are_no_others()
    with ClusterOfOthers(HEAD + pools(f'user = "{USER}"'), files={"who.py": WHO}) as cluster:
        (cluster.folder / "work").mkdir()
        yield cluster.up()


@pytest.mark.parametrize("pool", ["forked", "execed"])
def test_a_worker_of_another_user_has_that_users_identity_before_its_handler_is_imported(
    others: ClusterOfOthers, pool: str
) -> None:
    account = pwd.getpwnam(USER)
    found = ask(f"{others.url}/{pool}")
    assert found["imported_by"] == account.pw_uid
    assert found["users"] == [account.pw_uid] * 3
    assert found["groups"] == [account.pw_gid] * 3
    assert found["env"] == {"HOME": account.pw_dir, "USER": USER, "LOGNAME": USER, "WANTED": "yes"}
    assert (found["umask"], found["nice"], found["cpus"], found["nofile"]) == (0o027, 7, [0], [300, 300])


@pytest.mark.parametrize("pool", ["forked", "execed"])
def test_it_is_scaled_killed_and_replaced_like_any_other(others: ClusterOfOthers, pool: str) -> None:
    others.cli("scale", f"{pool}=3")
    others.cli("restart", pool)
    pid = others.pids()[f"{pool}.1"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: others.pids()[f"{pool}.1"] not in (0, pid))
    others.cli("kill", pool, "--yes")
    assert ask(f"{others.url}/{pool}")["users"][0] == pwd.getpwnam(USER).pw_uid
    others.cli("scale", f"{pool}=1")


@pytest.mark.parametrize("pool", ["forked", "execed"])
def test_it_writes_and_rotates_its_own_log_and_notes_what_it_begins(others: ClusterOfOthers, pool: str) -> None:
    uid = pwd.getpwnam(USER).pw_uid
    log = Path(others.place.log_file(f"{pool}.1"))
    for _ in range(3):
        ask(f"{others.url}/{pool}?say=3000")
    older = Path(f"{log}.1")
    wait_until(older.exists, what="a rotated log")
    for file in (log, older, Path(others.place.begun_file(f"{pool}.1"))):
        assert (file.stat().st_uid, stat.S_IMODE(file.stat().st_mode)) == (uid, 0o600)
    assert others.pool(pool)["failed"] == 0


def test_only_who_has_the_clusters_own_group_reaches_its_workers_sockets_and_nobody_the_operators(
    others: ClusterOfOthers,
) -> None:
    folder = others.place.sockets
    names = {path.name for path in Path(folder).iterdir() if path.is_socket()}
    assert names >= {"commands", "stats", "feed", "control", "pool.forked.in", "pool.forked.out", "loopback.server.1"}
    assert reached(folder, names, STRANGER) == set()
    assert reached(folder, names, USER) == set(), "being the same user is not enough"
    data_plane = {name for name in names if name.startswith(("pool.", "loopback."))} | {"commands", "stats"}
    assert reached(folder, names, STRANGER, [os.stat(folder).st_gid]) == data_plane


def test_a_link_that_a_worker_has_put_where_a_log_comes_to_be_is_not_followed(others: ClusterOfOthers) -> None:
    precious = others.folder / "precious"
    precious.write_text("mine\n")
    for name in ("forked.2.log", "execed.2.log"):
        Path(others.place.logs, name).unlink(missing_ok=True)
        Path(others.place.logs, name).symlink_to(precious)
    others.cli("scale", "forked=2", "execed=2")
    assert (precious.read_text(), precious.stat().st_uid) == ("mine\n", os.getuid())
    others.cli("scale", "forked=1", "execed=1")


def test_a_dump_of_it_is_had_like_any_other(others: ClusterOfOthers) -> None:
    told = others.cli("dump", "all").stdout
    assert "forked.1" in told
    assert "execed.1" in told
    assert not [line for line in others.json("logs", "-n", "1000")["lines"] if "no dump" in line["text"]]


def test_it_is_taken_over_by_the_next_supervisor_and_obeys_it(others: ClusterOfOthers) -> None:
    before, url = others.pids(), others.url
    os.kill(before["supervisor"], signal.SIGKILL)
    assert ask(f"{url}/forked")["users"][0] == pwd.getpwnam(USER).pw_uid
    others.cli("up", "-d")
    after = others.pids()
    assert after.pop("supervisor") != before.pop("supervisor")
    assert after == before
    others.cli("scale", "forked=2", "execed=2")
    others.cli("kill", "all", "--yes")
    others.cli("scale", "forked=1", "execed=1")
    for pool in ("forked", "execed"):
        assert ask(f"{others.url}/{pool}")["users"][0] == pwd.getpwnam(USER).pw_uid


def test_a_changed_config_is_applied_to_workers_of_other_users_and_brings_or_takes_the_user() -> None:
    plain, theirs = HEAD + pools(), HEAD + pools(f'user = "{USER}"')
    skip_where_there_are_no_others()
    with ClusterOfOthers(plain, files={"who.py": WHO}) as cluster:
        (cluster.folder / "work").mkdir()
        cluster.up()
        url, uid = cluster.url, pwd.getpwnam(USER).pw_uid
        for config, expected in ((theirs, uid), (theirs.replace("027", "022"), uid), (plain, 0)):
            cluster.file.write_text(
                config.replace("{name}", cluster.name).replace("127.0.0.1:0", url[len("http://") :])
            )
            cluster.cli("apply", str(cluster.file))
            for pool in ("forked", "execed"):
                assert ask(f"{url}/{pool}")["users"] == [expected] * 3
                cluster.cli("scale", f"{pool}=2")
                cluster.cli("scale", f"{pool}=1")
        lines = [line["text"] for line in cluster.json("logs", "-n", "1000")["lines"]]
        assert not [line for line in lines if "cannot be read" in line]


def test_a_user_that_cannot_enter_the_folder_is_refused_by_check(others: ClusterOfOthers) -> None:
    (others.folder / "mine").mkdir(mode=0o700)
    (others.folder / "other.toml").write_text(
        others.file.read_text().replace('"work"', '"mine"').replace('"others"', '"elsewhere"')
    )
    for command in (["check"], ["up", "-d"]):
        lines = others.cli(*command, "-f", "other.toml", code=2).stderr.splitlines()
        assert lines[0] == (
            f"other.toml: pools.forked.cwd: user {USER} cannot enter {others.folder}/mine: Permission denied. "
            "Make it, or open it to that user."
        )


def test_who_is_not_root_is_told_so(others: ClusterOfOthers) -> None:
    stranger = pwd.getpwnam(STRANGER)
    told = others.check_as(STRANGER).stderr.splitlines()
    assert told[0] == (
        "primectl.toml: pools.forked.user: only root can run workers as another user, "
        f"and this is user {stranger.pw_uid}. Start primectl as root, or leave it out."
    )
