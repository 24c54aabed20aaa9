"""What the recorder is told is numbered, kept until it is written, and bounded."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from primectl.server.tape import KEPT_BYTES, RESERVE_BYTES, Tape
from primectl.wire import frames
from primectl.wire.frames import BATCH_BYTES
from primectl.wire.job import RequestId
from primectl.wire.journal import DEAD, Record, Records, Written

MIB = bytes(1 << 20)


def a_record(number: int = 1, *, status: int = 200, flags: int = 0, body: bytes = b"") -> Record:
    return Record(RequestId(number), 1.0, 2.0, b"", 0, status, (), body, len(body), "web.1", "web", flags=flags)


def a_tape(*records: Record) -> Tape:
    tape = Tape("server.1", 7)
    for record in records:
        tape.add(record)
    return tape


def send(tape: Tape, most: int = 1000) -> list[Records]:
    """What leaves now, where the recorder takes so many frames."""
    said = [frames.to_recorder(frame) for frame in list(tape.to_send())[:most]]
    tape.sent(len(said))
    return said


def test_what_has_gathered_is_one_batch_and_numbers_go_on_from_batch_to_batch():
    tape = a_tape(a_record(11), a_record(12))
    tape.seal(100.0)
    tape.add(a_record(13))
    tape.seal(100.5)
    assert send(tape) == [
        Records("server.1", 7, 1, 100.0, 0, [a_record(11), a_record(12)]),
        Records("server.1", 7, 3, 100.5, 0, [a_record(13)]),
    ]
    assert (send(tape), tape.unsent, tape.empty) == ([], 0, False)


def test_nothing_is_said_where_nothing_has_gathered():
    tape = a_tape()
    tape.seal(100.0)
    assert (send(tape), tape.empty) == ([], True)


def test_a_batch_is_to_be_sealed_when_it_is_large():
    tape = a_tape()
    half = a_record(body=bytes(BATCH_BYTES // 2))
    assert [tape.add(half), tape.add(half)] == [False, True]
    tape.seal(0.0)
    assert not tape.add(half)


def test_what_is_written_is_forgotten_as_far_as_whole_batches_go():
    tape = a_tape()
    for number in range(4):
        tape.add(a_record(number))
        tape.add(a_record(number))
        tape.seal(0.0)
    assert tape.written(Written(7, 5))
    tape.rewind()
    assert [said.first for said in send(tape)] == [5, 7]
    assert tape.written(Written(7, 8))
    assert (tape.empty, tape.unwritten) == (True, 0)


def test_a_new_recorder_is_sent_all_that_is_not_written_and_then_the_rest():
    tape = a_tape()
    for number in range(4):
        tape.add(a_record(number))
        tape.seal(0.0)
    assert [said.first for said in send(tape, 3)] == [1, 2, 3]
    tape.written(Written(7, 1))
    tape.rewind()
    assert [said.first for said in send(tape)] == [2, 3, 4]


def test_what_is_written_before_it_is_sent_again_is_not_sent_again():
    tape = a_tape()
    for number in range(3):
        tape.add(a_record(number))
        tape.seal(0.0)
    send(tape)
    tape.rewind()
    assert [said.first for said in send(tape, 1)] == [1]
    tape.written(Written(7, 2))
    assert [said.first for said in send(tape)] == [3]


def test_word_of_another_run_says_nothing_and_word_of_what_was_never_said_is_false():
    tape = a_tape(a_record())
    tape.seal(0.0)
    assert tape.written(Written(6, 1))
    assert not tape.written(Written(7, 2))
    assert not tape.empty
    assert tape.written(Written(7, -5))
    assert not tape.empty


def full(to: int = KEPT_BYTES) -> Tape:
    """A tape with no room left."""
    tape = a_tape()
    while tape.unwritten < to:
        tape.add(a_record(body=MIB, flags=DEAD))
        tape.seal(0.0)
    return tape


def test_beyond_its_bound_ordinary_records_are_dropped_and_those_of_trouble_are_kept():
    tape = full()
    first = [said.first for said in send(tape)][-1] + 1
    for record in (a_record(1), a_record(2, status=502), a_record(3, status=404), a_record(4, flags=DEAD)):
        tape.add(record)
    tape.seal(0.0)
    (said,) = send(tape)
    assert (said.first, said.dropped) == (first, 2)
    assert [record.request for record in said.records] == [2, 4]
    tape.add(a_record(5))
    tape.seal(0.0)
    assert send(tape) == []
    assert tape.dropped == 3


def test_a_gap_in_the_numbers_is_what_was_dropped():
    tape = full()
    last = [said.first for said in send(tape)][-1]
    tape.add(a_record())
    tape.add(a_record())
    tape.seal(0.0)
    tape.written(Written(7, last))
    tape.add(a_record(9))
    tape.seal(0.0)
    (said,) = send(tape)
    assert (said.first, said.dropped, len(said.records)) == (last + 3, 2, 1)


def test_even_trouble_is_dropped_in_the_end():
    tape = full(KEPT_BYTES + RESERVE_BYTES)
    kept = tape.unwritten
    tape.add(a_record(status=500))
    tape.seal(0.0)
    assert (tape.dropped, tape.unwritten) == (1, kept)


def test_when_nobody_will_write_any_more_everything_is_dropped_and_counted():
    tape = a_tape(a_record(), a_record())
    tape.seal(0.0)
    tape.add(a_record())
    tape.forget()
    assert (tape.dropped, tape.unwritten, tape.empty, send(tape)) == (3, 0, True, [])


class Recorder:
    """As the real one keeps count: what it has seen is left out, what is missing is lost."""

    def __init__(self) -> None:
        self.last = 0
        self.lost = 0
        self.rows: list[int] = []

    def hear(self, said: Records) -> None:
        self.lost += max(0, said.first - self.last - 1)
        for number, record in enumerate(said.records, said.first):
            if number > self.last:
                self.rows.append(record.request)
                self.last = number


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 5)),
        st.tuples(st.just("send"), st.integers(0, 3)),
        st.tuples(st.just("commit"), st.just(0)),
        st.tuples(st.just("die"), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_whenever_the_recorder_dies_nothing_is_lost_nothing_is_there_twice_and_the_order_stays(
    steps: list[tuple[str, int]],
):
    tape = a_tape()
    disk = Recorder()
    told: list[Records] = []
    made = 0
    for what, number in [*steps, ("die", 0), ("send", 1000), ("commit", 0)]:
        if what == "add":
            for _ in range(number):
                made += 1
                tape.add(a_record(made))
            tape.seal(0.0)
        elif what == "send":
            told += send(tape, number)
        elif what == "commit":
            for said in told:
                disk.hear(said)
            told.clear()
            assert tape.written(Written(7, disk.last))
        else:
            told.clear()
            tape.rewind()
    assert disk.rows == list(range(1, made + 1))
    assert (disk.lost, tape.empty, tape.dropped) == (0, True, 0)
