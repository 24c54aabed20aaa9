"""The cluster that a file's tests share, for files that say which `POOLS` it has (and `SERVER` settings, if any)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.asking import Asker
from tests.support.cluster import ClusterOfCases


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[ClusterOfCases]:
    with ClusterOfCases(request.module.POOLS, getattr(request.module, "SERVER", "")) as cluster:
        cluster.up()
        yield cluster


@pytest.fixture(scope="module")
def asker(cluster: ClusterOfCases) -> Iterator[Asker]:
    with Asker(cluster.url) as asker:
        yield asker
