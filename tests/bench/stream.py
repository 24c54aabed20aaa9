"""How many bytes a second a streamed answer brings, against the same bytes in one piece.

    python -m tests.bench.stream [--mib 64]

One client of plain sockets that reads as fast as it can; parts of 64 KiB.
"""

from __future__ import annotations

import argparse
import socket
from statistics import median
from time import perf_counter
from urllib.parse import urlsplit

from tests.bench.report import report
from tests.support.cluster import ClusterUnderTest

ROUNDS = 3
MIB = 1 << 20
PIECE = 64 << 10
CONFIG = """
[cluster]
name = "{name}"

[server]
listen = "http://127.0.0.1:0"
access_log = false

[routes]
"/streamed/{n}" = "streamed"
"/whole/{n}" = "whole"

[pools.streamed]
handler = "large:streamed"

[pools.whole]
handler = "large:whole"
"""
LARGE = """
from primectl import Response

PIECE = bytes(64 << 10)


def streamed(request, job):
    for _ in range(int(request.path_params["n"])):
        yield PIECE


def whole(request, job):
    return Response.data(bytes(len(PIECE) * int(request.path_params["n"])))
"""


def seconds(url: str, target: str, length: int) -> float:
    """From the request to the last byte of the answer, which brings so many bytes and its framing."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=60) as client:
        began = perf_counter()
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
        read = 0
        buffer = bytearray(1 << 18)
        while number := client.recv_into(buffer):
            read += number
        taken = perf_counter() - began
    assert length < read < length * 1.01 + 1000, f"{read} bytes came for {length}"
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=64)
    options = parser.parse_args()
    pieces = options.mib * MIB // PIECE
    rates: dict[str, list[float]] = {"streamed": [], "whole": []}
    with ClusterUnderTest(CONFIG, files={"large.py": LARGE}) as cluster:
        url = cluster.up().url
        for name in rates:
            seconds(url, f"/{name}/1", PIECE)
        for _ in range(ROUNDS):
            for name, found in rates.items():
                found.append(options.mib / seconds(url, f"/{name}/{pieces}", pieces * PIECE))
    for name, found in rates.items():
        report("stream", name, {"mib": options.mib}, {"mib_per_s": round(median(found), 1)}, n=ROUNDS)


if __name__ == "__main__":
    main()
