"""Text from outside: nothing that a terminal obeys gets through, and widths are what a terminal makes of them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.present.clean import cells, clean, cut, fit


def test_an_escape_sequence_is_shown_and_not_obeyed():
    assert clean("\x1b]52;c;ZXZpbA==\x07") == "␛]52;c;ZXZpbA==␇"


def test_line_ends_and_tabs_keep_a_text_on_one_line():
    assert clean("one\r\ntwo\tthree\x7f") == "one␍␊two three␡"


def test_c1_controls_and_bidi_overrides_are_replaced():
    assert clean("a\x9b31mb \u202eevil\u2028") == "a\ufffd31mb \ufffdevil\ufffd"


def test_what_terminals_disagree_about_is_dropped():
    assert clean("\N{WOMAN}\u200d\N{WOMAN} \N{HEAVY BLACK HEART}\ufe0f") == "\N{WOMAN}\N{WOMAN} \N{HEAVY BLACK HEART}"


def test_lone_surrogates_which_no_terminal_can_be_sent_are_replaced():
    assert clean("bad \udc80 byte") == "bad \ufffd byte"


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_that_is_not_printable_survives(text: str):
    shown = clean(text)
    assert shown.isprintable()
    shown.encode()
    assert not any(unicodedata.category(char)[0] == "C" for char in shown)
    assert clean(shown) == shown


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("", 0), ("…", 1)])
def test_cells_are_counted_as_a_terminal_does(text: str, width: int):
    assert cells(text) == width


@given(st.text(), st.integers(0, 30))
def test_cut_text_never_takes_more_than_its_width(text: str, width: int):
    assert cells(cut(clean(text), width)) <= width


@given(st.text(), st.integers(1, 30), st.booleans())
def test_fitted_text_takes_exactly_its_width(text: str, width: int, right: bool):
    assert cells(fit(clean(text), width, right=right)) == width


def test_what_was_cut_shows():
    assert cut("proxy.compute", 6) == "proxy…"
    assert cut("日本語", 4) == "日…"
    assert fit("日本語", 4) == "日… "
