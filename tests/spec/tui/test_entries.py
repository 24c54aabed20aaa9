"""One recorded request, in short and whole."""

from __future__ import annotations

import pytest

from primectl.wire.journal import HopTimes
from tests.support.recorded import a_failure, a_row, an_entry
from tui.present.clean import cells
from tui.present.entries import (
    KEPT,
    RESTED_S,
    Entries,
    body_text,
    entry_lines,
    inspector_lines,
    show_redacted,
)
from tui.present.tables import plain

EVIL = "\x1b]52;c;ZXZpbA==\x07\x1b[31m\u202e\x9b5n"


def text(lines: list) -> str:
    return "\n".join(plain(line) for line in lines)


def test_an_entry_is_asked_for_once_the_cursor_rests_on_it():
    entries = Entries()
    assert entries.question("a", 0.0) == ""
    assert entries.question("b", RESTED_S) == ""
    assert entries.question("b", 2 * RESTED_S) == "b"
    assert entries.question("b", 9.0) == ""
    entries.answered("b", an_entry())
    assert entries.question("b", 10.0) == ""
    assert entries.entry("b") == an_entry()


def test_there_is_one_question_at_a_time():
    entries = Entries()
    assert entries.question("a", 0.0, 0.0) == "a"
    assert entries.question("b", 9.0, 0.0) == ""
    entries.refused("a", "not there")
    assert entries.failure("a") == "not there"
    assert entries.question("b", 9.0, 0.0) == "b"


def test_what_was_not_to_be_had_is_asked_for_again_when_it_is_looked_at_again():
    entries = Entries()
    assert entries.question("a", 0.0, 0.0) == "a"
    entries.refused("a", "not there")
    assert entries.question("a", 1.0, 0.0) == ""
    entries.question("", 2.0)
    assert entries.question("a", 3.0, 0.0) == "a"


def test_entries_are_bounded():
    entries = Entries()
    for number in range(KEPT + 1):
        entries.answered(str(number), an_entry())
    assert not entries.known("0")
    assert entries.known("1")


def test_the_inspector_tells_the_way_and_the_beginning_of_what_was_said():
    row = a_failure(problem="ValueError")
    shown = text(inspector_lines(row, an_entry(row), "", 80, 7))
    assert "1a2f000000001 POST /optimize" in shown
    assert "ValueError" in shown
    assert "q100µs s5.0ms ✗" in shown
    assert "> content-type: application/json   authorization: ‹redacted 41 B›" in shown
    assert '> { "stops": [ 1, 2, 3 ], "mode": "car" }' in shown
    assert '< { "error": "no path between 3 and 7" }' in shown


@pytest.mark.parametrize("height", [1, 3, 7, 40])
@pytest.mark.parametrize("width", [64, 100])
def test_the_inspector_keeps_to_its_room(width: int, height: int):
    entry = an_entry(a_row(path="/x" * 100), fields=(("a", "b" * 300),) * 30, body=b"y" * 1000)
    lines = inspector_lines(entry.row, entry, "", width, height)
    assert len(lines) <= height
    assert all(cells(plain(line).rstrip()) <= width for line in lines[2:])


def test_without_the_entry_what_the_row_knows_is_shown_and_why_there_is_no_more():
    assert text(inspector_lines(a_row(), None, "", 80, 7)).endswith(" …")
    assert "▲ it is gone" in text(inspector_lines(a_row(), None, "it is gone", 80, 7))
    assert "no request under the cursor" in text(inspector_lines(None, None, "", 80, 7))


def test_the_whole_of_it_has_everything_that_was_recorded():
    entry = an_entry(a_row(replay_of="1a2f0000000ab", replay_run="1234abcd", cut=True))
    shown = text(entry_lines(entry, 80))
    for part in ("REQUEST  0B, cut", "GET /route?from=1&to=2 HTTP/1.1", "authorization: ‹redacted 41 B›",
                 '"mode": "car"',
                 "ANSWER  18K", '"error": "no path between 3 and 7"', "of 1a2f0000000ab in run 1234abcd",
                 "header authorization", "answered by route.2"):  # fmt: skip
        assert part in shown


def test_a_request_without_an_answer_says_so():
    entry = an_entry(a_row(status=0, problem="the client left"), answer_body=b"", answer_fields=())
    assert "the client got no answer: the client left" in text(entry_lines(entry, 80))


def test_bodies_are_laid_out_as_what_they_are():
    assert body_text(b'{"a":1}') == '{\n  "a": 1\n}'
    assert body_text(b"a\r\nb") == "a\nb"
    assert body_text(b"\x89PNG\x00\xff") is None
    entry = an_entry(body=bytes(range(256)) * 2)
    shown = text(entry_lines(entry, 80))
    assert "512B, not text" in shown
    assert "… 256 bytes more" in shown


def test_a_value_that_was_taken_out_says_how_long_it_was():
    assert show_redacted("Bearer redacted:41:0123456789abcdef.") == "Bearer ‹redacted 41 B›."
    assert show_redacted("redacted: nothing") == "redacted: nothing"


def test_hostile_headers_and_bodies_are_harmless():
    row = a_row(
        id=EVIL, path=EVIL, method=EVIL, client=EVIL, server=EVIL, worker=EVIL, hops=[HopTimes(EVIL, EVIL, 1, 1)]
    )
    entry = an_entry(row, fields=((EVIL, EVIL),), body=EVIL.encode(), answer_fields=((EVIL, EVIL),), version=EVIL,
                     answer_body=b'{"x":"\\u001b[31m\\u202e"}', redacted=[EVIL])  # fmt: skip
    shown = text([*inspector_lines(row, entry, EVIL, 80, 20), *entry_lines(entry, 80)])
    assert not set(shown) & set("\x1b\x07\u202e\x9b")
