"""Which cluster a command means."""

from __future__ import annotations

import pytest

from primectl.cli.choose import choose, place_for
from primectl.errors import ConfigError


def not_asked() -> str:
    raise AssertionError("the file is not needed")


def test_the_one_cluster_that_runs_is_meant_whatever_the_file_here_says() -> None:
    assert choose(["shop"], not_asked) == "shop"


def test_without_a_running_cluster_the_one_in_the_file_is_meant() -> None:
    assert choose([], lambda: "prime") == "prime"


def test_among_several_the_one_in_the_file_here_is_meant() -> None:
    assert choose(["art", "prime", "shop"], lambda: "prime") == "prime"


def test_without_any_cluster_or_file_the_sample_is_meant() -> None:
    assert choose([], lambda: None) == "prime"


def test_the_sample_is_not_meant_just_because_there_is_no_file() -> None:
    with pytest.raises(ConfigError, match="Choose one"):
        choose(["prime", "shop"], lambda: None)


def test_several_that_are_all_elsewhere_are_named_for_a_choice() -> None:
    with pytest.raises(ConfigError) as caught:
        choose(["shop", "art"], lambda: "prime")
    assert str(caught.value) == "2 clusters run: art, shop. Choose one with -c NAME"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["", "Prime", "../prime", "a/b", "-x", "ä", "a" * 32, "a\n"])
def test_what_cannot_be_a_clusters_name_never_becomes_a_path(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a cluster"):
        place_for(name)
