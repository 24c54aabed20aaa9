"""Recorded requests as text: what strangers sent is harmless, what is special about one is said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from primectl.cli.recording import recording_text
from primectl.cli.requesttext import body_lines, columns_for, entry_text, header, row_text
from primectl.wire.journal import Entry, HopTimes, Row
from primectl.wire.stats import JournalSnapshot
from tui.present.clean import cells

ROW = Row(
    id="00000abc051bb",
    time=1.7e9,
    method="POST",
    path="/optimize",
    query="mode=car",
    status=500,
    ms=31.2,
    pool="parse",
    worker="compute.3",
    server="server.1",
    client="127.0.0.1:5000",
    size=36,
    asked_size=27,
    problem="no path",
    hops=[HopTimes("parse", "parse.1", 0.0, 2.0), HopTimes("compute", "compute.3", 1.0, 22.0)],
)
ENTRY = Entry(
    row=ROW,
    fields=(("content-type", "application/json"), ("authorization", "redacted:41:0123456789abcdef")),
    body=b'{"stops":[1,2]}',
    answer_fields=(("content-type", "application/problem+json"),),
    answer_body=b'{"detail":"no path"}',
    redacted=["header authorization"],
)
HOSTILE = "\x1b]52;c;x\x07\r\n\x9b31m\u202e\x00"


def listed(row: Row, width: int = 120) -> str:
    return row_text(row, columns_for(width), colour=False)


def shown(entry: Entry, *replays: Row, width: int = 100) -> list[str]:
    return entry_text(entry, replays, width, colour=False)


# --- a list -----------------------------------------------------------------------------------------------------------


def test_a_row_has_what_one_looks_for() -> None:
    line = listed(ROW).split()
    assert line[1:] == [
        "00000abc051bb",
        "POST",
        "/optimize?mode=car",
        "500",
        "31",
        "compute",
        "s22ms",
        "36B",
        "no",
        "path",
    ]


def test_in_a_narrow_terminal_the_end_of_the_id_is_left_and_lines_fit() -> None:
    line, titles = listed(ROW, 80), header(columns_for(80), colour=False)
    assert line.split()[1] == "bc051bb"
    assert max(cells(line), cells(titles)) <= 80
    assert titles.split() == ["TIME", "ID", "METHOD", "PATH", "ST", "MS", "SLOWEST", "SIZE"]


def test_replays_dead_letters_and_redeemed_ones_are_marked() -> None:
    replay = structs.replace(ROW, replay_of="00000000051aa", replay_run="0123abcd", problem="")
    assert listed(replay)[0] == "↻"
    assert listed(replay, 160).endswith("replay of 051aa")
    assert listed(structs.replace(ROW, dead=True))[0] == "✗"
    assert listed(structs.replace(ROW, dead=True, redeemed=True))[0] == "✓"
    assert listed(ROW)[0] == " "


def test_what_got_no_answer_has_neither_status_nor_size() -> None:
    line = listed(structs.replace(ROW, status=0, size=0, hops=[], problem="the client left"), 160)
    assert line.split()[4:6] == ["---", "31"]
    assert line.endswith("- the client left")


@given(st.text(max_size=30), st.text(max_size=9), st.integers(70, 200))
def test_a_line_of_a_list_is_harmless_and_fits_whatever_was_asked(path: str, method: str, width: int) -> None:
    row = structs.replace(ROW, path=HOSTILE + path, method=method, query=path, problem=path)
    line = listed(row, width)
    assert line.isprintable()
    assert cells(line) <= width


# --- one of them ------------------------------------------------------------------------------------------------------


def test_one_request_is_shown_with_its_way_what_was_asked_and_what_was_answered() -> None:
    lines = shown(ENTRY)
    assert lines[0] == "00000abc051bb POST /optimize?mode=car 500 Internal Server Error 31ms"
    assert "who       client 127.0.0.1:5000, server server.1, answered by compute.3" in lines
    assert "problem   no path" in lines
    assert any(line.startswith(" compute.3 ") and line.endswith("q1.0ms s22ms") for line in lines)
    begin = lines.index("REQUEST, 27B")
    assert lines[begin:] == [
        "REQUEST, 27B",
        "POST /optimize?mode=car HTTP/1.1",
        "content-type: application/json",
        "authorization: ‹redacted 41 B›",
        "",
        '{"stops":[1,2]}',
        "",
        "ANSWER, 36B",
        "500 Internal Server Error",
        "content-type: application/problem+json",
        "",
        '{"detail":"no path"}',
    ]


def test_replays_attempts_dead_letters_and_what_was_redacted_are_told() -> None:
    row = structs.replace(ROW, attempts=3, dead=True, replay_of="00000000051aa", replay_run="0123abcd")
    replay = structs.replace(ROW, id="00000000051cc", status=200)
    lines = shown(structs.replace(ENTRY, row=row), replay)
    assert "attempts  3: 2 workers lost" in lines
    assert "dead      `primectl replay` sends it again" in lines
    assert "replay    of 00000000051aa, run 0123abcd" in lines
    assert "replayed  00000000051cc (200)" in lines
    assert "redacted  header authorization" in lines


def test_a_body_that_was_cut_says_so_also_in_the_middle_of_a_character() -> None:
    row = structs.replace(ROW, asked_size=3 << 20, cut=True)
    lines = shown(structs.replace(ENTRY, row=row, body="grün".encode()[:3]))
    assert "REQUEST, its body cut at 3B of 3.0M" in lines
    assert "gr" in lines


def test_what_got_no_answer_has_no_part_for_one() -> None:
    lines = shown(structs.replace(ENTRY, row=structs.replace(ROW, status=0, problem="the client left")))
    assert lines[0].endswith("no answer 31ms")
    assert not any(line.startswith("ANSWER") for line in lines)


def test_a_body_that_is_no_text_is_shown_in_hexadecimal_up_to_a_bound() -> None:
    lines = body_lines(bytes(range(256)) * 2)
    assert lines[0] == "512B that are no text"
    assert lines[5].endswith("@ABCDEFGHIJKLMNO")
    assert lines[5].startswith("00000040  40 41 42")
    assert lines[-1] == "… 256B more"
    assert len(lines) == 18
    assert body_lines(b"a\0b")[0] == "3B that are no text"


def test_a_text_keeps_its_lines() -> None:
    assert body_lines(b"one\r\n  two\n") == ["one", "  two"]


@given(st.binary(max_size=60), st.text(max_size=20))
def test_nothing_that_was_sent_reaches_the_terminal_raw(body: bytes, text: str) -> None:
    hostile = HOSTILE + text
    row = structs.replace(ROW, path=hostile, method=hostile, problem=hostile, client=hostile, worker=hostile)
    entry = structs.replace(
        ENTRY,
        row=row,
        fields=((hostile, hostile),),
        body=body + HOSTILE.encode(),
        answer_body=body,
        redacted=[hostile],
        version=hostile,
    )
    assert all(line.isprintable() for line in shown(entry))


# --- whether it is recorded -------------------------------------------------------------------------------------------


def test_nothing_is_said_of_a_recorder_that_records_all() -> None:
    assert recording_text(JournalSnapshot(state="recording", rows=7)) == ""
    assert recording_text(JournalSnapshot(state="starting")) == ""


def test_why_requests_are_not_recorded_is_said() -> None:
    assert recording_text(JournalSnapshot(state="off")) == "requests are not recorded (journal.enabled = false)"
    stopped = JournalSnapshot(state="stopped", trouble="the disk is full", dropped=1)
    assert recording_text(stopped) == "not recording: the disk is full, 1 row dropped"
