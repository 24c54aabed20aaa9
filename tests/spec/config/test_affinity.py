"""What makes the key of a job, and what becomes of a function that does not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from primectl.config.affinity import KEY_LIMIT, Affinity, as_key
from primectl.config.model import Config, PoolConfig


@pytest.mark.parametrize(
    ("found", "key"), [("red", "red"), ("", ""), (None, ""), (7, "7"), (-(10**20), "-100000000000000000000")]
)
def test_a_text_and_a_whole_number_are_keys_and_none_is_no_key(found: object, key: str):
    assert as_key(found) == key


@pytest.mark.parametrize("found", [1.5, b"red", ["red"], object])
def test_nothing_else_is_a_key(found: object):
    with pytest.raises(TypeError, match="a key is str, int or None"):
        as_key(found)


def test_a_long_key_is_shortened_and_stays_apart_from_others_that_begin_like_it():
    exact, longer, other = "k" * KEY_LIMIT, "k" * (KEY_LIMIT + 1), "k" * KEY_LIMIT + "x"
    assert as_key(exact) == exact
    assert len({exact, as_key(longer), as_key(other)}) == 3
    assert max(len(as_key(key)) for key in (longer, other)) <= KEY_LIMIT
    assert as_key(longer) == as_key("k" * (KEY_LIMIT + 1))


class Cluster:
    """Three pools, of which two have an affinity; what is told goes to `told`."""

    def __init__(self, folder: Path, source: str) -> None:
        name = f"keys_{folder.name}".replace("-", "_")
        (folder / f"{name}.py").write_text(source)
        pools = {
            "plain": PoolConfig(handler="json:dumps"),
            "keyed": PoolConfig(handler="json:dumps", affinity=f"{name}:key"),
            "absent": PoolConfig(handler="json:dumps", affinity=f"{name}:absent"),
        }
        self.told: list[str] = []
        self.affinity = Affinity(Config(pools=pools), str(folder), lambda what, trace: self.told.append(what + trace))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(sys, "path", list(sys.path))
    return Cluster(tmp_path, "def key(payload):\n    return payload['key']\n")


def test_the_pool_that_a_job_is_for_says_what_its_key_is(cluster: Cluster):
    assert cluster.affinity.pools == {"keyed", "absent"}
    assert cluster.affinity.key("keyed", {"key": "red"}) == "red"
    assert cluster.affinity.key("plain", {"key": "red"}) == ""
    assert (cluster.affinity.errors, cluster.told) == (0, [])


def test_a_function_that_raises_costs_its_jobs_their_key_and_is_told_of_once(cluster: Cluster):
    assert [cluster.affinity.key("keyed", payload) for payload in (None, {"key": 1.5}, {"key": "red"})] == [
        "",
        "",
        "red",
    ]
    assert cluster.affinity.errors == 2
    (told,) = cluster.told
    assert told.startswith("pools.keyed.affinity: ")
    assert "TypeError" in told


def test_a_function_that_cannot_be_imported_is_told_of_when_it_is_loaded(cluster: Cluster):
    cluster.affinity.load(["plain", "keyed", "absent"])
    (told,) = cluster.told
    assert 'has no "absent"' in told
    assert [cluster.affinity.key("absent", None) for _ in range(3)] == ["", "", ""]
    assert len(cluster.told) == 1
