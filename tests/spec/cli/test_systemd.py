"""The systemd unit: what its lines come from, and that no path can mean something else in it."""

from __future__ import annotations

import pytest

from primectl.cli.systemd import Service, unit
from primectl.config.model import ClusterConfig, Config, PoolConfig, SupervisorConfig
from primectl.errors import ConfigError

CONFIG = Config(
    cluster=ClusterConfig(name="shop"),
    pools={"a": PoolConfig(handler="m:f", start_timeout=40.0), "b": PoolConfig(handler="m:f")},
    supervisor=SupervisorConfig(stop_timeout=60.5),
)
SERVICE = Service(config=CONFIG, python="/opt/venv/bin/python", file="/srv/shop/primectl.toml", user="shop")


def settings(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def test_a_unit_of_the_system_runs_as_who_asked_in_folders_that_the_manager_makes() -> None:
    found = settings(unit(SERVICE))
    assert found["ExecStart"] == "/opt/venv/bin/python -P -m primectl up -f /srv/shop/primectl.toml"
    assert (found["WorkingDirectory"], found["User"], found["Type"]) == ("/srv/shop", "shop", "notify")
    assert found["RuntimeDirectory"] == found["StateDirectory"] == "primectl/shop"
    assert found["Environment"] == "XDG_RUNTIME_DIR=/run XDG_STATE_HOME=/var/lib"
    assert found["WantedBy"] == "multi-user.target"


def test_a_unit_of_ones_own_has_the_folders_of_the_shell() -> None:
    own = unit(Service(config=CONFIG, python="/p", file="/f", user="", state_home="/data/100% state"))
    found = settings(own)
    assert not found.keys() & {"User", "RuntimeDirectory", "StateDirectory", "ProtectSystem"}
    assert found["Environment"] == '"XDG_STATE_HOME=/data/100%% state"'
    assert (found["WantedBy"], found["WorkingDirectory"]) == ("default.target", "/")


def test_a_death_of_the_supervisor_leaves_the_others_for_the_next_to_take_over() -> None:
    found = settings(unit(SERVICE))
    assert (found["KillMode"], found["Restart"], found["RuntimeDirectoryPreserve"]) == ("process", "on-failure", "yes")
    assert (found["OOMPolicy"], found["RestartPreventExitStatus"]) == ("continue", "2")


def test_its_timeouts_are_those_of_the_config_and_more() -> None:
    found = settings(unit(SERVICE))
    assert (found["TimeoutStartSec"], found["TimeoutStopSec"], found["WatchdogSec"]) == ("110s", "76s", "30s")


@pytest.mark.parametrize(
    ("file", "word", "folder"),
    [
        ("/a b/c.toml", '"/a b/c.toml"', "/a b"),
        ("/100%n/c.toml", '"/100%%n/c.toml"', "/100%%n"),
        ("/$HOME/c.toml", '"/$$HOME/c.toml"', "/$HOME"),
        ('/a"b\\c/c.toml', '"/a\\"b\\\\c/c.toml"', '/a"b\\c'),
        ("/a;b/c.toml", '"/a;b/c.toml"', "/a;b"),
    ],
)
def test_a_path_is_itself_whatever_its_letters_mean_in_a_unit(file: str, word: str, folder: str) -> None:
    found = settings(unit(Service(config=CONFIG, python="/p", file=file, user="shop")))
    assert found["ExecStart"] == f"/p -P -m primectl up -f {word}"
    assert found["WorkingDirectory"] == folder


@pytest.mark.parametrize("file", ["/a\nUser=root/c.toml", "/a /c.toml", "/a\\/c.toml", "/a\x7f/c.toml"])
def test_a_path_that_a_unit_cannot_name_is_refused(file: str) -> None:
    with pytest.raises(ConfigError, match="cannot be named in a unit"):
        unit(Service(config=CONFIG, python="/p", file=file, user="shop"))


def test_a_cluster_of_another_name_than_the_files_keeps_it() -> None:
    renamed = unit(Service(config=CONFIG, python="/p", file="/f", user="shop", renamed=True))
    assert settings(renamed)["ExecStart"].endswith(" -c shop")
