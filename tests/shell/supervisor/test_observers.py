"""Nothing that an observer does slows the supervisor: orders are answered while all of this goes on."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager

import psutil
import pytest
import zmq

from primectl.config.topology import CONTROL, FEED
from primectl.control.client import EVENTS, Feed
from primectl.wire import frames
from primectl.wire.control import Events, EventsQuery, Kill, Killed, LogsQuery, Reply, Request, Scale, Scaled
from primectl.wire.stats import EventPublished
from tests.support.running import PATIENCE_S, eventually, running, standin_config


@pytest.fixture
def up(tmp_path):
    with running(tmp_path, standin_config(2, spawn="fork")) as up:
        yield up
        up.stop()


@pytest.fixture
def sockets():
    context = zmq.Context()
    opened = []

    def connect(kind, endpoint):
        socket = context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        opened.append(socket)
        if kind == zmq.SUB:
            socket.setsockopt(zmq.RCVHWM, 1)
            socket.subscribe(b"")
        socket.connect(endpoint)
        return socket

    yield connect
    for socket in opened:
        socket.close()
    context.term()


def operate(up, rounds=3):
    """What an operator wants while all that goes on; each order ends as it should."""
    for _ in range(rounds):
        assert up.ask("POST", "/scale", Scale("work", "6"), Scaled).after == 6
        assert up.ask("POST", "/kill", Kill("work.1"), Killed).acknowledged == ["work.1"]
        assert up.ask("POST", "/scale", Scale("work", "2"), Scaled).after == 2
    assert [p.state for p in up.snapshot().processes if p.role == "worker"] == ["running"] * 2


def memory(up):
    return psutil.Process(up.process.pid).memory_info().rss


def question(number, path="/logs", body=None):
    return frames.encode(Request(number, "GET", path, frames.raw(body or LogsQuery("all", 1_000_000_000))))


def test_hundreds_of_subscribers_that_never_read_hold_up_nobody(up, sockets):
    before = memory(up)
    for _ in range(300):
        sockets(zmq.SUB, up.place.endpoint(FEED))
    operate(up)
    assert memory(up) - before < 60 << 20


def test_a_subscriber_that_comes_and_goes_without_end_makes_no_snapshot_each_time(up, sockets):
    feed = sockets(zmq.XSUB, up.place.endpoint(FEED))
    stopped = threading.Event()

    def flood():
        while not stopped.is_set():
            for word in (b"\x01snapshot", b"\x00snapshot"):
                try:
                    feed.send(word, zmq.NOBLOCK)
                except zmq.Again:
                    stopped.wait(0.001)

    with in_background(flood, stopped):
        operate(up)


def test_a_client_that_asks_without_end_and_never_reads_an_answer_holds_up_nobody(up, sockets):
    with open(up.place.log_file("work.1"), "a") as log:
        log.writelines(f"line {number}\n" for number in range(200_000))
    greedy = sockets(zmq.DEALER, up.place.endpoint(CONTROL))
    stopped = threading.Event()

    def flood():
        number = 0
        while not stopped.is_set():
            number += 1
            try:
                greedy.send(question(number, ("/logs", "/cluster")[number % 2]), zmq.NOBLOCK)
            except zmq.Again:
                stopped.wait(0.001)

    before = memory(up)
    with in_background(flood, stopped):
        operate(up)
    assert memory(up) - before < 400 << 20


def test_who_asks_too_much_at_once_is_refused_and_others_are_answered(up, sockets):
    greedy, modest = (sockets(zmq.DEALER, up.place.endpoint(CONTROL)) for _ in range(2))
    for number in range(1, 41):
        greedy.send(question(number))
    modest.send(question(1, "/cluster"))
    assert modest.poll(PATIENCE_S * 1000)
    assert frames.control_reply(modest.recv()).status == 200
    replies: list[Reply] = []
    while len(replies) < 40 and greedy.poll(PATIENCE_S * 1000):
        replies.append(frames.control_reply(greedy.recv()))
    assert {reply.id for reply in replies} == set(range(1, 41))
    assert {reply.status for reply in replies} <= {200, 409}
    assert [reply.status for reply in replies].count(200) >= 32


def test_a_console_that_is_stopped_holds_up_nobody(up):
    console = """
import sys
from primectl.config.topology import Place
from primectl.control.client import EVENTS, LOGS, SNAPSHOTS, Feed
with Feed(Place(*sys.argv[1:]), [SNAPSHOTS, EVENTS, LOGS]) as feed:
    feed.wait(20)
    print("reading", flush=True)
    while True:
        feed.wait(1)
        feed.receive()
"""
    place = up.place
    with ExitStack() as opened:
        for _ in range(3):
            process = opened.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", console, place.cluster, place.runtime, place.state, place.sockets],
                    env=up.environ,
                    stdout=subprocess.PIPE,
                )
            )
            opened.callback(process.kill)
            assert process.stdout.readline()
            os.kill(process.pid, signal.SIGSTOP)
        operate(up)


def test_a_reader_that_missed_events_sees_the_gap_and_gets_them(up):
    known = up.ask("GET", "/events", EventsQuery(1, states=True), Events).events[-1].number
    with Feed(up.place, [EVENTS]) as feed:
        operate(up, 1)
        eventually(lambda: feed.wait(0.0))
        seen = [event for m in feed.receive() if isinstance(m, EventPublished) for event in m.events]
    assert [event.number for event in seen] == list(range(seen[0].number, seen[-1].number + 1))
    told = up.ask("GET", "/events", EventsQuery(1000, since=known, states=True), Events).events
    assert [event.number for event in told] == list(range(known + 1, told[-1].number + 1))
    assert set(map(str, seen)) <= set(map(str, told))
    ends = [event.subject for event in told if (event.before, event.after) == ("draining", "exited")]
    assert len(set(ends)) == 4
    for worker in ("work.3", "work.6"):
        moves = [(event.before, event.after) for event in told if event.kind == "state" and event.subject == worker]
        assert moves[:2] == [("exited", "starting"), ("starting", "running")]


@contextmanager
def in_background(work, stopped):
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
