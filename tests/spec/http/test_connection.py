"""One client over time: keep-alive, pipelining order, back pressure, deadlines, half-close, drain."""

from __future__ import annotations

import json

import pytest

from primectl.config.model import ServerConfig
from primectl.errors import IllegalTransition
from primectl.http.connection import HttpConnection, HttpLimits
from primectl.message import Response
from tests.spec.http.talk import DATE, HOST, ID, Talk, chunked, get, post, talk, with_field, with_line

LIMITS = HttpLimits(header_timeout=10.0, body_timeout=30.0, keep_alive_timeout=75.0, max_pipeline=4)
EXPECTING = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def holding(limits: HttpLimits = LIMITS) -> Talk:
    """A talk whose requests are answered only by `answer`."""
    return Talk(limits, handler=None)


# --- keep-alive -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_bytes", "stays", "says"),
    [
        (get(), True, None),
        (get("/", b"Connection: keep-alive\r\n"), True, None),
        (get("/", b"Connection: close\r\n"), False, "close"),
        (get("/", b"connection: CLOSE\r\n"), False, "close"),
        (get("/", b"Connection: x , Close,y\r\n"), False, "close"),
        (get("/", b"Connection: keep-alive\r\nConnection: close\r\n"), False, "close"),
        (get("/", b"Connection: not-close, closed\r\n"), True, None),
        (get("/", b"Proxy-Connection: close\r\n"), True, None),
        (b"GET / HTTP/1.0\r\n\r\n", False, "close"),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", True, "keep-alive"),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", False, "close"),
    ],
)
def test_a_connection_stays_or_closes_as_version_and_client_say(request_bytes: bytes, stays: bool, says: str | None):
    spoken = talk(request_bytes)
    (answer,) = spoken.answers
    assert answer.fields.get("connection") == says
    assert spoken.finished is not stays
    assert len(spoken.send(get("/again")).requests) == (2 if stays else 1)


def test_nothing_behind_a_request_that_closes_is_answered():
    spoken = talk(get("/a") + get("/b", b"Connection: close\r\n") + get("/c") + b"\0\0")
    assert [request.target for request in spoken.requests] == ["/a", "/b"]
    assert spoken.statuses == [200, 200]
    assert spoken.refusals == []


