"""The feed: the last snapshot at once, then four a second; events; log lines."""

import pytest

from primectl.control.client import EVENTS, LOGS, SNAPSHOTS, Feed
from primectl.wire.control import Scale, Scaled
from primectl.wire.stats import EventPublished, LogsPublished, SnapshotPublished
from tests.support.running import PATIENCE_S, running, standin_config


@pytest.fixture
def up(tmp_path):
    with running(tmp_path, standin_config(1)) as up:
        yield up
        up.stop()


def until(feed, wanted):
    while feed.wait(PATIENCE_S):
        for message in feed.receive():
            if (found := wanted(message)) is not None:
                return found
    raise AssertionError("it did not come")


def test_a_new_listener_gets_a_snapshot_at_once_and_fresh_ones_after(up):
    with Feed(up.place, [SNAPSHOTS]) as feed:
        first = until(feed, lambda m: m.snapshot if isinstance(m, SnapshotPublished) else None)
        assert first.state == "running"
        later = until(feed, lambda m: m.snapshot if m.snapshot.time > first.time else None)
        assert later.uptime_s > first.uptime_s


def test_events_are_published_as_they_happen(up):
    with Feed(up.place, [EVENTS, SNAPSHOTS]) as feed:
        until(feed, lambda m: m if isinstance(m, SnapshotPublished) else None)
        up.ask("POST", "/scale", Scale("work", "2"), Scaled)
        event = until(feed, lambda m: m.event if isinstance(m, EventPublished) else None)
        assert (event.kind, event.subject, event.text) == ("scale", "work", "scale work from 1 to 2")


def test_log_lines_are_published_while_somebody_listens(up):
    with Feed(up.place, [LOGS, SNAPSHOTS]) as feed:
        until(feed, lambda m: m if isinstance(m, SnapshotPublished) else None)
        with open(up.place.log_file("work.1"), "a") as log:
            log.write("hello from work\n")
        lines = until(feed, lambda m: m.lines if isinstance(m, LogsPublished) else None)
        assert ("work.1", "hello from work") in [(line.process, line.text) for line in lines]
