"""Does the recorder keep up, and what does a row cost? A real one, and a stand-in server that says what the two-pool
sample would.

    python -m tests.bench.recorder [--rows 400000] [--rate 0] [--max-size 1024] [--header cookie]

`--rate` 0 is as fast as it goes, with as much under way as a server keeps; a frame has what gathers in 20 ms at that
rate, at most 512 rows. With a small `--max-size` (MiB) it prunes all the while. `--header` puts a field into each
request that has to be redacted. CPU is that of the whole process, its I/O thread included.
"""

from __future__ import annotations

import argparse
from collections import deque
from time import perf_counter, sleep

import msgspec
import psutil
import zmq

from primectl.config.model import JournalConfig
from primectl.config.topology import RECORDER, loopback
from primectl.message import Headers, Request
from primectl.wire import frames
from primectl.wire.job import RequestId
from primectl.wire.journal import Hop, Record, Records, add_hop
from tests.bench.report import report
from tests.support.recording import CLOCK, Recording, a_recording

GATHER_S = 0.02
MOST_ROWS = 512
WINDOW_BYTES = 16 << 20
FIELDS: Headers = (("host", "127.0.0.1:8002"), ("user-agent", "bench/1.0"), ("accept", "*/*"))
ANSWER: Headers = (("content-type", "text/plain; charset=utf-8"),)


def record(number: int, header: str) -> Record:
    """As the sample's server makes them."""
    began = number * 1e-5
    fields = (*FIELDS, (header, f"session={number:032x}")) if header else FIELDS
    request = Request("GET", f"/is_prime?possible_prime={number}", fields, b"", "127.0.0.1:50000")
    trail = add_hop(b"", Hop("parse.1", began + 0.0005, began + 0.0006))
    trail = add_hop(trail, Hop("compute.3", began + 0.001, began + 0.002))
    answer = str(number).encode()
    return Record(
        RequestId((7 << 36) + number),
        began,
        began + 0.003,
        msgspec.msgpack.encode(request),
        0,
        200,
        ANSWER,
        answer,
        len(answer),
        "compute.3",
        "parse",
        1,
        trail,
    )


def frames_of(rows: int, size: int, header: str) -> list[tuple[int, bytes]]:
    """Each with the number of its last row."""
    return [
        (
            min(first + size - 1, rows),
            frames.encode(
                Records(
                    "server.1",
                    9,
                    first,
                    CLOCK,
                    0,
                    [record(n, header) for n in range(first, min(first + size, rows + 1))],
                )
            ),
        )
        for first in range(1, rows + 1, size)
    ]


def measure(recording: Recording, said: list[tuple[int, bytes]], rate: float) -> tuple[float, float]:
    """Seconds until all of it is written, and those of the recorder's processor time."""
    plane = recording.plane
    written = plane.bind(zmq.PULL, loopback("server.1"))
    out = plane.connect(zmq.PUSH, RECORDER)
    process = psutil.Process(recording.process.pid)
    under_way: deque[tuple[int, int]] = deque()
    size = 0
    before = sum(process.cpu_times()[:2])
    began = perf_counter()

    def hear(wait_ms: int) -> None:
        nonlocal size
        while written.poll(wait_ms):
            last = frames.to_server(written.recv()).last
            while under_way and under_way[0][0] <= last:
                size -= under_way.popleft()[1]
            wait_ms = 0

    for last, frame in said:
        if rate:
            sleep(max(0.0, began + last / rate - perf_counter()))
        while size > WINDOW_BYTES:
            hear(1000)
        out.send(frame)
        under_way.append((last, len(frame)))
        size += len(frame)
        hear(0)
    while under_way:
        hear(1000)
    return perf_counter() - began, sum(process.cpu_times()[:2]) - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--max-size", type=int, default=1024)
    parser.add_argument("--header", default="")
    options = parser.parse_args()
    size = min(MOST_ROWS, max(1, int(options.rate * GATHER_S))) if options.rate else MOST_ROWS
    with a_recording(JournalConfig(max_size=options.max_size << 20)) as recording:
        said = frames_of(options.rows, size, options.header)
        seconds, cpu = measure(recording, said, options.rate)
        sample = recording.sample(lambda sample: sample.rows == options.rows, "all rows written")
        assert sample.lost == sample.refused == 0
    parameters = {
        "rows": options.rows,
        "rate": options.rate,
        "rows_a_frame": size,
        "max_size_mib": options.max_size,
        "redacted_header": options.header,
    }
    figures = {
        "rows_s": round(options.rows / seconds),
        "cpu_us_a_row": round(cpu / options.rows * 1e6, 2),
        "bytes_a_row": round(sum(len(frame) for _, frame in said) / options.rows),
        "kept": sample.kept,
        "size_mib": round(sample.size / (1 << 20), 1),
    }
    report("recorder", "primectl", parameters, figures, n=options.rows)


if __name__ == "__main__":
    main()