# --- pipelining -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [2, 10, 100, 20_000])
def test_pipelined_requests_are_answered_in_order(number: int):
    stream = b"".join(get(f"/{n}") for n in range(number))
    spoken = Talk(HttpLimits()).send(*(stream[at : at + 65_536] for at in range(0, len(stream), 65_536)))
    assert [request.target for request in spoken.requests] == [f"/{n}" for n in range(number)]
    assert spoken.output.count(b"HTTP/1.1 200 OK") == number
    found = [spoken.output.find(b"GET /%d 0" % n) for n in range(0, number, max(number // 50, 1))]
    assert found == sorted(found)
    assert -1 not in found


def test_answers_come_in_the_order_of_the_requests_whatever_the_order_of_their_making():
    spoken = holding().send(get("/0") + get("/1") + get("/2"))
    assert spoken.connection.open == 3
    spoken.answer(2)
    spoken.answer(1)
    assert spoken.output == b""
    assert spoken.connection.open == 1
    spoken.answer(0)
    assert [answer.body for answer in spoken.answers] == [b"GET /0 0", b"GET /1 0", b"GET /2 0"]
    assert spoken.connection.open == 0


def test_a_refusal_waits_for_the_whole_requests_before_it():
    spoken = holding().send(get("/0") + get("/1") + b"nonsense\r\n\r\n" + get("/2"))
    assert [refusal.status for refusal in spoken.refusals] == [400]
    assert spoken.output == b""
    spoken.answer(1)
    assert not spoken.finished
    spoken.answer(0)
    assert spoken.statuses == [200, 200, 400]
    assert spoken.finished


def test_failing_answers_keep_their_place():
    spoken = holding().send(get("/0") + get("/1") + get("/2"))
    spoken.answer(1, Response.problem(500, "oops", ID))
    spoken.answer(0)
    spoken.answer(2, Response.problem(404, "no", ID))
    assert spoken.statuses == [200, 500, 404]


def test_too_many_open_requests_hold_back_the_client_and_nothing_is_lost():
    """
    1. Ten requests come at once, four may be open: the rest waits, unparsed.
    2. A shell that has already read more may hand it in; it is kept too.
    3. With half of them answered, the connection takes requests again.
    """
    spoken = holding().send(b"".join(get(f"/{n}") for n in range(10)))
    assert (spoken.connection.open, spoken.connection.wants_input) == (4, False)
    spoken.send(get("/10"))
    assert len(spoken.exchanges) == 4
    spoken.answer(0)
    assert not spoken.connection.wants_input
    assert not spoken.connection.waiting
    spoken.answer(1)
    assert spoken.connection.wants_input
    assert spoken.connection.waiting
    spoken.go_on()
    assert [request.target for request in spoken.requests] == [f"/{n}" for n in range(6)]
    assert not spoken.connection.wants_input
    while len(spoken.exchanges) < 11 or spoken.connection.open:
        spoken.answer(len(spoken.exchanges) - spoken.connection.open)
        if spoken.connection.wants_input:
            spoken.go_on()
    assert [answer.body for answer in spoken.answers] == [b"GET /%d 0" % n for n in range(11)]


def test_answers_that_are_made_at_once_leave_nothing_waiting_unseen():
    """A shell that answers while it takes may never see `wants_input` False; `waiting` tells it to go on."""
    spoken = Talk(LIMITS)
    items = spoken.connection.receive(b"".join(get(f"/{n}") for n in range(10)), 0.0)
    for item in items:
        spoken.connection.answer(item, Response(), ID, 0.0)  # type: ignore[arg-type]
    assert len(items) == 4
    assert (spoken.connection.wants_input, spoken.connection.waiting) == (True, True)
    assert len(spoken.connection.receive(b"", 0.0)) == 4


@pytest.mark.parametrize("begun", [b"", b"\r", b"GET / HTTP/1.1\r\n", post(b"abc")[:-1]])
def test_half_a_request_is_nothing_that_waits(begun: bytes):
    assert not Talk(LIMITS).send(begun).connection.waiting


def test_a_shell_that_reads_on_meets_a_bound():
    spoken = holding(HttpLimits(max_pipeline=1, max_header_size=256, max_url_size=64, max_output=1000))
    spoken.send(get("/0"), b"x" * 1000)
    assert spoken.refusals == []
    spoken.send(b"x" * 400)
    assert [refusal.status for refusal in spoken.refusals] == [400]
    spoken.answer(0)
    assert spoken.statuses == [200, 400]
    assert spoken.finished


def test_answers_that_nobody_takes_hold_back_the_client():
    spoken = holding(HttpLimits(max_output=1000)).send(get("/0") + get("/1") + get("/2"))
    connection = spoken.connection
    connection.answer(spoken.exchanges[1], Response(body=b"x" * 1000), ID, 0.0)
    connection.receive(get("/3"), 0.0)
    assert not connection.wants_input
    connection.answer(spoken.exchanges[0], Response(body=b"y"), ID, 0.0)
    assert not connection.wants_input
    assert connection.take_output().endswith(b"x" * 1000)
    assert connection.wants_input
    assert [exchange.request.target for exchange in connection.receive(b"", 0.0)] == ["/3"]  # type: ignore[union-attr]


def test_a_request_is_answered_once():
    spoken = holding().send(get())
    spoken.answer(0)
    with pytest.raises(IllegalTransition):
        spoken.answer(0)


def test_an_exchange_knows_when_its_last_byte_came():
    spoken = holding().send(post(b"abc")[:-1])
    spoken.now = 5.0
    spoken.send(b"c")
    assert spoken.exchanges[0].started == 5.0


# --- Expect -----------------------------------------------------------------------------------------------------------


def test_a_client_that_waits_is_told_to_continue_before_its_body():
    spoken = talk(EXPECTING)
    assert spoken.output == CONTINUE
    assert spoken.requests == []
    spoken.send(b"hello")
    assert spoken.statuses == [100, 200]
    assert spoken.request.body == b"hello"


def test_a_client_that_does_not_wait_is_not_told():
    assert talk(EXPECTING + b"h").output == b""
    assert talk(EXPECTING + b"hello").statuses == [200]


def test_a_chunked_body_is_waited_for_too():
    assert talk(chunked(b"", b"EXPECT: 100-CONTINUE\r\n")).output == CONTINUE


def test_nobody_is_told_to_send_what_is_refused_by_its_size():
    spoken = talk(EXPECTING, HttpLimits(max_request_size=4))
    assert spoken.statuses == [413]
    assert spoken.finished


def test_an_expectation_without_a_body_or_in_1_0_is_passed_over():
    assert talk(get("/", b"Expect: 100-continue\r\n")).statuses == [200]
    assert talk(b"POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n").output == b""
    assert talk(b"GET / HTTP/1.0\r\nExpect: tea\r\n\r\n").statuses == [200]


def test_to_continue_is_said_in_its_turn():
    spoken = holding().send(get("/0"), EXPECTING)
    assert spoken.output == b""
    spoken.answer(0)
    assert spoken.output.endswith(CONTINUE)
    spoken.send(b"hello")
    spoken.answer(1)
    assert spoken.statuses == [200, 100, 200]


def test_to_continue_is_not_said_once_the_body_comes_by_itself():
    spoken = holding().send(get("/0"), EXPECTING, b"he")
    spoken.answer(0)
    spoken.send(b"llo")
    spoken.answer(1)
    assert spoken.statuses == [200, 200]


# --- time -------------------------------------------------------------------------------------------------------------


def test_a_client_that_says_nothing_is_closed_without_a_word():
    spoken = Talk(LIMITS)
    assert spoken.connection.next_deadline == 10.0
    assert not spoken.wait(9.9).finished
    assert spoken.wait(0.1).finished
    assert spoken.output == b""
    assert spoken.refusals == []


def test_without_a_start_the_first_tick_starts_the_clock():
    connection = HttpConnection(LIMITS, "", request_id=lambda: ID, date=lambda: DATE)
    assert connection.next_deadline is not None
    assert connection.next_deadline < 0.0
    assert connection.tick(100.0) == []
    assert connection.next_deadline == 110.0
    assert connection.tick(110.0) == []
    assert connection.finished


def test_half_a_head_is_answered_408_however_busily_it_grows():
    spoken = Talk(LIMITS).send(b"GET / HT")
    spoken.wait(9.0).send(b"TP/1.1\r\nX-Slow: ")
    for _ in range(9):
        spoken.wait(0.1).send(b"y")
    assert spoken.refusals == []
    spoken.wait(0.2)
    assert spoken.statuses == [408]
    assert (spoken.refusals[0].method, spoken.refusals[0].target) == ("GET", "/")
    assert spoken.finished


@pytest.mark.parametrize("begun", [post(b"12345")[:-2], chunked(b"5\r\n123"), chunked(b""), EXPECTING])
def test_half_a_body_is_answered_408_when_nothing_more_comes(begun: bytes):
    spoken = Talk(LIMITS).send(begun).wait(29.9)
    assert spoken.refusals == []
    spoken.wait(0.1)
    assert [refusal.status for refusal in spoken.refusals] == [408]
    assert spoken.finished


def test_each_read_of_a_body_gives_it_new_time():
    spoken = Talk(LIMITS).send(post(b"12345")[:-5])
    for byte in (b"1", b"2", b"3", b"4", b"5"):
        spoken.wait(29.0).send(byte)
    assert spoken.statuses == [200]


def test_an_idle_connection_is_closed_without_a_word():
    spoken = Talk(LIMITS).send(get())
    spoken.wait(74.9)
    assert not spoken.finished
    spoken.wait(0.1)
    assert spoken.finished
    assert spoken.statuses == [200]


def test_a_request_that_is_being_answered_has_no_deadline_here():
    spoken = holding().send(get())
    assert spoken.connection.next_deadline is None
    assert not spoken.wait(10_000.0).finished
    spoken.answer(0)
    assert spoken.connection.next_deadline == 10_075.0


def test_half_a_head_behind_an_open_request_is_refused_in_its_turn():
    spoken = holding().send(get("/0") + b"GET")
    spoken.wait(10.0)
    assert [refusal.status for refusal in spoken.refusals] == [408]
    spoken.answer(0)
    assert spoken.statuses == [200, 408]
    assert spoken.finished


def test_a_head_that_we_do_not_read_on_is_given_new_time():
    spoken = holding(HttpLimits(max_pipeline=1)).send(get("/0") + get("/1")[:-2])
    assert not spoken.connection.wants_input
    spoken.wait(1000.0)
    spoken.answer(0)
    spoken.go_on().wait(9.0)
    assert spoken.refusals == []
    spoken.send(b"\r\n")
    spoken.answer(1)
    assert spoken.statuses == [200, 200]


def test_a_tick_before_the_deadline_does_nothing():
    spoken = Talk(LIMITS).send(b"GET").wait(9.0)
    assert (spoken.refusals, spoken.finished, spoken.output) == ([], False, b"")


# --- half-close -------------------------------------------------------------------------------------------------------


def test_a_client_that_shuts_its_side_gets_all_its_answers():
    spoken = holding().send(get("/0") + get("/1")).shut()
    assert not spoken.finished
    spoken.answer(1)
    spoken.answer(0)
    assert spoken.statuses == [200, 200]
    assert spoken.finished


def test_requests_that_wait_are_taken_after_a_half_close_too():
    spoken = Talk(HttpLimits(max_pipeline=1), handler=None).send(get("/0") + get("/1") + get("/2")[:-1]).shut()
    assert len(spoken.exchanges) == 1
    spoken.answer(0)
    spoken.go_on()
    assert len(spoken.exchanges) == 2
    assert not spoken.finished
    spoken.answer(1)
    spoken.go_on()
    assert spoken.statuses == [200, 200]
    assert spoken.finished


def test_a_half_close_with_the_last_request_open_finishes_with_its_answer():
    spoken = Talk(HttpLimits(max_pipeline=1), handler=None).send(get("/0")).shut()
    assert not spoken.finished
    spoken.answer(0)
    assert spoken.finished


@pytest.mark.parametrize("begun", [b"", b"\r\n", b"GET", get()[:-2], post(b"abc")[:-1], chunked(b"1\r\nx\r\n0\r\n")])
def test_a_request_cut_short_reaches_nobody_and_is_not_answered(begun: bytes):
    spoken = talk(begun).shut()
    assert (spoken.requests, spoken.refusals, spoken.output) == ([], [], b"")
    assert spoken.finished


# --- drain ------------------------------------------------------------------------------------------------------------


def test_a_draining_connection_finishes_with_the_last_open_answer_which_says_so():
    spoken = holding().send(get("/0") + get("/1"))
    spoken.connection.drain()
    spoken.send(get("/late"))
    spoken.answer(0)
    assert not spoken.finished
    spoken.answer(1)
    assert [answer.fields.get("connection") for answer in spoken.answers] == [None, "close"]
    assert spoken.finished
    assert len(spoken.exchanges) == 2


def test_a_request_that_has_begun_is_finished_while_draining():
    spoken = holding().send(get("/0"), post(b"abc")[:-1])
    spoken.connection.drain()
    spoken.answer(0)
    assert not spoken.finished
    spoken.send(b"c" + get("/late"))
    spoken.answer(1)
    assert [answer.fields.get("connection") for answer in spoken.answers] == [None, "close"]
    assert spoken.finished


def test_an_idle_client_may_still_ask_once_while_draining():
    spoken = Talk(LIMITS).send(get("/0"))
    spoken.connection.drain()
    assert not spoken.finished
    spoken.send(get("/1") + get("/2"))
    assert [answer.fields.get("connection") for answer in spoken.answers] == [None, "close"]
    assert spoken.finished


def test_a_drained_1_0_client_is_not_promised_a_further_request():
    spoken = holding().send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    spoken.connection.drain()
    spoken.answer(0)
    assert spoken.answers[0].fields["connection"] == "close"


def test_close_if_idle_closes_nothing_that_is_at_work():
    assert Talk(LIMITS).connection.close_if_idle()
    assert Talk(LIMITS).send(get()).connection.close_if_idle()
    assert not holding().send(get()).connection.close_if_idle()
    assert not Talk(LIMITS).send(b"GE").connection.close_if_idle()
    assert not Talk(LIMITS).send(post(b"abc")[:-1]).connection.close_if_idle()


# --- answers ----------------------------------------------------------------------------------------------------------


def test_head_gets_the_headers_of_get_and_no_body():
    spoken = talk(with_line(b"HEAD /x HTTP/1.1") + get("/x"))
    head, whole = spoken.answers
    assert head.fields["content-length"] == "9"
    assert (head.body, whole.body) == (b"", b"GET /x 0")


def test_a_refused_head_request_has_no_body_either():
    spoken = talk(with_line(b"HEAD /x HTTP/1.1")[:-2] + b"Content-Length: x\r\n\r\n")
    assert spoken.output.endswith(b"\r\n\r\n")
    assert spoken.output.count(b"\r\n\r\n") == 1
    assert spoken.refusals[0].method == "HEAD"


@pytest.mark.parametrize(
    "response",
    [
        Response(200, (("x-evil", "a\r\nset-cookie: b"),)),
        Response(200, (("x-evil", "a\nb"),)),
        Response(200, (("x-evil", "a\0b"),)),
        Response(200, (("x-evil", "\u20ac"),)),
        Response(200, (("x evil", "a"),)),
        Response(200, (("x-evil\r\nx", "a"),)),
        Response(200, (("", "a"),)),
        Response(99),
        Response(100),
        Response(101),
        Response(1000),
    ],
)
def test_an_answer_that_cannot_be_sent_becomes_a_500_and_is_reported(response: Response):
    spoken = holding().send(get())
    assert spoken.answer(0, response) is False
    (answer,) = spoken.answers
    assert (answer.status, answer.fields["content-type"]) == (500, "application/problem+json")
    assert json.loads(answer.body)["request_id"] == ID
    assert b"evil" not in spoken.output
    assert len(spoken.send(get()).exchanges) == 2


def test_every_answer_has_a_date_and_a_request_id():
    spoken = talk(get() + b"oops\r\n")
    assert [answer.fields["date"] for answer in spoken.answers] == [DATE.decode()] * 2
    assert [answer.fields["x-request-id"] for answer in spoken.answers] == [ID] * 2


# --- limits from the config, proxies in front -------------------------------------------------------------------------


def test_the_limits_are_those_of_the_config():
    server = ServerConfig(max_url_size=100, trusted_proxies=("10.0.0.0/8", "::1"))
    limits = HttpLimits.from_config(server)
    assert limits.max_url_size == 100
    assert limits == HttpLimits(max_url_size=100, trusted_proxies=limits.trusted_proxies)
    assert [str(network) for network in limits.trusted_proxies] == ["10.0.0.0/8", "::1/128"]


def test_a_trusted_proxy_names_the_client():
    raw = with_field(b"X-Forwarded-For: 203.0.113.7")
    limits = HttpLimits.from_config(ServerConfig(trusted_proxies=("10.0.0.0/8",)))
    assert talk(raw, limits).request.client == "203.0.113.7:0"
    assert talk(raw).request.client == "10.0.0.9:5000"
    assert HOST in raw
