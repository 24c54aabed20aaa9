"""What a service manager is told: each change once, in the words of sd_notify(3)."""

from __future__ import annotations

import pytest

from primectl.wire.control import Stop
from primectl.wire.stats import ClusterState
from supervisor.standing import Standing, news
from tests.support.world import World, a_running_world

STARTING, RUNNING = Standing(), Standing(ClusterState.RUNNING)
RELOADING = Standing(ClusterState.RUNNING, reloading=True)
STOPPING, FAILED = Standing(ClusterState.STOPPING), Standing(ClusterState.FAILED)

READY = ["READY=1", "MAINPID=7"]
STOPS = ["STOPPING=1"]


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (STARTING, STARTING, []),
        (STARTING, RUNNING, READY),
        (STARTING, STOPPING, STOPS),
        (STARTING, FAILED, STOPS),
        (RUNNING, RUNNING, []),
        (RUNNING, RELOADING, ["RELOADING=1", "MONOTONIC_USEC=123456"]),
        (RUNNING, STOPPING, STOPS),
        (RELOADING, RELOADING, []),
        (RELOADING, RUNNING, READY),
        (RELOADING, STOPPING, STOPS),
        (STOPPING, STOPPING, []),
        (STOPPING, FAILED, []),
    ],
)
def test_each_change_is_told_once(before: Standing, now: Standing, told: list[str]) -> None:
    assert news(before, now, 7, 123456) == told


def test_the_status_is_told_when_it_is_another() -> None:
    assert news(STARTING, Standing(status="waiting"), 7, 1) == ["STATUS=waiting"]
    assert news(Standing(status="waiting"), Standing(status="waiting"), 7, 1) == []


def test_the_status_has_what_a_start_waits_for_then_the_numbers_then_that_it_stops() -> None:
    world = World()
    world.imports = False
    world.start()
    assert world.cluster.standing().status == "3 of 6 processes ready, importing the handler of parse, compute"
    world = a_running_world()
    assert world.cluster.standing() == Standing(ClusterState.RUNNING, status="6 processes, 2 pools")
    world.ask(Stop(5.0))
    assert world.cluster.standing().state is ClusterState.STOPPING
