"""Processor time and memory of processes, a few at a time."""

import os
import subprocess
import sys

from supervisor.probe import TURNS, Probe


class Clock:
    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        self.now += 1.0
        return self.now

    def wall(self):
        return 0.0


def test_a_new_process_is_looked_at_in_the_next_turn_and_then_once_a_round():
    probe = Probe(Clock())
    for number in range(2 * TURNS):
        probe.add(f"w.{number}", 1, os.getpid())
    first = probe.turn()
    assert len(first) == 2 * TURNS
    assert all(probed.rss_bytes > 1 << 20 for probed in first)
    rounds = [probed.process for _ in range(TURNS) for probed in probe.turn()]
    assert sorted(rounds) == sorted(f"w.{number}" for number in range(2 * TURNS))


def test_processor_time_is_a_share_of_the_time_between_two_looks():
    clock = Clock()
    probe = Probe(clock)
    probe.add("me", 1, os.getpid())
    probe.turn()
    sum(range(3_000_000))
    (probed,) = probe.turn()
    assert 0.0 < probed.cpu_percent < 1000.0


def test_what_has_ended_or_was_removed_is_left_out():
    probe = Probe(Clock())
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    probe.add("gone", 1, gone.pid)
    probe.add("removed", 1, os.getpid())
    probe.remove("removed", 1)
    probe.add("me", 1, os.getpid())
    assert [probed.process for probed in probe.turn()] == ["me"]
    probe.remove("me", 1)
    assert probe.turn() == []
