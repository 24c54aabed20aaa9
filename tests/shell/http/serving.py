"""A server of a few lines, to be asked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.spec.http.talk import Talk

Answering = Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(
    answer: Answering, unix: Path | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that calls `answer(connection number, reader, writer)` and closes; yields its url and connections.

    It ends when all its connections have: they are for the client to close.
    """
    connections: list[int] = []
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        connections.append(len(connections))
        with suppress(OSError, asyncio.IncompleteReadError):
            try:
                await answer(connections[-1], reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    if unix is not None:
        server = await asyncio.start_unix_server(connected, unix)
        url = f"unix:{unix}"
    else:
        server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
        url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield url, connections
        server.close()
    await asyncio.gather(*tasks)


async def echo(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    talk = Talk()
    while data := await reader.read(65536):
        talk.output = b""
        writer.write(talk.send(data).output)
