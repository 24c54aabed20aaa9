"""Frames as they are on the wire, kept as bytes: what is written here must be read by every later version.

A message that gains a field keeps its old frame here, which must still decode, the new field at its default.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primectl.errors import WireError
from primectl.wire import frames
from primectl.wire.control import (
    Drain,
    Dump,
    Hello,
    KillNow,
    Lend,
    Loan,
    ProcessGone,
    Reopen,
    Reread,
    Resume,
    Retire,
    Roster,
)
from primectl.wire.job import (
    REQUEST,
    VALUE,
    Allow,
    Announce,
    Answer,
    Answers,
    Beat,
    Cancel,
    Done,
    Goodbye,
    HandBack,
    JobId,
    Jobs,
    JobsAgain,
    Leave,
    StreamBegun,
    Streaming,
    StreamPart,
    Whereabouts,
    WhoIsThere,
    WireJob,
    first_job,
    hop_of,
    request_name,
    request_of,
)
from primectl.wire.journal import Hop, Record, Records, Written, add_hop, hops_of
from primectl.wire.stats import Dumped, Event, EventPublished, Ready, RecorderSample, ReportEnvelope, WorkerSample

JOB = first_job(7, 3)
HOP = Hop("parse.1", 1.5, 2.25)
MESSAGES: dict[str, object] = {
    "jobs": Jobs(
        [
            WireJob(JOB, "server.1", 12.5, VALUE, True, b"\x07"),
            WireJob(JobId(JOB + 1), "server.1", 12.5, REQUEST, False, b"\x90", 2),
        ]
    ),
    "jobs again": JobsAgain([WireJob(JOB, "server.1", 12.5, VALUE, True, b"\x07", 1, "north")]),
    "cancel": Cancel([request_of(JOB)]),
    "allow": Allow(b"compute.3#9", JOB, 524288),
    "announce": Announce("compute.3", 9, [JOB], "north"),
    "done": Done([JOB], 0.25, 1, "north"),
    "streaming": Streaming(JOB),
    "stream begun": StreamBegun(Answer(JOB, 200, (), b"a", "compute.3", 1), b"compute.3#9"),
    "stream part": StreamPart(JOB, 1, b"b", 1),
    "hand back": HandBack([JOB]),
    "beat": Beat("compute.3", 9, 2),
    "leave": Leave(),
    "goodbye": Goodbye(),
    "who is there": WhoIsThere(),
    "answers": Answers([Answer(JOB, 200, (("content-type", "text/plain"),), b"7", "compute.3", 1)]),
    "kill": KillNow(4),
    "hello": Hello(),
    "retire": Retire(5, 30.0),
    "drain": Drain(5, ["compute.3"]),
    "resume": Resume(6),
    "roster": Roster([("compute.3", 9)]),
    "dump": Dump(7),
    "reopen": Reopen(8, True),
    "reread": Reread(8),
    "process gone": ProcessGone("compute.3", 9),
    "dumped": ReportEnvelope("compute.3", 9, 3, Dumped(7, "thread MainThread")),
    "lend": Lend(7),
    "loan": Loan("server.1", 9),
    "ready": ReportEnvelope("compute.3", 9, 1, Ready(4242)),
    "events": EventPublished(
        Event(number=7, time=1.5, kind="scale", subject="compute", text="scale", operator="ana", before="4", after="8"),
        [Event(number=8, time=1.5, kind="crashed", subject="compute.1", text="x", cause="exit status 3", lines=["y"])],
    ),
    "worker sample": ReportEnvelope(
        "compute.3", 9, 2, WorkerSample(5, 1, True, 0.5, {"malformed": 0}, "4d77c0ffee000", 2.5)
    ),
    "job with a trail": Jobs([WireJob(JOB, "server.1", 12.5, VALUE, True, b"\x07", trail=add_hop(b"", HOP))]),
    "records": Records(
        "server.1",
        9,
        17,
        1e9,
        2,
        [Record(request_of(JOB), 1.5, 2.5, b"\x90", 0, 200, (), b"7", 1, "compute.3", "parse", 1, add_hop(b"", HOP))],
    ),
    "written": Written(9, 17),
    "whereabouts": Whereabouts([(request_of(JOB), add_hop(b"", HOP))]),
    "recorder sample": ReportEnvelope("recorder", 9, 2, RecorderSample(5, 4096, 4, 1.5, 1, 2, 3, "full", {"a": 1})),
}
GOLDEN = dict(line.split(": ") for line in Path(__file__).with_name("golden.txt").read_text().splitlines())
OLDER: dict[str, tuple[str, object]] = {
    "jobs without a key": (
        "0192a14a9297cf0007000000003000a87365727665722e31cb402900000000000001c3c401070197cf0007000000003001a8"
        "7365727665722e31cb402900000000000000c2c4019002",
        MESSAGES["jobs"],
    ),
    "announce without a key": ("0194a141a9636f6d707574652e330991cf0007000000003000", Announce("compute.3", 9, [JOB])),
    "worker sample without a request": (
        "0184a673656e646572a9636f6d707574652e33ab696e6361726e6174696f6e09a873657175656e636502a67265706f727486a474797065"
        "ac576f726b657253616d706c65a46a6f627305a66661696c656401a462757379c3a56a6f625f73cb3fe0000000000000a8636f756e7465"
        "727381a96d616c666f726d656400",
        ReportEnvelope("compute.3", 9, 2, WorkerSample(5, 1, True, 0.5, {"malformed": 0})),
    ),
    "jobs without a trail": (
        "0192a14a9298cf0007000000003000a87365727665722e31cb402900000000000001c3c4010701a098cf0007000000003001"
        "a87365727665722e31cb402900000000000000c2c4019002a0",
        MESSAGES["jobs"],
    ),
    "answers without a trail": (
        "0192a1529196cf0007000000003000ccc89192ac636f6e74656e742d74797065aa746578742f706c61696ec40137a9636f6d"
        "707574652e3301",
        MESSAGES["answers"],
    ),
    "done without a key": ("0194a14491cf0007000000003000cb3fd000000000000001", Done([JOB], 0.25, 1)),
    "an event without what was before": (
        "0182a474797065ae4576656e745075626c6973686564a56576656e7486a66e756d62657207a474696d65cb3ff800000000"
        "0000a46b696e64a57363616c65a77375626a656374a7636f6d70757465a474657874a57363616c65a86f70657261746f72"
        "a3616e61",
        EventPublished(Event(number=7, time=1.5, kind="scale", subject="compute", text="scale", operator="ana")),
    ),
}
DECODERS = (
    frames.to_proxy,
    frames.from_worker,
    frames.to_worker,
    frames.to_server,
    frames.to_recorder,
    frames.command,
    frames.loan,
    frames.report,
    frames.control_request,
    frames.control_reply,
    frames.feed,
)


def _readings(frame: str) -> list[object]:
    readings = []
    for decode in DECODERS:
        try:
            readings.append(decode(bytes.fromhex(frame)))
        except WireError:
            continue
    return readings


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_written_as_it_always_was_and_read_as_it_was_meant(name: str):
    message, frame = MESSAGES[name], GOLDEN[name]
    assert frames.encode(message).hex() == frame
    assert message in _readings(frame)


@pytest.mark.parametrize("name", OLDER)
def test_a_frame_of_an_older_version_is_read_with_the_new_fields_at_their_defaults(name: str):
    frame, message = OLDER[name]
    assert any(message == reading for reading in _readings(frame))


def test_a_field_that_a_newer_sender_adds_is_passed_over():
    message = ["D", [1], 0.5, 0, "north", "something new"]
    assert frames.from_worker(frames.VERSION + msgspec.msgpack.encode(message)) == Done([JobId(1)], 0.5, 0, "north")


@given(st.binary(max_size=300))
def test_random_bytes_are_a_message_or_a_wire_error_and_nothing_else(data: bytes):
    for decode in DECODERS:
        for frame in (data, frames.VERSION + data):
            try:
                decode(frame)
            except WireError:
                continue


@given(st.integers(min_value=0, max_value=70))
def test_a_trail_gives_back_its_hops_however_many(count: int):
    hops = [Hop(f"p{number}.1", number, number + 0.5, 1, number % 2 == 1) for number in range(count)]
    trail = b""
    for hop in hops:
        trail = add_hop(trail, hop)
    assert hops_of(trail) == hops


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**60), max_value=10**60)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(VALUES)
def test_a_payload_arrives_as_it_was_forwarded(value: object):
    assert frames.decode_payload(*frames.encode_payload(value)) == value


def test_what_cannot_travel_is_refused_by_its_type():
    with pytest.raises(TypeError, match="object cannot be forwarded"):
        frames.encode_payload({"a": object()})


@given(st.integers(0, 1 << 40), st.integers(0, (1 << 36) - 1), st.integers(0, 4095))
def test_a_job_id_fits_64_bits_and_keeps_its_request_over_all_hops(incarnation: int, serial: int, hop: int):
    first = first_job(incarnation, serial)
    job = JobId(first + hop)
    assert 0 <= job < 1 << 64
    assert (request_of(job), hop_of(job)) == (request_of(first), hop)
    assert len(request_name(request_of(job))) == 13


def test_batches_keep_the_order_and_their_bounds():
    small = [WireJob(first_job(1, n), "server.1", 0.0, 1, True, b"x") for n in range(frames.BATCH_JOBS * 2 + 1)]
    assert [len(batch) for batch in frames.batches(small)] == [frames.BATCH_JOBS, frames.BATCH_JOBS, 1]
    big = [WireJob(first_job(1, n), "server.1", 0.0, 1, True, b"x" * (frames.BATCH_BYTES // 2)) for n in range(3)]
    assert [len(batch) for batch in frames.batches(big)] == [2, 1]
    assert [job for batch in frames.batches(small) for job in batch] == small
    assert list(frames.batches([])) == []
