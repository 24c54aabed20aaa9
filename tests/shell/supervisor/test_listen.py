"""Listening sockets: bound before anything starts, kept, and refused in words."""

import os
import socket
from urllib.parse import urlsplit

import psutil
import pytest

from primectl.errors import StartFailed
from supervisor.listen import Listeners


@pytest.fixture
def listeners(request):
    opened = []

    def open_listeners(listen, processes=1):
        opened.append(Listeners(listen, processes))
        return opened[-1]

    yield open_listeners
    for each in opened:
        each.close()


def address(url):
    return urlsplit(url).hostname, urlsplit(url).port


def test_port_zero_takes_a_free_port_and_shows_it(listeners):
    bound = listeners("http://127.0.0.1:0")
    assert address(bound.url)[1] > 0
    with socket.create_connection(address(bound.url)):
        pass


def test_ipv6_is_written_with_brackets(listeners):
    bound = listeners("http://[::1]:0")
    assert bound.url.startswith("http://[::1]:")
    with socket.create_connection(address(bound.url)):
        pass


def test_every_server_process_has_a_socket_of_its_own_on_one_port(listeners):
    bound = listeners("http://127.0.0.1:0", 3)
    assert len({bound.fd(server) for server in (1, 2, 3)}) == 3
    assert {each.getsockname() for each in bound.sockets} == {address(bound.url)}


def test_an_address_in_use_is_named_with_who_holds_it(listeners):
    port = address(listeners("http://127.0.0.1:0").url)[1]
    with pytest.raises(StartFailed) as refused:
        listeners(f"http://127.0.0.1:{port}")
    assert str(refused.value) == (
        f"server.listen: 127.0.0.1:{port} is in use by process {os.getpid()} ({psutil.Process().name()}). "
        "Stop it, or choose another address"
    )


def test_two_clusters_with_several_servers_do_not_share_a_port_by_accident(listeners):
    url = listeners("http://127.0.0.1:0", 2).url
    with pytest.raises(StartFailed, match="is in use"):
        listeners(url, 2)


def test_an_address_of_another_machine_is_refused(listeners):
    with pytest.raises(StartFailed, match=r"cannot listen on 192\.0\.2\.1:8002"):
        listeners("http://192.0.2.1:8002")


def test_a_unix_socket_replaces_one_that_nobody_listens_at(listeners, tmp_path):
    path = tmp_path / "front"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    bound = listeners(f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    bound.close()
    bound.remove()
    assert not path.exists()


def test_all_server_processes_have_the_one_unix_socket(listeners, tmp_path):
    bound = listeners(f"unix:{tmp_path}/front", 3)
    assert len(bound.sockets) == 1
    assert bound.fd(1) == bound.fd(2) == bound.fd(3)


def test_a_unix_socket_that_somebody_listens_at_is_left_alone(listeners, tmp_path):
    path = tmp_path / "front"
    with socket.socket(socket.AF_UNIX) as holder:
        holder.bind(str(path))
        holder.listen()
        with pytest.raises(StartFailed, match="is in use"):
            listeners(f"unix:{path}")
        assert path.exists()


def test_a_file_that_is_no_socket_is_left_alone(listeners, tmp_path):
    path = tmp_path / "front"
    path.write_text("precious")
    with pytest.raises(StartFailed, match="no socket"):
        listeners(f"unix:{path}")
    assert path.read_text() == "precious"


def test_a_socket_that_somebody_else_has_put_in_its_place_is_not_removed(listeners, tmp_path):
    path = tmp_path / "front"
    bound = listeners(f"unix:{path}")
    path.rename(tmp_path / "elsewhere")
    path.write_text("new")
    bound.remove()
    assert path.exists()
