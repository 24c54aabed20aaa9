"""The client, against servers of a few lines."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from primectl.http.client import AskingFailed, HttpClient
from tests.shell.http.serving import echo, serving

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"


async def test_it_asks_again_and_again_over_one_connection():
    async with serving(echo) as (url, connections), HttpClient(url) as client:
        assert (await client.ask("GET", "/a?b")).body == b"GET /a?b 0"
        assert (await client.ask("POST", "/p", {"X-A": "b"}, b"hello")).body == b"POST /p 5"
        assert (await client.ask("HEAD", "/h")).body == b""
        assert (await client.ask("PUT", "/u")).body == b"PUT /u 0"
    assert connections == [0]


async def test_it_asks_over_a_unix_socket(tmp_path: Path):
    async with serving(echo, tmp_path / "s") as (url, _), HttpClient(url) as client:
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
