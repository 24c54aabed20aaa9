"""Numbers and durations on the command line, and progress on the terminal."""

from __future__ import annotations

import pytest

from primectl.cli.options import seconds, whole_number
from primectl.cli.terminal import progress_text
from primectl.errors import ConfigError
from primectl.wire.control import Progress


@pytest.mark.parametrize(
    ("text", "value"), [("30s", 30.0), ("250ms", 0.25), ("2m", 120.0), ("5", 5.0), ("0", 0.0), ("1.5", 1.5)]
)
def test_a_duration_has_a_unit_or_is_in_seconds(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "soon", "-1", "-1s", "1 s", "1y", "nan", "1e9"])
def test_what_is_no_duration_is_refused_with_the_option_and_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--timeout: expected a duration, got .* 500ms, 30s, 2m") as caught:
        seconds(text)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["", "-1", "x", "1.0", "٣", "9999999999"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^-n: expected a whole number >= 0"):
        whole_number(text, "-n")


def test_progress_is_a_bar_when_its_parts_are_known_and_never_wraps() -> None:
    assert (
        progress_text(Progress("waiting for compute.3", 2, 8), 80) == "█████░░░░░░░░░░░░░░░ 2/8 waiting for compute.3"
    )
    assert progress_text(Progress("draining"), 80) == "draining"
    assert len(progress_text(Progress("x" * 500, 1, 2), 40)) == 39
    assert progress_text(Progress("\x1b[2J"), 80).isprintable()
