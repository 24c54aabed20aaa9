"""Answers that come bit by bit, and bodies too large to be written at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primectl.errors import IllegalTransition
from primectl.http.connection import LARGE, STORED_AT_LEAST, WRITE_SIZE, HttpLimits, Piece
from primectl.message import Headers, Response
from tests.spec.http.talk import DATE, HOST, ID, Talk, get, with_line

OLD = b"GET / HTTP/1.0\r\n\r\n"
OLD_KEEP = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
BROKEN = Response.problem(502, "broken", ID)


def holding(raw: bytes, limits: HttpLimits | None = None) -> Talk:
    spoken = Talk(limits or HttpLimits(), handler=None)
    return spoken.send(raw)


def begin(spoken: Talk, number: int = 0, fields: Headers = (), status: int = 200, body: bytes = b"") -> bool:
    return spoken.connection.begin(spoken.exchanges[number], Response(status, fields, body), ID, spoken.now)


def part(spoken: Talk, data: bytes, number: int = 0) -> bool:
    return spoken.connection.part(spoken.exchanges[number], data)


def end(spoken: Talk, number: int = 0) -> bool:
    return spoken.connection.end(spoken.exchanges[number], spoken.now)


def cut(spoken: Talk, number: int = 0) -> bool:
    return spoken.connection.cut(spoken.exchanges[number], BROKEN, ID, spoken.now)


def head(*lines: bytes) -> bytes:
    own = b"date: %b\r\nx-request-id: %b\r\n" % (DATE, ID.encode())
    return b"HTTP/1.1 200 OK\r\n" + own + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


# --- framing ----------------------------------------------------------------------------------------------------------


def test_a_stream_is_chunked_for_1_1_and_the_connection_stays():
    spoken = holding(get())
    assert begin(spoken, body=b"first")
    assert spoken.take() == head(b"transfer-encoding: chunked") + b"5\r\nfirst\r\n"
    assert part(spoken, b"x" * 26)
    assert spoken.take() == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert spoken.exchanges[0].streaming
    assert end(spoken)
    assert spoken.take() == b"0\r\n\r\n"
    assert not spoken.exchanges[0].streaming
    assert (spoken.finished, spoken.connection.open) == (False, 0)
    assert len(spoken.send(get("/next")).exchanges) == 2


def test_an_empty_part_does_not_end_a_chunked_body():
    spoken = holding(get())
    begin(spoken)
    spoken.take()
    assert part(spoken, b"")
    assert spoken.take() == b""


def test_a_declared_length_frames_the_body_in_place_of_chunks():
    spoken = holding(get())
    begin(spoken, fields=(("Content-Length", "5"),))
    assert spoken.take() == head(b"content-length: 5")
    assert part(spoken, b"hel")
    assert part(spoken, b"lo")
    assert end(spoken)
    assert spoken.take() == b"hello"
    assert not spoken.finished


@pytest.mark.parametrize("length", ["-1", "5x", "", "1e3", "9" * 30])
def test_a_declared_length_that_is_none_counts_for_nothing(length: str):
    spoken = holding(get())
    begin(spoken, fields=(("content-length", length),))
    assert b"transfer-encoding: chunked" in spoken.take()


def test_two_different_declared_lengths_count_for_nothing():
    spoken = holding(get())
    begin(spoken, fields=(("content-length", "1"), ("content-length", "2")))
    assert b"transfer-encoding: chunked" in spoken.take()


def test_more_than_was_declared_is_refused_and_less_is_no_end():
    spoken = holding(get())
    begin(spoken, fields=(("content-length", "3"),))
    assert part(spoken, b"ab")
    assert not part(spoken, b"cd")
    assert not end(spoken)
    assert cut(spoken) is False
    assert spoken.take() == head(b"content-length: 3") + b"ab"
    assert (spoken.finished, spoken.connection.worthless) == (True, False)


@pytest.mark.parametrize("request_bytes", [OLD, OLD_KEEP])
def test_to_1_0_the_end_of_the_connection_is_the_end_of_the_body(request_bytes: bytes):
    spoken = holding(request_bytes)
    begin(spoken, body=b"one ")
    part(spoken, b"two")
    assert spoken.take() == head(b"connection: close") + b"one two"
    assert not spoken.finished
    assert end(spoken)
    assert spoken.take() == b""
    assert (spoken.finished, spoken.connection.worthless) == (True, False)


def test_to_1_0_a_declared_length_lets_the_connection_stay():
    spoken = holding(OLD_KEEP)
    begin(spoken, fields=(("content-length", "2"),), body=b"ok")
    assert end(spoken)
    assert spoken.take() == head(b"content-length: 2", b"connection: keep-alive") + b"ok"
    assert not spoken.finished


def test_a_client_that_wants_to_close_is_told_so():
    spoken = holding(get("/", b"Connection: close\r\n"))
    begin(spoken, body=b"x")
    assert b"\r\nconnection: close\r\n" in spoken.take()
    end(spoken)
    assert spoken.finished


@pytest.mark.parametrize(
    ("raw", "status", "framing"),
    [
        (with_line(b"HEAD / HTTP/1.1"), 200, b"transfer-encoding: chunked\r\n"),
        (b"HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, b"connection: keep-alive\r\n"),
        (get(), 204, b""),
        (get(), 304, b""),
        (get(), 205, b"content-length: 0\r\n"),
    ],
)
def test_where_no_body_is_wanted_the_head_is_the_whole_answer(raw: bytes, status: int, framing: bytes):
    spoken = holding(raw)
    assert begin(spoken, status=status, body=b"dropped")
    assert not spoken.exchanges[0].streaming
    assert spoken.take().endswith(b"x-request-id: %b\r\n%b\r\n" % (ID.encode(), framing))
    assert (spoken.finished, spoken.connection.open) == (False, 0)


def test_the_answer_to_head_tells_the_declared_length():
    spoken = holding(with_line(b"HEAD / HTTP/1.1"))
    begin(spoken, fields=(("content-length", "12345"),))
    assert b"\r\ncontent-length: 12345\r\n" in spoken.take()


def test_a_head_that_cannot_be_sent_becomes_a_whole_500():
    spoken = holding(get())
    assert not begin(spoken, fields=(("x-evil", "a\r\nb"),), body=b"x")
    spoken.take()
    assert not spoken.exchanges[0].streaming
    assert spoken.statuses == [500]
    assert not spoken.finished


def test_what_has_begun_is_not_answered_again():
    spoken = holding(get())
    begin(spoken)
    with pytest.raises(IllegalTransition):
        spoken.answer(0)
    with pytest.raises(IllegalTransition):
        begin(spoken)


def test_an_idle_connection_has_its_time_from_the_end_of_a_stream():
    spoken = holding(get())
    begin(spoken)
    assert spoken.connection.next_deadline is None
    spoken.now = 1000.0
    end(spoken)
    assert spoken.connection.next_deadline == 1075.0


# --- the client's order -----------------------------------------------------------------------------------------------


def test_a_pipelined_stream_waits_for_its_turn_and_holds_back_those_behind_it():
    """
    1. The second of three requests streams, the third is answered at once: nothing can leave.
    2. The first is answered: what there is of the second follows, and then goes on as it comes.
    3. At its end the third is let go.
    """
    spoken = holding(get("/0") + get("/1") + get("/2"))
    begin(spoken, 1, body=b"a")
    part(spoken, b"b", 1)
    spoken.answer(2, Response(body=b"third"))
    assert spoken.take() == b""
    assert spoken.connection.sending is None
    assert spoken.connection.held > 0
    spoken.answer(0, Response(body=b"first"))
    assert spoken.output.endswith(b"first" + head(b"transfer-encoding: chunked") + b"1\r\na\r\n1\r\nb\r\n")
    assert spoken.connection.sending is spoken.exchanges[1]
    part(spoken, b"c", 1)
    assert spoken.take() == b"1\r\nc\r\n"
    end(spoken, 1)
    assert spoken.take().startswith(b"0\r\n\r\nHTTP/1.1 200 OK")
    assert spoken.output.endswith(b"third")
    assert spoken.connection.sending is None
    assert (spoken.connection.held, spoken.connection.unsent, spoken.connection.open) == (0, 0, 0)


def test_a_stream_that_ends_before_its_turn_is_whole_when_it_comes():
    spoken = holding(get("/0") + get("/1"))
    begin(spoken, 1, body=b"a")
    end(spoken, 1)
    assert spoken.take() == b""
    spoken.answer(0)
    assert spoken.output.endswith(b"1\r\na\r\n0\r\n\r\n")


def test_to_1_0_requests_behind_a_stream_without_length_are_not_answered_but_named():
    spoken = holding(OLD_KEEP * 3)
    begin(spoken, 0, body=b"x")
    end(spoken, 0)
    assert spoken.take().endswith(b"x")
    assert spoken.finished
    assert spoken.connection.stranded
    assert list(spoken.connection.unanswered()) == spoken.exchanges[1:]
    spoken.answer(1)
    assert spoken.take() == b""


def test_no_interim_answer_is_put_into_a_body():
    spoken = holding(get())
    begin(spoken, body=b"x")
    spoken.take()
    spoken.shut()
    spoken.connection.probe()
    assert spoken.take() == b""


def test_a_drain_lets_a_stream_end_and_then_closes():
    spoken = holding(get())
    begin(spoken, body=b"x")
    spoken.connection.drain()
    assert not spoken.finished
    end(spoken)
    assert spoken.take().endswith(b"0\r\n\r\n")
    assert spoken.finished


def test_what_is_open_is_named_until_it_is_answered_whole():
    spoken = holding(get("/0") + get("/1") + get("/2"))
    begin(spoken, 0)
    spoken.answer(1)
    assert list(spoken.connection.unanswered()) == [spoken.exchanges[0], spoken.exchanges[2]]
    end(spoken, 0)
    assert list(spoken.connection.unanswered()) == [spoken.exchanges[2]]


# --- cut --------------------------------------------------------------------------------------------------------------


def test_a_cut_stream_ends_the_connection_without_a_last_chunk():
    spoken = holding(get("/0") + get("/1"))
    begin(spoken, body=b"some")
    assert cut(spoken) is False
    assert spoken.take() == head(b"transfer-encoding: chunked") + b"4\r\nsome\r\n"
    assert (spoken.finished, spoken.connection.worthless) == (True, False)
    assert list(spoken.connection.unanswered()) == [spoken.exchanges[1]]
    assert len(spoken.send(get("/late")).exchanges) == 2


def test_a_cut_stream_whose_end_would_look_whole_asks_for_a_reset():
    spoken = holding(OLD)
    begin(spoken, body=b"some")
    assert cut(spoken) is False
    assert (spoken.finished, spoken.connection.worthless) == (True, True)


def test_a_stream_that_is_cut_before_its_turn_is_answered_with_an_error_and_nobody_else_is_hurt():
    spoken = holding(get("/0") + get("/1") + get("/2"))
    begin(spoken, 1, body=b"some")
    assert cut(spoken, 1) is True
    spoken.answer(2)
    spoken.answer(0)
    assert spoken.statuses == [200, 502, 200]
    assert (spoken.connection.held, spoken.connection.open) == (0, 0)
    assert not spoken.finished


# --- bodies that are too large to be written at once ------------------------------------------------------------------


def test_a_large_body_is_given_away_bit_by_bit_and_never_copied_whole():
    body = bytes(range(256)) * 4096
    spoken = holding(get())
    spoken.connection.answer(spoken.exchanges[0], Response(200, (), body), ID, 0.0)
    pieces = []
    while piece := spoken.connection.take_output():
        pieces.append(bytes(piece))
        assert len(piece) <= WRITE_SIZE + LARGE
    assert b"".join(pieces) == head(b"content-length: %d" % len(body)) + body
    assert spoken.connection.unsent == 0


def test_a_client_with_much_unread_is_not_read_from_until_it_has_taken_it():
    spoken = holding(get("/0"), HttpLimits(max_output=100_000))
    spoken.connection.answer(spoken.exchanges[0], Response(body=b"x" * 300_000), ID, 0.0)
    assert not spoken.connection.wants_input
    while spoken.connection.unsent > 100_000:
        assert not spoken.connection.wants_input
        spoken.connection.take_output()
    assert spoken.connection.wants_input


class Elsewhere:
    """A body that was put somewhere."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, part: slice) -> bytes:
        return self.data[part]


