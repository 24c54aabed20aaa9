"""What every file of the repository keeps to."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("primectl", "supervisor", "tui")
TEXTS = {".css", ".html", ".md", ".py", ".sh", ".tcss", ".toml", ".txt", ".yaml", ".yml", ""}


def modules() -> list[Path]:
    return [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]


def texts() -> Iterator[Path]:
    """Everything that is written by hand: folders of tools and of builds begin with a dot, or are not looked into."""
    for top in sorted(ROOT.iterdir()):
        if top.is_file() and top.name not in (".git",):
            yield top
        elif top.name == ".ci" or top.name in (*PACKAGES, "docs", "sample_configs", "tests"):
            yield from (file for file in sorted(top.rglob("*")) if file.is_file() and file.suffix in TEXTS)


@pytest.mark.parametrize("module", modules(), ids=lambda module: str(module.relative_to(ROOT)))
def test_a_module_says_what_it_is_for(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))


def test_no_file_names_a_folder_of_somebodys_own_machine() -> None:
    own = [re.escape(str(folder)) for folder in (ROOT, Path.home()) if len(folder.parts) > 2]
    pattern = re.compile("|".join([r"/(?:home|Users)/[a-z]", *own]))
    found = [str(file.relative_to(ROOT)) for file in texts() if pattern.search(file.read_text(encoding="utf-8"))]
    assert found == []


def test_no_file_is_left_unfinished() -> None:
    words = re.compile("|".join(["TODO", "FIXME", "XXX"]))
    found = [str(file.relative_to(ROOT)) for file in modules() if words.search(file.read_text(encoding="utf-8"))]
    assert found == []
