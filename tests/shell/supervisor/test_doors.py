"""Which sockets servers get while the address or their number changes; nothing listens that nobody serves."""

import socket
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from primectl.errors import StartFailed
from supervisor.doors import Doors
from supervisor.listen import Listeners

ANY = "http://127.0.0.1:0"


@pytest.fixture
def doors():
    with closing(Doors(Listeners(ANY, 1))) as doors:
        yield doors
        doors.remove()


def port_of(url):
    return urlsplit(url).port


def connects(url):
    try:
        socket.create_connection(("127.0.0.1", port_of(url)), 1.0).close()
    except ConnectionRefusedError:
        return False
    return True


def test_stand_ins_share_the_socket_of_the_one_whose_place_they_take():
    with closing(Doors(Listeners(ANY, 2))) as doors:
        assert doors.fd(1) != doors.fd(2)
        assert [doors.fd(server) for server in (3, 4, 5)] == [doors.fd(1), doors.fd(2), doors.fd(1)]


def test_a_new_address_is_bound_and_listens_only_in_a_server(doors):
    first = doors.url
    new = doors.bind("http://127.0.0.1:0", 1)
    assert new == first, "port 0 is where we are"
    port = free_port()
    new = doors.bind(f"http://127.0.0.1:{port}", 1)
    assert doors.url == first
    assert not connects(new)
    doors.use()
    assert doors.url == new
    assert connects(first), "the former one is still there"
    doors.close_former()
    assert not connects(first)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_more_servers_join_at_the_same_port_and_leave_it(doors):
    first = doors.fd(1)
    assert doors.bind(ANY, 3) == doors.url
    doors.use()
    assert doors.fd(1) == first
    numbers = {doors.fd(server) for server in (1, 2, 3)}
    assert len(numbers) == 3
    doors.keep(1)
    assert doors.fd(2) == first
    assert connects(doors.url)


def test_what_was_bound_for_nothing_is_dropped_whether_it_is_in_use_or_not(doors):
    first = doors.url
    for used in (False, True):
        new = doors.bind(f"http://127.0.0.1:{free_port()}", 1)
        if used:
            doors.use()
        doors.drop()
        assert doors.url == first
        assert connects(first)
        Listeners(new, 1).close()


def test_an_address_in_use_is_refused_and_everything_is_as_it_was(doors):
    first = doors.url
    with closing(Listeners(ANY, 1)) as other, pytest.raises(StartFailed, match="is in use by process"):
        doors.bind(other.url, 1)
    assert doors.url == first
    assert connects(first)


def test_all_addresses_of_the_machine_take_over_the_port_of_one(doors):
    port = port_of(doors.url)
    assert doors.bind(f"http://0.0.0.0:{port}", 1) == f"http://0.0.0.0:{port}"
    doors.use()
    doors.close_former()


def test_the_file_of_a_former_unix_socket_goes_with_it(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    with closing(Doors(Listeners(f"unix:{old}", 2))) as doors:
        doors.bind(f"unix:{new}", 1)
        doors.use()
        assert old.exists()
        doors.close_former()
        assert not old.exists()
        assert Path(new).is_socket()
        doors.remove()
        assert not new.exists()
