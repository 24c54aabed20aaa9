"""What handlers are called with."""

import pytest

from primectl.message import Job


@pytest.fixture
def job() -> Job:
    return Job(id=1, request_id="0000000000001", pool="work", worker="work.1", attempt=1, deadline=0.0)
