"""What is kept of streamed answers for the recorder."""

from __future__ import annotations

from primectl.server.beginnings import KEPT_BYTES, Beginnings, ended
from primectl.wire.job import Answer, RequestId, first_job
from primectl.wire.journal import Hop, add_hop, hops_of

ONE, TWO = RequestId(1), RequestId(2)


def a_head(body: bytes = b"") -> Answer:
    return Answer(first_job(1, 1), 200, (), body, "web.1")


def body(kept: Beginnings, request: RequestId) -> bytes:
    begun = kept.end(request)
    assert begun is not None
    return bytes(begun.body)


def test_a_body_is_kept_up_to_its_limit_whatever_parts_it_comes_in():
    kept = Beginnings()
    kept.begin(ONE, a_head(b"abc"), 5)
    kept.begin(TWO, a_head(b"abcdefgh"), 5)
    for part in (b"d", b"ef", b"g"):
        kept.part(ONE, part, 5)
        kept.part(TWO, part, 5)
    assert (body(kept, ONE), body(kept, TWO)) == (b"abcde", b"abcde")
    assert kept.end(ONE) is None


def test_what_began_unrecorded_stays_so():
    kept = Beginnings()
    kept.part(ONE, b"part", 5)
    assert kept.end(ONE) is None


def test_all_together_they_are_bounded_and_one_that_ends_makes_room():
    kept = Beginnings()
    kept.begin(ONE, a_head(bytes(KEPT_BYTES - 1)), KEPT_BYTES)
    kept.begin(TWO, a_head(b"abc"), 5)
    kept.part(TWO, b"def", 5)
    assert kept.end(ONE) is not None
    kept.part(TWO, b"ghi", 5)
    assert body(kept, TWO) == b"a", "behind a hole nothing is kept"
    kept.begin(ONE, a_head(bytes(KEPT_BYTES)), KEPT_BYTES)
    assert len(body(kept, ONE)) == KEPT_BYTES


def test_the_last_hop_of_a_streamed_answer_ends_with_it():
    parse, compute = Hop("parse.1", 1.0, 2.0), Hop("compute.2", 3.0, 3.0, 2)
    trail = add_hop(add_hop(b"", parse), compute)
    assert hops_of(ended(trail, 9.0, failed=False)) == [parse, Hop("compute.2", 3.0, 9.0, 2)]
    assert hops_of(ended(trail, 9.0, failed=True)) == [parse, Hop("compute.2", 3.0, 9.0, 2, True)]


def test_a_trail_that_is_none_is_left_out():
    assert ended(b"", 9.0, failed=False) == b""
    assert ended(b"\xff\x00garbage", 9.0, failed=False) == b""
