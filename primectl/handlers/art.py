"""Artisanal text art: a text in, the same text in a frame, in block letters or on the waves out.

    GET /art?text=Hello&style=banner        POST /art?style=box with the text as the body

Styles: banner, box, double, round, scroll, shadow, wave. A text has at most 12 lines of 60 columns; control characters
are left out, so a terminal shows the art and does nothing else.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable

from primectl.message import HTTPError, Job, Request, Response

MOST_LINES = 12
MOST_COLUMNS = 60
MOST_LETTERS = 4 << 10


def art(request: Request, job: Job) -> Response:
    """The art as plain text; 400 with the styles for a style that is not known, or a text that is too large."""
    text = request.text() if request.method == "POST" else request.query.get("text", "primectl")
    style = request.query.get("style", "banner")
    if style not in STYLES:
        raise HTTPError(400, f"there is no style {style[:40]!r}; the styles are {', '.join(STYLES)}")
    return Response.text("".join(f"{row.rstrip()}\n" for row in STYLES[style](clean(text))))


def clean(text: str) -> list[str]:
    """The lines of a text, harmless and not too many. Raises HTTPError for too much, or nothing, to draw."""
    if len(text) > MOST_LETTERS:
        raise HTTPError(400, f"the text has {len(text)} characters, at most {MOST_LETTERS} are drawn")
    composed = unicodedata.normalize("NFC", text)
    lines = [_harmless(line).rstrip() for line in composed.expandtabs(4).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise HTTPError(400, "there is no text to draw; ask for /art?text=Hello&style=banner")
    if len(lines) > MOST_LINES or max(map(columns, lines)) > MOST_COLUMNS:
        raise HTTPError(400, f"the text is too large: at most {MOST_LINES} lines of {MOST_COLUMNS} columns are drawn")
    return lines


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: wide letters two, marks above others none."""
    return sum(_width(letter) for letter in text)


def _width(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) == "Mn":
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _harmless(line: str) -> str:
    """Without control, format, private and unassigned characters: escapes, and marks that turn the direction."""
    return "".join(letter for letter in line if not unicodedata.category(letter).startswith("C"))


def _padded(line: str, width: int) -> str:
    return line + " " * (width - columns(line))


# --- styles: lines in, rows out ---------------------------------------------------------------------------------------


def _frame(corners: str, across: str, down: str) -> Callable[[list[str]], list[str]]:
    """A frame of the given corners, clockwise from the upper left."""

    def framed(lines: list[str]) -> list[str]:
        width = max(map(columns, lines))
        bar = across * (width + 2)
        inside = [f"{down} {_padded(line, width)} {down}" for line in lines]
        return [f"{corners[0]}{bar}{corners[1]}", *inside, f"{corners[3]}{bar}{corners[2]}"]

    return framed


def _scroll(lines: list[str]) -> list[str]:
    width = max(map(columns, lines)) + 4
    inside = [f"   |  {_padded(line, width - 4)}  |" for line in lines]
    return [
        f"  .-{'-' * width}-.",
        f" /  {' ' * width}  \\",
        f"|  .{'-' * width}.  |",
        f" \\_|{' ' * width}|_/",
        *inside,
        f" _ |{' ' * width}| _",
        f"| \\'{'-' * width}'/ |",
        f" \\_{'_' * (width + 2)}_/",
    ]


