"""ControlClient and Feed against a supervisor's sockets that the test holds itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from primectl.config.topology import Place
from primectl.control.client import EVENTS, SNAPSHOTS, ControlClient, Feed
from primectl.errors import ChannelLost, CommandRefused, ConfigError, NotFound, PrimectlError, TimedOut, WireError
from primectl.wire import frames
from primectl.wire.control import Progress, Refusal, Reply, Request, Scale, Scaled
from primectl.wire.stats import ClusterSnapshot, Event, EventPublished, LogsPublished, SnapshotPublished
from tests.support.fake_supervisor import FakeSupervisor

SCALED = Scaled("compute", 4, 8, 0.1)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(cluster="prime", runtime=str(tmp_path), state=str(tmp_path), sockets=str(tmp_path))


def done(request: Request) -> list[Reply | bytes]:
    return [Reply(request.id, 200, frames.raw(SCALED))]


def ask(place: Place, **options: object) -> Scaled:
    with ControlClient(place) as client:
        return client.ask("POST", "/scale", Scale("compute", "8"), Scaled, **options)  # type: ignore[arg-type]


def test_a_request_carries_method_path_body_and_operator_and_returns_the_typed_reply(place: Place) -> None:
    supervisor = FakeSupervisor(place, done)
    assert ask(place) == SCALED
    supervisor.join()
    (request,) = supervisor.seen
    assert (request.method, request.path, request.operator != "") == ("POST", "/scale", True)
    assert frames.body(request.body, Scale) == Scale("compute", "8")


def test_progress_is_told_in_order_before_the_final_reply(place: Place) -> None:
    steps = [Progress("starting", 1, 4), Progress("starting", 4, 4)]
    supervisor = FakeSupervisor(
        place, lambda request: [*(Reply(request.id, 102, frames.raw(step)) for step in steps), *done(request)]
    )
    told: list[Progress] = []
    assert ask(place, on_progress=told.append) == SCALED
    assert told == steps
    supervisor.join()


def test_replies_to_other_requests_are_ignored(place: Place) -> None:
    supervisor = FakeSupervisor(
        place, lambda request: [Reply(request.id + 7, 404, frames.raw(Refusal("an old one"))), *done(request)]
    )
    assert ask(place) == SCALED
    supervisor.join()


@pytest.mark.parametrize(
    ("status", "kind", "exit_code"),
    [
        (400, ConfigError, 2),
        (404, NotFound, 3),
        (409, CommandRefused, 1),
        (500, CommandRefused, 1),
        (504, TimedOut, 4),
        (418, CommandRefused, 1),
    ],
)
def test_a_refusal_becomes_the_error_that_the_operator_can_mend(
    place: Place, status: int, kind: type[PrimectlError], exit_code: int
) -> None:
    refusal = Refusal("there is no pool comptue", "scale", "Pools: parse, compute")
    supervisor = FakeSupervisor(place, lambda request: [Reply(request.id, status, frames.raw(refusal))])
    with pytest.raises(PrimectlError) as caught:
        ask(place)
    supervisor.join()
    assert type(caught.value) is kind
    assert caught.value.exit_code == exit_code
    assert str(caught.value) == "scale: there is no pool comptue. Pools: parse, compute"


def test_without_a_socket_file_the_cluster_is_said_to_be_down_and_how_to_start_it(place: Place) -> None:
    with pytest.raises(ChannelLost, match=r"cluster prime does not answer: no supervisor runs it\. `primectl up -d`"):
        ask(place, timeout_s=60.0)


def test_a_socket_file_that_nobody_listens_at_is_noticed_without_waiting_for_the_timeout(place: Place) -> None:
    FakeSupervisor(place, done, requests=0).join()
    Path(place.sockets, "control").unlink(missing_ok=True)
    stale = zmq.Context()
    router = stale.socket(zmq.ROUTER)
    router.bind(place.endpoint("control"))
    Path(place.sockets, "control").rename(Path(place.sockets, "kept"))
    router.close()
    stale.term()
    Path(place.sockets, "kept").rename(Path(place.sockets, "control"))
    with pytest.raises(ChannelLost, match="its supervisor is gone"):
        ask(place, timeout_s=3600.0)


def test_a_supervisor_that_leaves_without_an_answer_is_noticed_without_waiting_for_the_timeout(place: Place) -> None:
    supervisor = FakeSupervisor(place, lambda request: [])
    with pytest.raises(ChannelLost, match="its supervisor is gone"):
        ask(place, timeout_s=3600.0)
    supervisor.join()


def test_an_answer_sent_just_before_the_supervisor_leaves_is_still_an_answer(place: Place) -> None:
    supervisor = FakeSupervisor(place, done)
    assert ask(place, timeout_s=3600.0) == SCALED
    supervisor.join()


def test_a_supervisor_that_says_nothing_is_given_up_after_the_timeout(place: Place) -> None:
    quiet = zmq.Context()
    router = quiet.socket(zmq.ROUTER)
    router.setsockopt(zmq.LINGER, 0)
    router.bind(place.endpoint("control"))
    with pytest.raises(ChannelLost, match=r"has not answered within 0\.05 s"):
        ask(place, timeout_s=0.05)
    router.close()
    quiet.term()


def test_the_same_client_asks_the_next_supervisor_after_the_first_has_gone(place: Place) -> None:
    with ControlClient(place) as client:
        for _ in range(2):
            supervisor = FakeSupervisor(place, done)
            assert client.ask("POST", "/scale", Scale("compute", "8"), Scaled) == SCALED
            supervisor.join()
        with pytest.raises(ChannelLost):
            client.ask("POST", "/scale", Scale("compute", "8"), Scaled, timeout_s=3600.0)


@pytest.mark.parametrize("garbage", [b"", b"\x01", b"\x07what", b"\x01\xc1"])
def test_an_answer_that_is_no_message_is_a_wire_error(place: Place, garbage: bytes) -> None:
    supervisor = FakeSupervisor(place, lambda request: [garbage])
    with pytest.raises(WireError):
        ask(place)
    supervisor.join()


def test_an_answer_of_another_type_is_a_wire_error(place: Place) -> None:
    supervisor = FakeSupervisor(place, lambda request: [Reply(request.id, 200, frames.raw(Progress("odd")))])
    with pytest.raises(WireError, match="no Scaled"):
        ask(place)
    supervisor.join()


@pytest.fixture
def publisher(place: Place) -> Iterator[zmq.Socket[bytes]]:
    context = zmq.Context()
    xpub = context.socket(zmq.XPUB)
    xpub.setsockopt(zmq.LINGER, 0)
    xpub.bind(place.endpoint("feed"))
    yield xpub
    xpub.close()
    context.term()


EVENT = EventPublished(Event(number=1, time=0.0, kind="started", subject="compute.1", text="compute.1 is ready"))


def subscriptions(publisher: zmq.Socket[bytes], count: int) -> set[bytes]:
    found = set()
    for _ in range(count):
        assert publisher.poll(10_000)
        found.add(publisher.recv())
    return found


def test_a_feed_subscribes_to_its_topics_and_hands_out_messages_in_order(
    place: Place, publisher: zmq.Socket[bytes]
) -> None:
    snapshot = SnapshotPublished(ClusterSnapshot(cluster="prime"))
    with Feed(place, [SNAPSHOTS, EVENTS]) as feed:
        assert subscriptions(publisher, 2) == {b"\x01snapshot", b"\x01event"}
        assert feed.receive() == []
        publisher.send_multipart([b"snapshot", frames.encode(snapshot)])
        publisher.send_multipart([b"log", frames.encode(LogsPublished([]))])
        publisher.send_multipart([b"event", frames.encode(EVENT)])
        got: list[object] = []
        while len(got) < 2:
            assert feed.wait(10)
            got += feed.receive()
        assert got == [snapshot, EVENT]
        assert not feed.wait(0)


def test_what_is_no_feed_message_is_counted_and_the_feed_goes_on(place: Place, publisher: zmq.Socket[bytes]) -> None:
    with Feed(place, [EVENTS]) as feed:
        subscriptions(publisher, 1)
        publisher.send_multipart([b"event", b"\x01\xc1\xff"])
        publisher.send_multipart([b"event", frames.encode(EVENT)])
        got: list[object] = []
        while not got:
            assert feed.wait(10)
            got = list(feed.receive())
        assert got == [EVENT]
        assert feed.malformed == 1


def test_a_feed_has_a_descriptor_that_an_event_loop_can_watch(place: Place, publisher: zmq.Socket[bytes]) -> None:
    with Feed(place, [EVENTS]) as feed:
        assert feed.fileno() > 0
