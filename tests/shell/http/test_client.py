"""The client, against servers of a few lines, on both event loops that it runs on."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from primectl.errors import ConfigError
from primectl.http.address import parse_address
from primectl.http.answer import AskingFailed
from primectl.http.client import HttpClient, Pool, Question, trusting
from primectl.message import Response
from tests.shell.http.serving import Answering, echo, serving

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"
pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture is deprecated")
TLS = Path(__file__).parents[2] / "support" / "tls"


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    policy: asyncio.AbstractEventLoopPolicy = request.param()
    return policy


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
    return context


def saying(*answers: bytes) -> Answering:
    """Each of these answers to a request, then the connection is closed."""

    async def answer(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for each in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(each)
            await writer.drain()

    return answer


async def silent(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


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


async def test_it_asks_over_tls_whoever_has_the_certificate_that_is_trusted():
    trust = trusting(str(TLS / "certificate.pem"))
    async with serving(echo, tls=server_tls()) as (url, connections), HttpClient(url, tls=trust) as client:
        assert (await client.ask("GET", "/a")).body == b"GET /a 0"
        assert (await client.ask("POST", "/b", body=b"x" * 300_000)).body == b"POST /b 300000"
    assert connections == [0]


async def test_a_certificate_that_nobody_has_signed_is_not_trusted_by_itself():
    async with serving(echo, tls=server_tls()) as (url, _), HttpClient(url) as client:
        with pytest.raises(AskingFailed, match=r"its certificate is not trusted: ") as caught:
            await client.ask("GET", "/a")
        assert not caught.value.connected


async def test_a_server_without_tls_is_said_to_have_none():
    async def greet(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(greet) as (url, _), HttpClient(url.replace("http:", "https:")) as client:
        with pytest.raises(AskingFailed, match=r"TLS failed: "):
            await client.ask("GET", "/a")


def test_a_file_without_a_certificate_is_refused(tmp_path: Path):
    (tmp_path / "none.pem").write_text("none")
    for path, what in ((tmp_path / "none.pem", "there is no certificate"), (tmp_path / "x", "cannot be read: No such")):
        with pytest.raises(ConfigError, match=what):
            trusting(str(path))


async def test_a_kept_connection_that_the_server_closed_is_replaced_for_what_may_be_repeated():
    """The server closes behind each answer without saying so: what the client sends then meets a closed connection
    or, where the end has already been seen, a new one."""
    async with serving(saying(OK)) as (url, connections), HttpClient(url) as client:
        for _ in range(3):
            assert (await client.ask("GET", "/")).body == b"ab"
        assert len(connections) == 3


@asynccontextmanager
async def one_answer_then_closed_unread(tmp_path: Path) -> AsyncIterator[tuple[HttpClient, list[bytes]]]:
    """Its connections answer once, then read one more request and close without a word."""
    read: list[bytes] = []

    async def answer(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        read.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        read.append(await reader.readuntil(b"\r\n\r\n"))

    async with serving(answer, tmp_path / "s") as (url, _), HttpClient(url) as client:
        yield client, read


async def test_what_may_be_repeated_is_sent_once_more_when_its_kept_connection_closes(tmp_path: Path):
    async with one_answer_then_closed_unread(tmp_path) as (client, read):
        for method in ("GET", "PUT"):
            assert (await client.ask(method, "/")).body == b"ab"
        assert [line.split()[0] for line in read] == [b"GET", b"PUT", b"PUT"]


async def test_what_may_not_be_repeated_is_not_sent_again(tmp_path: Path):
    async with one_answer_then_closed_unread(tmp_path) as (client, read):
        assert (await client.ask("GET", "/")).body == b"ab"
        with pytest.raises(AskingFailed, match="closed the connection without an answer"):
            await client.ask("POST", "/")
        assert [line.split()[0] for line in read] == [b"GET", b"POST"]


async def test_an_answer_cut_short_is_no_answer_and_is_not_asked_for_again():
    async with serving(saying(OK[:-1])) as (url, connections), HttpClient(url) as client:
        with pytest.raises(AskingFailed, match="before its answer was whole"):
            await client.ask("GET", "/")
        assert connections == [0]


async def test_a_connection_that_is_reset_amid_an_answer_without_framing_gives_none():
    async def reset(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nab")
        await writer.drain()
        await reader.readexactly(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with serving(reset) as (url, _):
        ended: asyncio.Future[Response | AskingFailed] = asyncio.get_running_loop().create_future()
        pool = Pool(parse_address(url), lambda question, end: ended.set_result(end))
        # The second request head stays open: its first byte tells the server that the answer has been waited for.
        pool.ask(Question("GET", b"GET / HTTP/1.1\r\n\r\nx"))
        end = await ended
        assert isinstance(end, AskingFailed)
        assert end.what.startswith("the connection was cut before the answer was whole")
        await pool.close()


async def test_an_answer_without_framing_ends_with_the_connection():
    async with serving(saying(b"HTTP/1.0 200 OK\r\n\r\nab")) as (url, connections), HttpClient(url) as client:
        for _ in range(2):
            assert (await client.ask("GET", "/")).body == b"ab"
        assert len(connections) == 2


async def test_interim_answers_and_answers_without_a_body_are_read_over_one_connection():
    answers = (
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    )
    async with serving(saying(*answers)) as (url, connections), HttpClient(url) as client:
        methods = ("GET", "HEAD", "GET", "GET", "GET")
        got = [await client.ask(method, "/") for method in methods]
        assert [(each.status, each.body) for each in got] == [
            (200, b"ab"),
            (200, b""),
            (204, b""),
            (304, b""),
            (200, b"ab"),
        ]
        assert connections == [0]


async def test_an_answer_before_the_question_is_read_is_the_answer_and_ends_the_connection():
    async def refuse(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.wait_for(reader.read(), 10)  # what the client had still sent, until it closes

    async with serving(refuse) as (url, connections), HttpClient(url) as client:
        for _ in range(2):
            assert (await client.ask("POST", "/", body=bytes(32 << 20))).status == 413
        assert len(connections) == 2


async def test_a_server_that_speaks_first_and_closes_has_answered():
    async def busy(_: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    async with serving(busy) as (url, _), HttpClient(url) as client:
        assert (await client.ask("POST", "/")).status == 503


async def test_what_nobody_asked_for_ends_a_kept_connection():
    async def babble(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        if not number:
            writer.write(OK)
            await reader.read()

    async with serving(babble) as (url, connections), HttpClient(url) as client:
        assert (await client.ask("POST", "/")).body == b"ab"
        while connections == [0]:
            assert (await client.ask("GET", "/")).body == b"ab"


async def test_bytes_that_are_no_http_are_said_to_be_none():
    async with serving(saying(b"SSH-2.0-none\r\n")) as (url, _), HttpClient(url) as client:
        with pytest.raises(AskingFailed, match="the answer is no HTTP response"):
            await client.ask("GET", "/")


async def test_a_server_that_does_not_answer_is_not_waited_for_without_end():
    async with serving(silent) as (url, _), HttpClient(url, timeout=0.05) as client:
        with pytest.raises(AskingFailed, match=r"no answer within 0.05 s"):
            await client.ask("GET", "/")


async def test_each_question_has_its_own_time_also_those_that_are_asked_when_others_have_run_out_of_it():
    async with serving(silent) as (url, _):
        ended: list[str] = []
        done = asyncio.Event()

        def on_end(question: Question, end: Response | AskingFailed) -> None:
            ended.append(str(end))
            if len(ended) <= 6:
                pool.ask(Question("GET", b"GET / HTTP/1.1\r\n\r\n"))
            elif not pool.open:
                done.set()

        pool = Pool(parse_address(url), on_end, timeout_s=0.02)
        for _ in range(3):
            pool.ask(Question("GET", b"GET / HTTP/1.1\r\n\r\n"))
        await done.wait()
        await pool.close()
        assert ended == ["no answer within 0.02 s"] * 9


async def test_nobody_there_is_said_in_words(tmp_path: Path):
    with pytest.raises(AskingFailed, match=r"unix:/\S+/none: no such file or directory$") as caught:
        await HttpClient(f"unix:{tmp_path}/none").ask("GET", "/")
    assert not caught.value.connected
    with pytest.raises(AskingFailed, match=r"http://127.0.0.1:\d+: connection refused$"):
        await HttpClient(f"http://127.0.0.1:{free_port()}").ask("GET", "/")


async def test_a_host_that_has_no_address_is_said_in_words():
    with pytest.raises(AskingFailed) as caught:
        await HttpClient("http://nowhere.invalid:1").ask("GET", "/")
    assert not caught.value.connected
    assert caught.value.what


async def test_who_no_longer_waits_for_an_answer_leaves_no_connection_that_would_bring_it():
    async def late(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if number:
            await saying(OK)(number, reader, writer)
        else:
            await reader.read()

    async with serving(late) as (url, connections), HttpClient(url) as client:
        asking = asyncio.ensure_future(client.ask("GET", "/"))
        while not connections:  # noqa: ASYNC110  the server that counts them knows nothing of events
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await client.ask("GET", "/")).body == b"ab"
        assert connections == [0, 1]


@pytest.mark.parametrize("url", ["ftp://h", "http://", "h:80"])
def test_only_what_it_can_ask_is_accepted(url: str):
    with pytest.raises(ConfigError):
        HttpClient(url)


async def test_a_pool_has_a_connection_for_each_question_that_is_open_and_keeps_them():
    async with serving(echo) as (url, connections):
        ended: list[bytes] = []
        done = asyncio.Event()

        def on_end(question: Question, end: Response | AskingFailed) -> None:
            assert isinstance(end, Response)
            ended.append(end.body)
            if len(ended) < 30:
                pool.ask(Question("GET", b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % len(ended)))
            elif not pool.open:
                done.set()

        pool = Pool(parse_address(url), on_end)
        for _ in range(4):
            pool.ask(Question("GET", b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n"))
        await done.wait()
        await pool.close()
        assert len(ended) == 33
        assert len(connections) == 4


async def test_what_waits_for_a_connection_can_be_taken_back_and_what_is_open_can_be_cut():
    async with serving(silent) as (url, connections):
        ended: list[tuple[Question, Response | AskingFailed]] = []
        pool = Pool(parse_address(url), lambda question, end: ended.append((question, end)))
        sent, waiting = (Question("GET", b"GET / HTTP/1.1\r\n\r\n") for _ in range(2))
        pool.ask(sent)
        while not sent.sent_at:  # noqa: ASYNC110  nobody says it
            await asyncio.sleep(0)
        pool.ask(waiting)
        assert pool.unsent() == [waiting]
        assert pool.open == 1
        pool.cut_all("it took too long")
        assert [(question, str(end)) for question, end in ended] == [(sent, "it took too long")]
        await pool.close()
        assert waiting.sent_at == 0.0
        assert len(connections) >= 1
