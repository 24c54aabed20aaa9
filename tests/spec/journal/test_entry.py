"""How a server's record becomes a row and an entry."""

from __future__ import annotations

import math

import msgspec
import pytest

from primectl.journal import entry
from primectl.journal.entry import IMPORTED, OpenBlock, Page, entry_of, hop_times, packed, pages, record_of, row_of
from primectl.message import Request, Response
from primectl.wire.journal import DEAD, STREAMED, Entry, Hop, HopTimes, Record, Row, add_hop
from tests.support.records import ANSWER, PLAIN, a_record, asked, columns_of

CLOCK = 1e9


def only(record: Record, flags: int = 0) -> tuple[Page, Row, Entry]:
    [page] = pages("server.1", CLOCK, packed([record]), {}, flags)
    [columns] = columns_of(page)
    return page, row_of(columns), entry_of(columns, *OpenBlock(page.block).at(columns[-1]))


def test_a_row_has_what_became_of_a_request():
    _, row, _ = only(a_record(7, seconds=0.25))
    assert row == Row(
        id="0000000000007",
        number=1000,
        time=CLOCK + 1.0,
        method="GET",
        path="/is_prime",
        query="possible_prime=7",
        status=200,
        ms=250.0,
        pool="parse",
        worker="compute.3",
        server="server.1",
        client="127.0.0.1:5000",
        size=1,
    )


def test_an_entry_has_the_request_the_answer_and_the_time_of_each_hop():
    _, _, found = only(a_record(7))
    assert (found.target, found.fields, found.answer_fields, found.answer_body) == (
        "/is_prime?possible_prime=7",
        PLAIN,
        ANSWER,
        b"7",
    )
    assert [(hop.pool, hop.worker, round(hop.queued_ms), round(hop.served_ms)) for hop in found.row.hops] == [
        ("parse", "parse.1", 10, 10),
        ("compute", "compute.3", 30, 40),
    ]


def test_a_hop_that_no_worker_began_has_waited_for_as_long_as_it_was_there():
    trail = add_hop(b"", Hop("compute", 1.0, 1.5, 2, True))
    assert hop_times(a_record(trail=trail)) == [HopTimes("compute", "", 500.0, 0.0, 2, True)]


@pytest.mark.parametrize("trail", [b"\xc1", b"\x91\x01", b"garbage"])
def test_a_trail_that_cannot_be_read_is_none(trail: bytes):
    page, row, found = only(a_record(trail=trail))
    assert (row.hops, found.row.hops, columns_of(page)[0][12]) == ([], [], "")


def test_bodies_that_are_not_whole_are_told():
    _, row, _ = only(a_record(request=asked(body=b"half"), asked_bytes=8, body=b"1", body_bytes=3))
    assert (row.cut, row.answer_cut, row.asked_size, row.size) == (True, True, 8, 3)
    _, row, _ = only(a_record(request=asked(body=b"half"), asked_bytes=4))
    assert (row.cut, row.answer_cut) == (False, False)


def test_the_problem_is_what_the_answer_says_unless_the_server_knows_better():
    answer = Response.problem(502, "worker lost")
    record = a_record(status=502, fields=answer.fields, body=answer.body)
    assert only(record)[1].problem == "worker lost"
    assert only(msgspec.structs.replace(record, problem="the client left"))[1].problem == "the client left"


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[]"])
def test_a_problem_that_cannot_be_read_is_none(body: bytes):
    assert only(a_record(status=500, fields=Response.problem(500, "").fields, body=body))[1].problem == ""


@pytest.mark.parametrize("request_", [b"", b"\x90", b"\xc1", b"\x93\x01\x02\x03"])
def test_what_was_no_request_has_a_row_all_the_same(request_: bytes):
    _, row, found = only(a_record(request=request_, status=400))
    assert (row.method, row.path, row.status, found.fields, found.body) == ("", "", 400, (), b"")


def test_a_dead_letter_has_a_block_of_its_own():
    found = pages("server.1", CLOCK, packed([a_record(1), a_record(2, flags=DEAD), a_record(3)]), {2: ["header a"]})
    assert [(page.dead, [told.request for told in page.told]) for page in found] == [(False, [1, 3]), (True, [2])]
    assert [OpenBlock(found[0].block).at(place)[1] for place in (0, 1)] == [[], ["header a"]]
    assert OpenBlock(found[1].block).at(0)[0].request == 2


@pytest.mark.parametrize(
    ("value", "mark"),
    [
        ("0123abcd/00000000000ff", (255, "0123abcd")),
        (" 0123abcd/00000000000ff ", (255, "0123abcd")),
        ("0123abcd/ff", None),
        ("0123ABCD/00000000000ff", None),
        ("", None),
    ],
)
def test_a_replay_names_its_run_and_its_original_and_a_malformed_mark_is_none(value: str, mark: tuple[int, str] | None):
    page, row, _ = only(a_record(request=asked(fields=(("X-Primectl-Replay", value),))))
    assert page.marks == ({} if mark is None else {0: mark})
    assert (row.replay_of, row.replay_run) == (("00000000000ff", "0123abcd") if mark else ("", ""))


def test_a_replay_that_is_given_up_is_no_dead_letter_its_original_is():
    replay = a_record(request=asked(fields=(("x-primectl-replay", "0badcafe/00000000000a1"),)), flags=DEAD)
    page, row, _ = only(replay)
    assert (page.dead, row.dead, row.replay_of) == (False, False, "00000000000a1")
    given_up = a_record(flags=DEAD)
    assert [page.dead for page in pages("server.1", 0.0, packed([replay, given_up]), {})] == [False, True]


def test_the_flags_of_a_record_are_told_apart():
    _, row, _ = only(a_record(flags=DEAD | STREAMED), IMPORTED)
    assert (row.dead, row.streamed, row.imported, row.redeemed) == (True, True, True, False)


def test_flags_that_only_the_journal_gives_are_not_taken_from_a_server():
    assert not only(a_record(flags=entry.REDEEMED | IMPORTED))[1].imported


def test_an_entry_from_elsewhere_becomes_a_record_and_the_same_entry_again():
    request = Request("POST", "/a?b=c", PLAIN, b"body", "10.0.0.1:1")
    record = a_record(255, request=msgspec.msgpack.encode(request), asked_bytes=4)
    _, _, found = only(record)
    [page] = pages("server.1", 0.0, packed([record_of(found)]), {})
    [columns] = columns_of(page)
    again = entry_of(columns, *OpenBlock(page.block).at(0))
    assert (again.fields, again.body, again.target, again.row.id) == (PLAIN, b"body", "/a?b=c", "00000000000ff")
    assert again.row.time == found.row.time
    assert [round(hop.served_ms) for hop in again.row.hops] == [10, 40]


@pytest.mark.parametrize(
    "change",
    [{"began": math.nan}, {"ended": math.inf}, {"request": 1 << 63}, {"body_bytes": -1}, {"status": (1 << 64) - 1}],
)
def test_figures_that_sqlite_has_no_room_for_are_no_records(change: dict[str, float]):
    with pytest.raises(msgspec.MsgspecError):
        pages("server.1", CLOCK, packed([msgspec.structs.replace(a_record(), **change)]), {})


def test_what_is_no_list_of_records_is_refused():
    with pytest.raises(msgspec.MsgspecError):
        pages("server.1", CLOCK, b"\x91\x01", {})
