"""The parser of responses, and the client against a server of a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from primectl.http.client import AskingFailed, HttpClient, ResponseParser
from primectl.message import Response
from tests.spec.http.talk import Talk

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"


def parsed(method: str, *pieces: bytes) -> ResponseParser:
    parser = ResponseParser(method)
    for piece in pieces:
        parser.feed(piece)
    return parser


@pytest.mark.parametrize(
    ("method", "raw", "body", "keeps_alive"),
    [
        ("GET", OK, b"ab", True),
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ab", True),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"", True),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n\r\n", b"ab", True),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"", True),
        ("GET", b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nab", b"ab", False),
        ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", b"ab", False),
        ("GET", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab", b"ab", True),
    ],
)
def test_a_response_is_read_whole_however_it_is_cut(method: str, raw: bytes, body: bytes, keeps_alive: bool):
    for pieces in ([raw], [bytes([byte]) for byte in raw]):
        parser = parsed(method, *pieces)
        assert parser.response is not None
        assert parser.response.body == body
        assert parser.keeps_alive is keeps_alive
        assert "x" not in dict(parser.response.fields)


def test_a_response_without_framing_ends_with_the_connection():
    parser = parsed("GET", b"HTTP/1.1 200 OK\r\n\r\nab")
    assert parser.response is None
    parser.feed(b"")
    assert parser.response == Response(200, (), b"ab")
    assert not parser.keeps_alive


def test_bytes_behind_a_response_end_the_use_of_its_connection():
    assert not parsed("GET", OK + b"junk").keeps_alive
    assert not parsed("GET", OK, b"junk").keeps_alive


@pytest.mark.parametrize(
    "pieces",
    [
        (b"junk",),
        (b"",),
        (OK[:20], b""),
        (OK[:-1], b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", b""),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",),
    ],
)
def test_what_is_no_whole_response_is_said_to_be_none(pieces: tuple[bytes, ...]):
    with pytest.raises(AskingFailed):
        parsed("GET", *pieces)


def test_it_understands_what_our_own_side_says():
    talk = Talk().send(b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
    parser = parsed("POST", talk.output)
    assert parser.response is not None
    assert parser.response.body == b"POST /p 3"


Answering = Callable[[int, asyncio.StreamReader, asyncio.StreamWriter], object]


@asynccontextmanager
async def serving(answer: Answering, unix: Path | None = None) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that calls `answer(connection number, reader, writer)` and closes; yields its url and connections."""
    connections: list[int] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(len(connections))
        try:
            await answer(connections[-1], reader, writer)  # type: ignore[misc]
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


async def _echo(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    talk = Talk()
    while data := await reader.read(65536):
        talk.output = b""
        writer.write(talk.send(data).output)


async def test_it_asks_again_and_again_over_one_connection():
    async with serving(_echo) as (url, connections), HttpClient(url) as client:
        assert (await client.ask("GET", "/a?b")).body == b"GET /a?b 0"
        assert (await client.ask("POST", "/p", {"X-A": "b"}, b"hello")).body == b"POST /p 5"
        assert (await client.ask("HEAD", "/h")).body == b""
        assert (await client.ask("PUT", "/u")).body == b"PUT /u 0"
    assert connections == [0]


async def test_it_asks_over_a_unix_socket(tmp_path: Path):
    async with serving(_echo, tmp_path / "s") as (url, _), HttpClient(url) as client:
        assert (await client.ask("GET", "/a")).body == b"GET /a 0"


async def _one_answer_each(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK)
    await writer.drain()


async def test_a_kept_connection_that_the_server_closed_is_replaced_for_what_may_be_repeated():
    async with serving(_one_answer_each) as (url, connections), HttpClient(url) as client:
        for _ in range(3):
            assert (await client.ask("GET", "/")).body == b"ab"
        assert len(connections) == 3
        with pytest.raises(AskingFailed):
            await client.ask("POST", "/")
        assert (await client.ask("POST", "/")).body == b"ab"


async def test_an_answer_cut_short_is_no_answer_and_is_not_asked_for_again():
    async def cut(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK[:-1])

    async with serving(cut) as (url, connections), HttpClient(url) as client:
        with pytest.raises(AskingFailed, match="before its answer was whole"):
            await client.ask("GET", "/")
        assert connections == [0]


async def test_a_server_that_does_not_answer_is_not_waited_for_without_end():
    async def silent(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent) as (url, _), HttpClient(url, timeout=0.05) as client:
        with pytest.raises(AskingFailed, match=r"no answer within 0.05 s"):
            await client.ask("GET", "/")


async def test_nobody_there_is_said_in_words(tmp_path: Path):
    with pytest.raises(AskingFailed, match="cannot be asked"):
        await HttpClient(f"unix:{tmp_path}/none").ask("GET", "/")


@pytest.mark.parametrize("url", ["ftp://h", "https://h", "http://", "h:80"])
def test_only_what_it_can_ask_is_accepted(url: str):
    with pytest.raises(AskingFailed):
        HttpClient(url)
