"""The group of a cluster's own, and the files that a process is given before it starts."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from primectl.config.model import ClusterConfig, Config, PoolConfig
from primectl.config.topology import ClusterFile, Place
from primectl.control.ways import by_descriptors
from primectl.errors import ConfigError
from supervisor import sharing
from supervisor.events import Kind
from supervisor.runtime import write_cluster_file

OTHER = "nobody" if os.getuid() == 0 else "root"
WHOLE, SMALL = [(0, 1 << 32)], [(0, 1), (1, 65536)]
"""Group numbers that a user namespace may have: all, or those of a container without root's rights."""


def a_place(folder: Path, name: str = "test") -> Place:
    return Place(name, str(folder / name), str(folder / "state"), str(folder / name))


def a_config(user: str) -> Config:
    pools = {"mine": PoolConfig(handler="m:f"), "theirs": PoolConfig(handler="m:f", user=user)}
    return Config(cluster=ClusterConfig(name="test"), pools=pools)


def test_a_cluster_of_one_user_has_no_group_of_its_own(tmp_path: Path) -> None:
    assert sharing.group_for(a_place(tmp_path), a_config("")) is None
    assert sharing.group_for(a_place(tmp_path), a_config(str(os.getuid()))) is None


@pytest.mark.parametrize(("mapped", "first"), [(WHOLE, 0x7000_0000), (SMALL, 60_578)])
def test_the_group_is_the_same_each_time_another_for_each_cluster_and_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mapped: list[tuple[int, int]], first: int
) -> None:
    monkeypatch.setattr(sharing, "_mapped", lambda: mapped)
    groups = [sharing.group_for(a_place(tmp_path, name), a_config(OTHER)) for name in ("a", "b", "a")]
    assert groups[0] == groups[2] != groups[1]
    assert groups[0] is not None
    assert groups[0] >= first
    taken = groups[0]
    monkeypatch.setattr(sharing, "_is_known", lambda group: group == taken)
    assert sharing.group_for(a_place(tmp_path, "a"), a_config(OTHER)) not in (None, taken)


def test_a_container_without_group_numbers_to_spare_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_mapped", lambda: [(0, 1)])
    with pytest.raises(ConfigError, match="no group number to be had"):
        sharing.group_for(a_place(tmp_path), a_config(OTHER))


def test_the_kernels_table_of_group_numbers_is_read(tmp_path: Path) -> None:
    group = sharing.group_for(a_place(tmp_path), a_config(OTHER))
    assert group is not None
    with pytest.raises(KeyError):
        grp.getgrgid(group)


@pytest.fixture
def cluster(tmp_path: Path) -> ClusterFile:
    if os.getuid() != 0:
        pytest.skip("only root can give files to others")
    place = a_place(tmp_path)
    os.makedirs(place.logs)
    os.mkdir(place.runtime)
    cluster = ClusterFile(place, a_config(OTHER), "test.toml", str(tmp_path))
    sharing.settle_folders(cluster)
    return cluster


def owner(path: str) -> int:
    return os.lstat(path).st_uid


def test_what_a_worker_writes_is_its_users_before_it_starts_older_logs_too(cluster: ClusterFile) -> None:
    uid = pwd.getpwnam(OTHER).pw_uid
    log = cluster.place.log_file("theirs.1")
    Path(f"{log}.1").touch()
    sharing.hand_over(cluster, "theirs.1", Kind.WORKER, "theirs")
    assert [owner(path) for path in (log, f"{log}.1", cluster.place.begun_file("theirs.1"))] == [uid] * 3
    sharing.hand_over(cluster, "mine.1", Kind.WORKER, "mine")
    assert owner(cluster.place.log_file("mine.1")) == 0


def test_the_first_worker_of_another_user_that_a_changed_config_brings_opens_the_folders(cluster: ClusterFile) -> None:
    sharing.settle_folders(structs.replace(cluster, config=a_config("")))
    sharing.hand_over(cluster, "mine.1", Kind.WORKER, "mine")
    assert os.stat(cluster.place.sockets).st_mode & 0o777 == 0o700
    sharing.hand_over(cluster, "theirs.1", Kind.WORKER, "theirs")
    assert os.stat(cluster.place.sockets).st_mode & 0o777 == 0o710


@pytest.mark.parametrize("kind", ["link", "second name", "pipe", "folder", "gap"])
def test_what_is_no_plain_file_is_not_followed_nor_given_away(cluster: ClusterFile, tmp_path: Path, kind: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    log = Path(cluster.place.log_file("theirs.1"))
    match kind:
        case "link":
            log.symlink_to(precious)
        case "second name":
            log.hardlink_to(precious)
        case "pipe":
            os.mkfifo(log)
        case "folder":
            log.mkdir()
        case "gap":
            log.symlink_to(tmp_path / "to be")
    sharing.hand_over(cluster, "theirs.1", Kind.WORKER, "theirs")
    assert (owner(str(precious)), precious.read_text()) == (0, "mine")
    assert not (tmp_path / "to be").exists()
    assert log.is_dir() if kind == "folder" else owner(str(log)) == pwd.getpwnam(OTHER).pw_uid


def test_folders_are_closed_again_for_a_cluster_of_one_user(cluster: ClusterFile) -> None:
    place = cluster.place
    assert os.stat(place.runtime).st_mode & 0o777 == 0o710
    assert sharing.open_folders(structs.replace(cluster, config=a_config(""))) is False
    assert os.stat(place.runtime).st_mode & 0o777 == 0o710
    sharing.settle_folders(structs.replace(cluster, config=a_config("")))
    assert [os.stat(folder).st_mode & 0o7777 for folder in (place.runtime, place.logs)] == [0o700, 0o700]


def test_workers_of_other_users_may_read_what_the_cluster_is_but_no_environment(cluster: ClusterFile) -> None:
    secret = structs.replace(cluster.config.pools["mine"], env={"PASSWORD": "hidden"})
    whole = structs.replace(cluster, config=structs.replace(cluster.config, pools={"mine": secret}))
    write_cluster_file(whole)
    theirs = Path(by_descriptors(whole).place.cluster_file)
    assert b"hidden" not in theirs.read_bytes()
    assert msgspec.json.decode(theirs.read_bytes(), type=ClusterFile).config.pools.keys() == {"mine"}
    assert theirs.stat().st_mode & 0o777 == 0o640
    assert theirs.stat().st_gid == os.stat(cluster.place.sockets).st_gid
    assert os.stat(cluster.place.cluster_file).st_mode & 0o777 == 0o600
    assert b"hidden" in Path(cluster.place.cluster_file).read_bytes()
