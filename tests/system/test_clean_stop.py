"""The clean stop under load: whoever was let in is answered, whoever was not knows it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from primectl.config.model import ClusterConfig, Config, PoolConfig, ServerConfig
from tests.support.cluster import ClusterUnderTest, alive, wait_until
from tests.support.crowd import Crowd
from tests.support.running import running

CONFIG = """
[cluster]
name = "{name}"
[server]
listen = "LISTEN"
processes = PROCESSES
MORE
[routes]
"/echo" = "echo"
[pools.echo]
handler = "primectl.handlers.echo:echo"
workers = 4
"""


ANY_PORT = "http://127.0.0.1:0"


def a_cluster(listen: str = ANY_PORT, processes: int = 1, more: str = "") -> ClusterUnderTest:
    text = CONFIG.replace("LISTEN", listen).replace("PROCESSES", str(processes)).replace("MORE", more)
    return ClusterUnderTest(text, name="stop")


@contextlib.contextmanager
def crowded(cluster: ClusterUnderTest, answers: int = 200) -> Iterator[Crowd]:
    """The body runs with clients at work; afterwards none of them has lost anything."""
    with Crowd(cluster.url) as crowd:
        wait_until(lambda: crowd.counts["answered"] >= answers, what="answers")
        yield crowd
    assert (crowd.lost, crowd.wrong) == ([], []), crowd.told


def end_by_order(cluster: ClusterUnderTest) -> None:
    report = cluster.down()
    assert (report["cancelled"], report["killed"]) == (0, [])
    assert report["finished"] > 0


def end_by_signal(cluster: ClusterUnderTest) -> None:
    pid = cluster.pids()["supervisor"]
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not alive(pid), what="the end of the supervisor")


@pytest.mark.parametrize("end", [end_by_order, end_by_signal])
@pytest.mark.parametrize("processes", [1, 3])
def test_a_stop_under_load_loses_no_request(end: Callable[[ClusterUnderTest], None], processes: int):
    with a_cluster(processes=processes) as cluster:
        cluster.up()
        with crowded(cluster) as crowd:
            end(cluster)
        assert set(crowd.counts) - {200, "answered", "refused", "closed", "closed unused"} == set(), crowd.told


@pytest.mark.parametrize("unix", [False, True])
def test_a_crowd_at_the_door_when_the_order_comes_is_answered(unix: bool):
    with tempfile.TemporaryDirectory() as folder, a_cluster(f"unix:{folder}/s" if unix else ANY_PORT) as cluster:
        cluster.up()
        server = cluster.pids()["server.1"]
        with crowded(cluster) as crowd:
            os.kill(server, signal.SIGSTOP)
            wait_until(lambda: all(customer.at_work for customer in crowd.customers), what="everybody at the door")
            down = cluster.spawn("down")
            wait_until(lambda: "stopping within" in log(cluster), what="the order")
            os.kill(server, signal.SIGCONT)
            told = down.communicate()
            assert down.returncode == 0, told


def test_a_stop_under_load_on_a_unix_socket_loses_no_request():
    with tempfile.TemporaryDirectory() as folder, a_cluster(f"unix:{folder}/s", processes=2) as cluster:
        cluster.up()
        with crowded(cluster):
            end_by_order(cluster)


def test_a_restart_of_servers_under_load_loses_no_request_and_refuses_nobody():
    with a_cluster(processes=2) as cluster:
        cluster.up()
        with crowded(cluster) as crowd:
            for target in ("server.1", "role.server"):
                cluster.cli("restart", target)
        assert crowd.counts["refused"] == 0


def scaling(cluster: ClusterUnderTest) -> subprocess.Popen[str]:
    return cluster.spawn("scale", "echo=24", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def with_a_dead_proxy(cluster: ClusterUnderTest) -> None:
    os.kill(cluster.pids()["proxy.echo"], signal.SIGKILL)


def with_a_stopped_worker(cluster: ClusterUnderTest) -> None:
    os.kill(cluster.pids()["echo.2"], signal.SIGSTOP)


@pytest.mark.parametrize("upset", [scaling, with_a_dead_proxy, with_a_stopped_worker])
def test_a_stop_in_the_middle_of_something_else_answers_everybody(
    upset: Callable[[ClusterUnderTest], subprocess.Popen[str] | None],
):
    with a_cluster() as cluster:
        cluster.up()
        with crowded(cluster) as crowd:
            command = upset(cluster)
            assert cluster.down()["cancelled"] == 0
        if command is not None:
            command.wait()
        # What a worker had begun when it was killed must not run twice: that POST is answered 502.
        assert {status for status in crowd.counts if isinstance(status, int)} <= {200, 502}, crowd.told


def test_in_the_drain_delay_everybody_is_let_in_while_readiness_says_that_the_end_is_near():
    with a_cluster(more='drain_delay = "2s"') as cluster:
        cluster.up()
        url = cluster.url
        with crowded(cluster) as crowd:
            down = cluster.spawn("down")
            wait_until(lambda: status(url, "/ready") == 503, what="the end of readiness")
            answered = crowd.counts["answered"]
            wait_until(lambda: crowd.counts["answered"] > answered + 50, what="answers in the delay")
            assert crowd.counts["refused"] == 0
            assert status(url, "/health") == 200
            down.communicate()
            assert down.returncode == 0
            wait_until(lambda: crowd.counts["refused"], what="refusals")


def status(url: str, path: str) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status


def log(cluster: ClusterUnderTest) -> str:
    return Path(cluster.place.log_file("supervisor")).read_text()


@pytest.mark.parametrize("more", ['drain_delay = "25s"', ""])
def test_a_second_signal_is_immediate_whatever_is_still_open(more: str):
    with a_cluster(more=more) as cluster:
        up = cluster.spawn("up")
        wait_until(lambda: Path(cluster.place.pid_file).exists(), what="the supervisor")
        wait_until(lambda: json.loads(cluster.cli("ps", "--json", code=None).stdout or "{}").get("state") == "running")
        parts = urlsplit(cluster.url)
        with socket.create_connection((parts.hostname, parts.port)) as client:
            client.sendall(b"GET /echo?sleep=60 HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_until(lambda: cluster.pool("echo")["busy"], what="a long request")
            for number in (signal.SIGINT, signal.SIGTERM):
                up.send_signal(number)
                wait_until(lambda n=number.name: f"{n} received" in log(cluster), what=f"{number.name} in the log")
            told = up.communicate(timeout=20)
        assert up.returncode == 0, told
        assert "killed" in told[1]


def test_the_same_address_can_be_had_again_at_once_under_clients_that_keep_coming(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"http://127.0.0.1:{free.getsockname()[1]}"
    with Crowd(listen, slow_s=0.02) as crowd:
        for number in range(20):
            config = Config(
                cluster=ClusterConfig(name="again"),
                server=ServerConfig(listen=listen, processes=1 + number % 2),
                routes={"/echo": "echo"},
                pools={"echo": PoolConfig(handler="primectl.handlers.echo:echo")},
            )
            with running(tmp_path, config, ["-m", "supervisor"]) as up:
                assert up.notices[-1].get("ready"), up.notices
                answered = crowd.counts["answered"]
                wait_until(lambda a=answered: crowd.counts["answered"] > a, what="an answer")
                assert (up.stop().killed, up.leftovers()) == ([], [])
    assert (crowd.lost, crowd.wrong) == ([], []), crowd.told
