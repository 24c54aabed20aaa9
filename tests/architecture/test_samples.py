"""The sample configs: they load, they explain themselves, they can run beside each other."""

import re
from pathlib import Path

import pytest

from primectl.config.load import load, load_sample, sample_names

FOLDER = Path(__file__).parents[2] / "sample_configs"
SAMPLES = sample_names()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_loads_without_a_warning_from_the_repository_and_built_in(name: str) -> None:
    loaded = load(FOLDER / f"{name}.toml")
    assert loaded.warnings == load_sample(name).warnings == ()
    assert loaded.config == load_sample(name).config
    assert loaded.config.cluster.name == name


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_names_its_schema_first_and_explains_every_key(name: str) -> None:
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    assert text.startswith("#:schema primectl.schema.json\n# ")
    keys = re.findall(r"^([a-z_]+) = (.*)$", text, flags=re.M)
    explained = {key for key, rest in keys if re.search(r" # \w", rest)}
    assert {key for key, _ in keys} == explained
    assert re.search(r"^\[routes\] +# \w", text, flags=re.M) or re.search(r'^"/?[A-Z/].*# \w', text, flags=re.M)


def test_all_samples_can_run_at_once() -> None:
    configs = [load_sample(name).config for name in SAMPLES]
    assert len({config.server.listen for config in configs}) == len(configs) == 5


def test_the_sample_prime_is_that_of_the_manual() -> None:
    config = load_sample().config
    assert config.server.listen == "http://127.0.0.1:8002"
    assert config.routes == {"GET,POST /is_prime": "parse"}
    assert {name: (pool.handler, pool.workers) for name, pool in config.pools.items()} == {
        "parse": ("primectl.handlers.prime:parse", 2),
        "compute": ("primectl.handlers.prime:compute", 4),
    }