def put(piece: Piece) -> Elsewhere:
    return Elsewhere(bytes(piece[:]))


@given(
    sizes=st.lists(
        st.sampled_from([0, 1, LARGE, LARGE + 1, WRITE_SIZE, STORED_AT_LEAST, STORED_AT_LEAST + 77]), max_size=6
    ),
    order=st.randoms(use_true_random=False),
    store_after=st.sets(st.integers(0, 30)),
)
def test_whatever_is_put_elsewhere_and_when_the_client_gets_the_same_bytes(sizes, order, store_after):
    """Answers of these sizes come in any order, some as streams; bodies are moved at any moment in between."""
    spoken = holding(b"".join(get(f"/{n}") for n in range(len(sizes))))
    connection = spoken.connection
    bodies = [bytes([65 + n]) * size for n, size in enumerate(sizes)]
    numbers = list(range(len(sizes)))
    order.shuffle(numbers)
    step = 0
    for number in numbers:
        exchange = spoken.exchanges[number]
        if order.random() < 0.5:
            connection.answer(exchange, Response(200, (), bodies[number]), ID, 0.0)
        else:
            length = (("content-length", str(sizes[number])),)
            half = sizes[number] // 2
            connection.begin(exchange, Response(200, length, bodies[number][:half]), ID, 0.0)
            assert connection.part(exchange, bodies[number][half:])
            assert connection.end(exchange, 0.0)
        for _ in range(order.randrange(4)):
            step += 1
            if step in store_after:
                connection.offload(put)
                assert 0 <= connection.offloaded <= connection.held + connection.unsent
            spoken.output += connection.take_output()
    connection.offload(put)
    spoken.take()
    found = [answer.body for answer in spoken.answers]
    assert [(body[:1], len(body)) for body in found] == [(body[:1], len(body)) for body in bodies]
    assert all(body == bytes([65 + n]) * sizes[n] for n, body in enumerate(found)), "bytes of another answer"
    assert (connection.held, connection.unsent, connection.offloaded) == (0, 0, 0)


