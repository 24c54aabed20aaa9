"""Which cluster a command means."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from primectl.cli.choose import choose, place_for, running_clusters
from primectl.config import topology
from primectl.errors import ConfigError


def not_asked() -> str:
    raise AssertionError("the file is not needed")


def test_the_one_cluster_that_runs_is_meant_whatever_the_file_here_says() -> None:
    assert choose(["shop"], not_asked) == "shop"


def test_without_a_running_cluster_the_one_in_the_file_is_meant() -> None:
    assert choose([], lambda: "prime") == "prime"


def test_among_several_the_one_in_the_file_here_is_meant() -> None:
    assert choose(["art", "prime", "shop"], lambda: "prime") == "prime"


def test_without_any_cluster_or_file_the_sample_is_meant() -> None:
    assert choose([], lambda: None) == "prime"


def test_the_sample_is_not_meant_just_because_there_is_no_file() -> None:
    with pytest.raises(ConfigError, match="Choose one"):
        choose(["prime", "shop"], lambda: None)


def test_several_that_are_all_elsewhere_are_named_for_a_choice() -> None:
    with pytest.raises(ConfigError) as caught:
        choose(["shop", "art"], lambda: "prime")
    assert str(caught.value) == "2 clusters run: art, shop. Choose one with -c NAME"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["", "Prime", "../prime", "a/b", "-x", "ä", "a" * 32, "a\n"])
def test_what_cannot_be_a_clusters_name_never_becomes_a_path(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a cluster"):
        place_for(name)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The runtime folder of a cluster `shop` that runs as a service of the system."""
    services = {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "XDG_STATE_HOME": str(tmp_path / "lib")}
    monkeypatch.setattr(topology, "SERVICES", services)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    runtime = tmp_path / "run" / "primectl" / "shop"
    runtime.mkdir(parents=True)
    (runtime / "supervisor.pid").write_text(f"{os.getpid()}\n")
    with open(runtime / "supervisor.pid") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        yield str(runtime)


def test_a_cluster_that_is_a_service_of_the_system_is_found(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert running_clusters() == {"shop": os.getpid()}
    assert place_for("shop").runtime == service
    assert place_for("other").runtime != service


def test_who_says_where_clusters_are_is_not_shown_services(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/somewhere/else")
    assert running_clusters() == {}
    assert place_for("shop").runtime == "/somewhere/else/primectl/shop"
