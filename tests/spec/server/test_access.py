"""Nothing that a client sends can forge a line of the access log."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from primectl.server.access import TARGET_LIMIT, line


def entry(method: str = "GET", target: str = "/", client: str = "127.0.0.1:5") -> str:
    return line("2026-01-01T12:00:00.123Z", client, method, target, "1.1", 200, 3, 0.0042, "00ab")


def test_an_entry_is_one_line_with_everything_in_its_place():
    expected = '2026-01-01T12:00:00.123Z 127.0.0.1:5 "GET /x?y=1 HTTP/1.1" 200 3 4.2ms 00ab\n'
    assert entry(target="/x?y=1") == expected


def test_quotes_backslashes_and_control_characters_are_escaped():
    assert '"GET /\\"\\\\\\n\\x1b\\xe4 HTTP/1.1"' in entry(target='/"\\\n\x1bä')


def test_a_long_target_is_cut():
    assert len(entry(target="/" + "x" * 10_000)) < TARGET_LIMIT + 200


@given(st.text(), st.text())
def test_whatever_is_asked_for_it_stays_one_printable_line_with_two_quotes(method: str, target: str):
    text = entry(method, target)
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    assert text[:-1].isascii()
    assert text.replace("\\\\", "").replace('\\"', "").count('"') == 2