def test_small_bodies_stay_where_they_are():
    spoken = holding(get("/0") + get("/1"))
    spoken.connection.answer(spoken.exchanges[1], Response(body=b"x" * (STORED_AT_LEAST - 1)), ID, 0.0)
    spoken.connection.offload(put)
    assert spoken.connection.offloaded == 0


def test_nothing_is_kept_of_what_a_client_that_left_had_open():
    spoken = holding(get("/0") + get("/1") + get("/2"))
    connection = spoken.connection
    begin(spoken, 0, body=b"x" * 300_000)
    connection.answer(spoken.exchanges[2], Response(body=b"y" * 300_000), ID, 0.0)
    connection.offload(put)
    connection.discard()
    assert (connection.held, connection.unsent, connection.offloaded) == (0, 0, 0)
    assert spoken.take() == b""
    assert list(connection.unanswered()) == [spoken.exchanges[0], spoken.exchanges[1]]


# --- a body on its way in ---------------------------------------------------------------------------------------------


def test_what_has_come_of_a_body_is_told_until_it_is_whole():
    spoken = holding(b"POST /p HTTP/1.1\r\n%bContent-Length: 10\r\n\r\n" % HOST)
    assert spoken.send(b"1234").connection.arriving == 4
    assert spoken.send(b"567").connection.arriving == 7
    assert spoken.send(b"890").connection.arriving == 0
    assert len(spoken.exchanges) == 1


def test_a_body_for_which_there_is_no_room_is_refused_while_it_comes():
    spoken = holding(b"POST /p HTTP/1.1\r\n%bContent-Length: 10\r\n\r\n1234" % HOST)
    refusal = spoken.connection.overload("too much")
    spoken.take()
    assert (refusal.status, refusal.method, refusal.target) == (503, "POST", "/p")
    (answer,) = spoken.answers
    assert (answer.status, answer.fields["retry-after"], answer.fields["connection"]) == (503, "1", "close")
    assert (spoken.finished, spoken.connection.arriving) == (True, 0)


def test_an_exchange_can_forget_what_its_job_has():
    spoken = holding(b"POST /p HTTP/1.1\r\n%bContent-Length: 3\r\n\r\nabc" % HOST)
    exchange = spoken.exchanges[0]
    exchange.forget_content()
    assert (exchange.request.method, exchange.request.target, exchange.request.client) == (
        "POST",
        "/p",
        "10.0.0.9:5000",
    )
    assert (exchange.request.body, exchange.request.fields) == (b"", ())
