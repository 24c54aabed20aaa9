"""Jobs and workers for tests of the data plane."""

from __future__ import annotations

from primectl.wire.job import VALUE, JobId, WireJob, first_job, work_lane


def a_job(
    serial: int = 1,
    *,
    retryable: bool = True,
    deadline: float = 1e9,
    attempt: int = 1,
    payload: bytes = b"\x01",
    hop: int = 0,
) -> WireJob:
    return WireJob(JobId(first_job(1, serial) + hop), "server.1", deadline, VALUE, retryable, payload, attempt)


def job_id(serial: int) -> JobId:
    return first_job(1, serial)


def lane(number: int) -> bytes:
    """The work lane of worker compute.<number>, incarnation <number>."""
    return work_lane(f"compute.{number}", number)
