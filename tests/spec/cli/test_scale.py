"""What `scale` makes of its words."""

from __future__ import annotations

import pytest

from primectl.cli.scale import parse
from primectl.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "wishes"),
    [
        (["compute=8"], [("compute", "8")]),
        (["compute=+2"], [("compute", "+2")]),
        (["compute=-1"], [("compute", "-1")]),
        (["compute=0"], [("compute", "0")]),
        (["compute", "8"], [("compute", "8")]),
        (["compute", "-1"], [("compute", "-1")]),
        (["compute=8", "parse", "+2", "art=1"], [("compute", "8"), ("parse", "+2"), ("art", "1")]),
    ],
)
def test_a_wish_is_a_pool_and_a_size_with_or_without_an_equals_sign(
    words: list[str], wishes: list[tuple[str, str]]
) -> None:
    assert parse(words) == wishes


@pytest.mark.parametrize(
    "words",
    [
        ["compute"],
        ["compute="],
        ["=8"],
        ["8"],
        ["compute=eight"],
        ["compute=1.5"],
        ["compute=--1"],
        ["compute=8=8"],
        ["compute=9999999"],
        ["-x"],
        ["-1"],
        ["compute", "eight"],
        ["compute", "8", "9"],
        ["compute=٣"],
    ],
)
def test_anything_else_is_refused_as_wrong_usage_with_an_example(words: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"^scale: expected POOL=N, got .* Such as compute=8") as caught:
        parse(words)
    assert caught.value.exit_code == 2


def test_a_pool_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="named twice"):
        parse(["compute=8", "compute=9"])