def _wave(lines: list[str]) -> list[str]:
    """Letters ride a wave two columns apart; a tail of foam below."""
    letters = " ".join(" ".join(line) for line in lines)
    height = 5
    heights = [round((height - 1) / 2 * (1 - math.sin(place / 4))) for place in range(len(letters))]
    rows = [
        "".join(
            letter if heights[place] == row else " " * max(1, _width(letter)) for place, letter in enumerate(letters)
        )
        for row in range(height)
    ]
    return [*rows, "".join("~≈"[place // 3 % 2] for place in range(columns(letters)))]


def _banner(lines: list[str]) -> list[str]:
    return [row.replace("#", "█") for line in lines for row in [*_block_rows(line), ""]][:-1]


def _shadow(lines: list[str]) -> list[str]:
    """Block letters with their shadow one column to the right and one row below."""
    drawn: list[str] = []
    for line in lines:
        rows = _block_rows(line)
        width = len(rows[0]) + 1
        lit = [f"{row} " for row in rows] + [" " * width]
        dark = [" " * width] + [f" {row}" for row in rows]
        drawn += [
            "".join("█" if light == "#" else "░" if shade == "#" else " " for light, shade in zip(*pair, strict=True))
            for pair in zip(lit, dark, strict=True)
        ]
    return drawn


STYLES: dict[str, Callable[[list[str]], list[str]]] = {
    "banner": _banner,
    "box": _frame("┌┐┘└", "─", "│"),
    "double": _frame("╔╗╝╚", "═", "║"),
    "round": _frame("╭╮╯╰", "─", "│"),
    "scroll": _scroll,
    "shadow": _shadow,
    "wave": _wave,
}


# --- block letters ----------------------------------------------------------------------------------------------------


def _block_rows(line: str) -> list[str]:
    """A line in letters of five rows. Accents are left out; a letter that is not in the font is shown as ?."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", line) if not unicodedata.combining(letter))
    glyphs = [_FONT.get(letter, _FONT["?"]) for letter in plain.upper()] or [_FONT[" "]]
    return [" ".join(glyph[row] for glyph in glyphs) for row in range(5)]


_SHEETS = {
    "ABCDEFGHI": """
.##.|###.|.###|###.|####|####|.###|#..#|###
#..#|#..#|#...|#..#|#...|#...|#...|#..#|.#.
####|###.|#...|#..#|###.|###.|#.##|####|.#.
#..#|#..#|#...|#..#|#...|#...|#..#|#..#|.#.
#..#|###.|.###|###.|####|#...|.###|#..#|###
""",
    "JKLMNOPQR": """
..##|#..#|#...|#...#|#...#|.##.|###.|.##..|###.
...#|#.#.|#...|##.##|##..#|#..#|#..#|#..#.|#..#
...#|##..|#...|#.#.#|#.#.#|#..#|###.|#..#.|###.
#..#|#.#.|#...|#...#|#..##|#..#|#...|#.##.|#.#.
.##.|#..#|####|#...#|#...#|.##.|#...|.##.#|#..#
""",
    "STUVWXYZ": """
.###|#####|#..#|#...#|#...#|#...#|#...#|####
#...|..#..|#..#|#...#|#...#|.#.#.|.#.#.|..#.
.##.|..#..|#..#|#...#|#.#.#|..#..|..#..|.#..
...#|..#..|#..#|.#.#.|##.##|.#.#.|..#..|#...
###.|..#..|.##.|..#..|#...#|#...#|..#..|####
""",
    "0123456789": """
.##.|.#.|###.|###.|#..#|####|.##.|####|.##.|.##.
#..#|##.|...#|...#|#..#|#...|#...|...#|#..#|#..#
#..#|.#.|.##.|.##.|####|###.|###.|..#.|.##.|.###
#..#|.#.|#...|...#|...#|...#|#..#|.#..|#..#|...#
.##.|###|####|###.|...#|###.|.##.|.#..|.##.|.##.
""",
    " !?.,:-+/'=()_*#": """
..|#|###.|.|..|.|...|...|...#|#|...|.#|#.|....|#.#|.#.#.
..|#|...#|.|..|#|...|.#.|..#.|#|###|#.|.#|....|.#.|#####
..|#|.##.|.|..|.|###|###|.#..|.|...|#.|.#|....|#.#|.#.#.
..|.|....|.|.#|#|...|.#.|#...|.|###|#.|.#|....|...|#####
..|#|.#..|#|#.|.|...|...|....|.|...|.#|#.|####|...|.#.#.
""",
}

_FONT = {
    letter: [row.split("|")[place].replace(".", " ") for row in sheet.split()]
    for letters, sheet in _SHEETS.items()
    for place, letter in enumerate(letters)
}
