"""`primectl unit`: systemd itself finds nothing wrong with it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.cluster import ClusterUnderTest


def verified(unit: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here: no Linux with systemd")
    file = folder / "primectl-test.service"
    file.write_text(unit)
    return subprocess.run(
        ["systemd-analyze", *options, "verify", "--man=no", str(file)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", [[], ["--user"]])
@pytest.mark.parametrize("name", ["plain", "with a space, 100%n and $HOME"])
def test_systemd_finds_nothing_wrong_with_it(words: list[str], name: str, tmp_path: Path) -> None:
    with ClusterUnderTest() as cluster:
        folder = cluster.home / name
        folder.mkdir()
        shutil.copy(cluster.file, folder)
        unit = cluster.cli("unit", "-f", str(folder / cluster.file.name), *words).stdout
        found = verified(unit, tmp_path, *words)
        assert (found.returncode, found.stderr, found.stdout) == (0, "", "")


def test_a_mistake_in_it_would_be_found(tmp_path: Path) -> None:
    with ClusterUnderTest() as cluster:
        unit = cluster.cli("unit").stdout
        found = verified(unit.replace("ExecStart=/", "ExecStart=/nowhere/"), tmp_path)
        assert found.returncode != 0
        assert verified(unit.replace("OOMPolicy=", "OOMPolice="), tmp_path).stderr != ""


def test_without_a_config_file_there_is_nothing_to_serve(tmp_path: Path) -> None:
    with ClusterUnderTest() as cluster:
        cluster.file.unlink()
        refused = cluster.cli("unit", code=2)
        assert refused.stderr == ("a service needs a config file, and there is none here. `primectl init` writes one\n")
