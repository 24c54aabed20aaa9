"""Whatever arrives on the supervisor's four sockets: it is counted, answered where somebody waits, and nobody dies."""

import random

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from primectl.config.topology import COMMANDS, CONTROL, FEED, STATS
from primectl.wire import frames
from primectl.wire.control import Kill, Refusal, Reply, Request, Scale
from primectl.wire.stats import ReportEnvelope, WorkerSample
from supervisor import api
from tests.support.running import eventually, running, standin_config

MESSAGES = 2000


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    with running(tmp_path_factory.mktemp("cluster"), standin_config(1)) as up:
        pids = [process.pid for process in up.snapshot().processes]
        yield up
        assert [process.pid for process in up.snapshot().processes] == pids, "nobody has died of it"
        up.stop()
        assert "Traceback" not in up.log()


@pytest.fixture
def open_to(up):
    context = zmq.Context()
    sockets = []

    def connect(kind, name):
        socket = context.socket(kind)
        socket.linger = 2000
        socket.connect(up.place.endpoint(name))
        sockets.append(socket)
        return socket

    yield connect
    for socket in sockets:
        socket.close()
    context.term()


def nonsense(seed):
    """Messages of one to forty frames, of no bytes to many; some begin like ours."""
    luck = random.Random(seed)
    begin = [
        b"",
        frames.VERSION,
        b"\x01",
        b"\x00",
        frames.encode(ReportEnvelope("work.1", 1, 1, WorkerSample(1, 0, True))),
    ]
    for _ in range(MESSAGES):
        yield [
            luck.choice(begin) + luck.randbytes(luck.choice([0, 1, 7, 100, 5000]))
            for _ in range(luck.choice([1, 1, 2, 2, 3, 40]))
        ]


def counters(up):
    return up.snapshot().counters


def test_nonsense_on_stats_is_counted(up, open_to):
    publisher = open_to(zmq.PUB, STATS)
    publisher.sndhwm = 100_000
    eventually(lambda: publisher.send(b"hello?") or counters(up).get("stats_malformed"))
    for message in nonsense(1):
        publisher.send_multipart(message)
    eventually(lambda: counters(up)["stats_malformed"] > MESSAGES // 4)
    assert "ignored on stats" in up.log()


def test_nonsense_to_control_is_counted_and_answered(up, open_to):
    console = open_to(zmq.DEALER, CONTROL)
    console.rcvhwm = console.sndhwm = 100_000
    for message in nonsense(2):
        console.send_multipart(message)
    console.send_multipart([frames.encode(Request(77, "GET", "/nothing"))])
    answers = []
    while not answers or answers[-1].id != 77:
        assert console.poll(20_000)
        answers.append(frames.control_reply(console.recv_multipart()[-1]))
    assert {answer.status for answer in answers} == {400, 404}
    assert counters(up)["control_malformed"] > MESSAGES // 4


@pytest.mark.parametrize("name", [COMMANDS, FEED])
def test_nonsense_sent_up_to_a_publisher_is_counted(up, open_to, name):
    listener = open_to(zmq.XSUB, name)
    listener.sndhwm = 100_000
    for message in nonsense(name):
        listener.send_multipart(message)
    eventually(lambda: counters(up).get(f"{name}_malformed", 0) > MESSAGES // 4)


def test_a_flood_of_listeners_that_come_and_go_is_survived(up, open_to):
    for number in range(200):
        listener = open_to(zmq.SUB, COMMANDS if number % 2 else FEED)
        for topic in (b"", b"proc.work.1", b"snapshot", b"log", bytes([number]) * 300):
            listener.subscribe(topic)
        listener.close(linger=0)
    assert up.snapshot().state == "running"


@pytest.mark.parametrize("name", [COMMANDS, FEED, STATS, CONTROL])
def test_another_protocol_on_a_socket_is_survived(up, name):
    import socket

    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(f"{up.place.sockets}/{name}")
        stranger.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        stranger.shutdown(socket.SHUT_WR)
        stranger.settimeout(20)
        while stranger.recv(4096):
            continue
    assert up.snapshot().state == "running"


def test_a_console_that_leaves_before_its_answer_is_counted(up, open_to):
    for number in range(50):
        console = open_to(zmq.DEALER, CONTROL)
        console.send(frames.encode(Request(number, "GET", "/cluster")))
        console.close(linger=1000)
    assert up.snapshot().state == "running"


def test_an_order_with_a_body_of_another_kind_is_refused(up, open_to):
    console = open_to(zmq.DEALER, CONTROL)
    console.send(frames.encode(Request(5, "POST", "/scale", frames.raw([1, {"a": None}]))))
    reply: Reply = frames.control_reply(console.recv())
    assert (reply.id, reply.status) == (5, 400)
    assert frames.body(reply.body, Refusal).what.startswith("the body is no Scale")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", ""]) | st.text(),
    path=st.sampled_from(["/cluster", "/events", "/logs", "/scale", "/kill", "/restart", "/stop"]) | st.text(),
    body=ANYTHING
    | st.builds(Scale, st.text(), st.text(), st.floats())
    | st.builds(Kill, st.text(), st.floats(), st.floats()),
)
def test_reading_a_request_never_raises_and_a_refusal_is_one_printable_line(method, path, body):
    asked = api.read(Request(1, method, path, frames.raw(body), "someone"))
    if isinstance(asked, api.Refused):
        assert asked.status in (400, 404)
        assert "\n" not in asked.refusal.what
