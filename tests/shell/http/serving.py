"""A server of a few lines, to be asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.spec.http.talk import Talk

Answering = Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(answer: Answering, unix: Path | None = None) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that calls `answer(connection number, reader, writer)` and closes; yields its url and connections."""
    connections: list[int] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(len(connections))
        try:
            await answer(connections[-1], reader, writer)
        finally:
            writer.close()

    if unix is not None:
        server = await asyncio.start_unix_server(connected, unix)
        url = f"unix:{unix}"
    else:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield url, connections


async def echo(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    talk = Talk()
    while data := await reader.read(65536):
        talk.output = b""
        writer.write(talk.send(data).output)
