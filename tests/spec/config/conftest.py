"""Config files for these tests: written to a folder of the test's own, told of as `my.toml`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from primectl.config.load import Loaded, load
from primectl.errors import ConfigError

SOUND = """
[routes]
"GET /x" = "work"
[pools.work]
handler = "json:dumps"
"""


@pytest.fixture
def load_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Loaded]:
    """Load a text as the file my.toml."""
    monkeypatch.chdir(tmp_path)

    def write_and_load(text: str) -> Loaded:
        Path("my.toml").write_text(text, encoding="utf-8")
        return load("my.toml")

    return write_and_load


@pytest.fixture
def problems_of(load_text: Callable[[str], Loaded]) -> Callable[[str], list[str]]:
    """The lines that a text is refused with; none when it is fine."""

    def problems(text: str) -> list[str]:
        try:
            load_text(text)
        except ConfigError as error:
            return list(error.problems)
        return []

    return problems


@pytest.fixture
def problems_with(problems_of: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """As `problems_of`, for lines put before a config that is fine."""
    return lambda text: problems_of(text + SOUND)
