"""How much of a stream may be sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from primectl.worker.flow import PART_BYTES, Flow


def test_small_chunks_travel_together_and_large_ones_are_cut():
    flow = Flow(window=1 << 30)
    for chunk in (b"a", b"", b"bc", bytes(PART_BYTES)):
        flow.add(chunk)
    assert flow.take() == b"abc" + bytes(PART_BYTES - 3)
    assert flow.take() == bytes(3)
    assert flow.take() == b""


def test_nothing_is_sent_beyond_what_the_client_has_room_for():
    flow = Flow(window=4)
    flow.add(b"abcdef")
    assert (flow.take(), flow.open, flow.waiting) == (b"abcd", False, 2)
    assert flow.take() == b""
    flow.allow(5)
    assert (flow.take(), flow.take()) == (b"e", b"")
    flow.allow(3)
    flow.allow(100)
    assert (flow.take(), flow.open) == (b"f", True)


def test_a_part_that_could_not_be_sent_is_the_next_again():
    flow = Flow(window=3)
    flow.add(b"abcdef")
    flow.put_back(flow.take())
    assert (flow.waiting, flow.take(), flow.take()) == (6, b"abc", b"")


def test_what_nobody_reads_is_dropped():
    flow = Flow()
    flow.add(b"abc")
    flow.drop()
    assert (flow.waiting, flow.take()) == (0, b"")


@given(
    st.lists(
        st.binary(max_size=9).map(lambda data: ("add", data))
        | st.integers(0, 60).map(lambda limit: ("allow", limit))
        | st.sampled_from(["take", "refused"]).map(lambda what: (what, None))
    )
)
def test_bytes_come_out_as_they_went_in_and_never_past_the_limit(steps: list[tuple[str, bytes | int | None]]):
    flow, given_, sent, limit = Flow(window=7), b"", b"", 7
    for what, value in steps:
        if isinstance(value, bytes):
            flow.add(value)
            given_ += value
        elif isinstance(value, int):
            flow.allow(value)
            limit = max(limit, value)
        elif what == "take":
            sent += flow.take()
        else:
            flow.put_back(flow.take())
    sent += flow.take()
    assert given_.startswith(sent)
    assert len(sent) == min(limit, len(given_))
    assert flow.waiting == len(given_) - len(sent)
