"""The sample `art`: what is drawn, and what is not."""

import unicodedata
from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primectl.handlers.art import MOST_COLUMNS, MOST_LINES, STYLES, art, columns
from primectl.message import HTTPError, Job, Request

ANY_JOB = Job(1, "r", "artist", "artist.1", 1, 0.0)


def draw(text: str, style: str) -> str:
    return art(Request("GET", f"/art?text={quote(text)}&style={style}"), ANY_JOB).body.decode()


def test_a_box() -> None:
    assert draw("Hello\nyou", "box") == (
        "┌───────┐\n"
        "│ Hello │\n"
        "│ you   │\n"
        "└───────┘\n"
    )  # fmt: skip


def test_a_banner() -> None:
    assert draw("Hi!", "banner") == (
        "█  █ ███ █\n"
        "█  █  █  █\n"
        "████  █  █\n"
        "█  █  █\n"
        "█  █ ███ █\n"
    )  # fmt: skip


def test_a_shadow() -> None:
    assert draw("I", "shadow") == (
        "███\n"
        " █░░\n"
        " █░\n"
        " █░\n"
        "███\n"
        " ░░░\n"
    )  # fmt: skip


def test_a_scroll() -> None:
    assert draw("Hello", "scroll") == (
        "  .-----------.\n"
        " /             \\\n"
        "|  .---------.  |\n"
        " \\_|         |_/\n"
        "   |  Hello  |\n"
        " _ |         | _\n"
        "| \\'---------'/ |\n"
        " \\_____________/\n"
    )  # fmt: skip


def test_a_wave() -> None:
    assert draw("waves", "wave") == (
        "    v e s\n"
        "  a\n"
        "w\n"
        "\n"
        "\n"
        "~~~≈≈≈~~~\n"
    )  # fmt: skip


def test_the_body_of_a_post_is_drawn_too() -> None:
    answer = art(Request("POST", "/art?style=round", body="né".encode()), ANY_JOB)
    assert answer.body.decode() == "╭────╮\n│ né │\n╰────╯\n"


def test_without_a_text_it_draws_its_maker() -> None:
    assert art(Request("GET", "/art"), ANY_JOB).body.decode() == draw("primectl", "banner")


def test_frames_fit_wide_letters_and_marks_above() -> None:
    assert (
        draw("日本\nabcd\ne\N{COMBINING ACUTE ACCENT}", "double")
        == "╔══════╗\n║ 日本 ║\n║ abcd ║\n║ é    ║\n╚══════╝\n"
    )


def test_letters_that_the_font_lacks_are_drawn_as_questions_and_accents_left_out() -> None:
    assert draw("日", "banner") == draw("?", "banner")
    assert draw("é", "banner") == draw("e", "banner") == draw("E", "banner")


def test_escapes_and_marks_that_turn_the_direction_are_left_out() -> None:
    assert draw("a\x1b[31mb\x07\u202ec\x9b", "box") == draw("a[31mbc", "box")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "there is no text to draw; ask for /art?text=Hello&style=banner"),
        (" \n\x1b\n", "there is no text to draw; ask for /art?text=Hello&style=banner"),
        ("x" * 61, "the text is too large: at most 12 lines of 60 columns are drawn"),
        ("日" * 31, "the text is too large: at most 12 lines of 60 columns are drawn"),
        ("x\n" * 13, "the text is too large: at most 12 lines of 60 columns are drawn"),
        ("\n" * 5000, "the text has 5000 characters, at most 4096 are drawn"),
    ],
)
def test_too_much_and_nothing_are_refused(text: str, problem: str) -> None:
    with pytest.raises(HTTPError) as caught:
        art(Request("POST", "/art", body=text.encode()), ANY_JOB)
    assert (caught.value.status, caught.value.detail) == (400, problem)


def test_an_unknown_style_names_the_known_ones() -> None:
    with pytest.raises(HTTPError) as caught:
        draw("x", "baner")
    assert caught.value.detail == (
        "there is no style 'baner'; the styles are banner, box, double, round, scroll, shadow, wave"
    )


@given(st.text(min_size=1, max_size=80), st.sampled_from(sorted(STYLES)))
def test_whatever_is_drawn_holds_no_control_characters_and_is_of_bounded_width(text: str, style: str) -> None:
    request = Request("POST", f"/art?style={style}", body=text.encode())
    with suppress(HTTPError):
        rows = art(request, ANY_JOB).body.decode().split("\n")
        assert not [letter for row in rows for letter in row if unicodedata.category(letter).startswith("C")]
        assert max(map(columns, rows)) <= 2 * MOST_COLUMNS * MOST_LINES
