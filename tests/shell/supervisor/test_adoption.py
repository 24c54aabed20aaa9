"""Real processes whose supervisor gets SIGKILL: the next one goes on with them."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psutil
import pytest
from msgspec import structs

from primectl.cli.leftovers import clean_up
from primectl.config.model import ServerConfig
from primectl.wire import frames
from primectl.wire.control import (
    Drained,
    DrainOrder,
    Events,
    EventsQuery,
    Kill,
    Killed,
    Loan,
    Restart,
    Restarted,
    Scale,
    Scaled,
)
from supervisor import adopt, kernel
from supervisor.statefile import read_state, write_state
from tests.support.running import STANDINS, alive, eventually, lives, running, standin_config


def pids(up):
    return {process.id: process.pid for process in up.snapshot().processes if process.id != "supervisor"}


def zygotes(up):
    state = read_state(up.place)
    return [entry.pid for entry in state.processes if entry.role == "zygote"]


def dies(up):
    up.process.kill()
    up.process.wait()


def killed(pid):
    """All of it is gone, its sockets too: a process counts as a zombie before its last thread has ended."""
    pidfd = os.pidfd_open(pid)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert kernel.await_end(pidfd, 20.0)
    os.close(pidfd)


def who_answers(url):
    """The pid of the server that a new connection reaches, whenever it answers."""
    if url.startswith("unix:"):
        client = socket.socket(socket.AF_UNIX)
        client.connect(url.removeprefix("unix:"))
    else:
        client = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=20)
    with client:
        client.settimeout(20)
        return int(client.makefile().readline())


def told(up, kind):
    return [event for event in up.ask("GET", "/events", EventsQuery(), Events).events if event.kind == kind]


# --- all of it goes on ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spawn", ["fork", "exec"])
def test_everything_goes_on_under_the_next_supervisor_as_it_was(tmp_path, spawn):
    with running(tmp_path, standin_config(3, spawn=spawn)) as up:
        before, listen, old_zygotes = pids(up), up.listen, zygotes(up)
        dies(up)
        assert all(map(lives, [*before.values(), *old_zygotes]))
        with running(tmp_path, standin_config(3, spawn=spawn), heir=True) as again:
            ready = again.notices[-1]
            assert (ready["ready"], ready["adopted"], ready["started"], ready["failing"]) == (True, 5, 0, [])
            assert again.listen == listen
            assert pids(again) == before
            assert {process.state for process in again.snapshot().processes} == {"running"}
            assert who_answers(listen) == before["server.1"]
            eventually(lambda: not any(map(lives, old_zygotes)))
            eventually(lambda: len(zygotes(again)) == len(old_zygotes))
            assert [event.text for event in told(again, "adopted")] == [
                "took over from a supervisor that died: adopted 5 processes"
            ]
            stopped = again.stop()
            assert (stopped.processes, stopped.killed) == (5, [])
            assert again.leftovers() == []
        assert not any(map(lives, before.values()))


def test_supervisors_may_die_one_after_the_other_also_before_they_have_taken_over(tmp_path):
    with running(tmp_path, standin_config(2, spawn="fork")) as up:
        before = pids(up)
        dies(up)
        for _ in range(3):
            with running(tmp_path, standin_config(2, spawn="fork"), heir=True) as next_one:
                dies(next_one)
        order = [sys.executable, *STANDINS, "--notify-fd", "1"]
        state = Path(up.place.state_file)
        written = state.stat().st_mtime_ns
        cluster = msgspec.json.encode(adopt.read_cluster(up.place))
        with subprocess.Popen(
            order, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=up.environ, start_new_session=True
        ) as hasty:
            hasty.stdin.write(cluster)
            hasty.stdin.close()
            eventually(lambda: state.stat().st_mtime_ns != written)
            hasty.kill()
        with running(tmp_path, standin_config(2, spawn="fork"), heir=True) as last:
            assert pids(last) == before
            eventually(lambda: len(zygotes(last)) == 1)
            last.stop()
            assert last.leftovers() == []


def test_what_ended_meanwhile_is_replaced_and_the_rest_is_left_alone(tmp_path):
    with running(tmp_path, standin_config(3, spawn="fork")) as up:
        before, listen = pids(up), up.listen
        dies(up)
        for victim in ("work.2", "proxy.work", "server.1"):
            killed(before[victim])
        with running(tmp_path, standin_config(3, spawn="fork"), heir=True) as again:
            ready = again.notices[-1]
            assert (ready["adopted"], ready["started"], ready["listen"]) == (2, 3, listen)
            after = pids(again)
            assert {process for process, pid in after.items() if before[process] == pid} == {"work.1", "work.3"}
            assert again.find("work.2").restarts == 1
            assert who_answers(listen) == after["server.1"]
            again.stop()
            assert again.leftovers() == []


def test_adopted_processes_obey_and_what_becomes_of_them_is_told(tmp_path):
    with running(tmp_path, standin_config(3, spawn="fork")) as up:
        before = pids(up)
        dies(up)
        with running(tmp_path, standin_config(3, spawn="fork"), heir=True) as again:
            assert again.ask("POST", "/kill", Kill("work.1"), Killed).acknowledged == ["work.1"]
            eventually(lambda: again.find("work.1").state == "running")
            assert not lives(before["work.1"])
            os.kill(before["work.2"], signal.SIGKILL)
            eventually(lambda: again.find("work.2").pid not in (0, before["work.2"]))
            assert "its exit status is unknown" in told(again, "crashed")[0].text
            eventually(lambda: again.find("work.2").state == "running")
            assert again.ask("POST", "/scale", Scale("work", "1"), Scaled).after == 1
            assert again.ask("POST", "/restart", Restart("proxy.work"), Restarted).processes == ["proxy.work"]
            assert again.ask("POST", "/scale", Scale("work", "4"), Scaled).after == 4
            again.stop()
            assert again.leftovers() == []


def test_an_adopted_process_that_does_not_listen_is_killed_by_a_stop(tmp_path):
    config = standin_config(1, env={"STANDIN": "deaf"})
    with running(tmp_path, config) as up:
        dies(up)
        with running(tmp_path, config, heir=True) as again:
            assert again.stop(0.1).killed == ["work.1"]
            assert again.leftovers() == []


def test_what_an_adopted_worker_has_started_and_left_behind_ends_with_it(tmp_path):
    config = standin_config(1, env={"STANDIN": "spawns"})
    with running(tmp_path, config) as up:
        worker = up.find("work.1").pid
        (child,) = eventually(psutil.Process(worker).children)
        dies(up)
        with running(tmp_path, config, heir=True) as again:
            os.kill(worker, signal.SIGKILL)
            eventually(lambda: not alive(child))
            again.stop()


def test_what_operators_have_changed_outlives_the_supervisor(tmp_path):
    with running(tmp_path, standin_config(2, spawn="fork")) as up:
        up.ask("POST", "/scale", Scale("work", "3"), Scaled)
        up.ask("POST", "/drain", DrainOrder("work.1"), Drained)
        before = pids(up)
        dies(up)
        killed(before["work.1"])
        with running(tmp_path, standin_config(2, spawn="fork"), heir=True) as again:
            assert again.snapshot().pools[0].target == 3
            eventually(lambda: again.find("work.1").state == "draining")
            assert pids(again)["work.3"] == before["work.3"]
            again.stop()


def test_what_is_not_taken_over_can_be_cleared_up_sockets_included(tmp_path):
    config = standin_config(1, spawn="fork", listen=f"unix:{tmp_path}/front")
    with running(tmp_path, config) as up:
        before = [*pids(up).values(), *zygotes(up)]
        dies(up)
        assert clean_up(up.place) == ["server.1", "proxy.work", "zygote.work", "work.1"]
        assert not any(map(lives, before))
        assert up.leftovers() == []
        assert not (tmp_path / "front").exists()


# --- who is meant -----------------------------------------------------------------------------------------------------


@pytest.fixture
def innocent():
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True) as process:
        yield process
        assert process.poll() is None, "nobody has touched it"
        process.kill()


def test_a_process_that_has_taken_over_a_pid_is_never_touched(tmp_path, innocent):
    with running(tmp_path, standin_config(2)) as up:
        before = pids(up)
        dies(up)
        killed(before["work.1"])
        state = read_state(up.place)
        taken = [structs.replace(e, pid=innocent.pid) if e.id == "work.1" else e for e in state.processes]
        write_state(up.place, structs.replace(state, processes=taken))
        with running(tmp_path, standin_config(2), heir=True) as again:
            assert (again.notices[-1]["adopted"], again.notices[-1]["started"]) == (3, 1)
            assert pids(again)["work.1"] not in (innocent.pid, before["work.1"])
            again.stop(0.0)


def test_without_the_config_that_it_ran_with_a_cluster_is_ended_and_started_anew(tmp_path):
    with running(tmp_path, standin_config(1)) as up:
        before = pids(up)
        dies(up)
        os.unlink(up.place.cluster_file)
        with running(tmp_path, standin_config(1), heir=True) as again:
            assert (again.notices[-1]["ready"], again.notices[-1]["adopted"]) == (True, 0)
            assert not any(map(lives, before.values()))
            again.stop()


def test_a_worker_that_nobody_has_written_down_is_ended(tmp_path):
    """As when its supervisor dies between the fork and the writing."""
    with running(tmp_path, standin_config(2)) as up:
        before = pids(up)
        dies(up)
        state = read_state(up.place)
        write_state(up.place, structs.replace(state, processes=[e for e in state.processes if e.id != "work.1"]))
        with running(tmp_path, standin_config(2), heir=True) as again:
            eventually(lambda: not lives(before["work.1"]))
            assert again.find("work.1").pid not in (0, before["work.1"])
            assert pids(again)["work.2"] == before["work.2"]
            assert f"ended process {before['work.1']}, which went by work.1 and was in no book" in again.log()
            again.stop()
            assert again.leftovers() == []


def test_who_only_claims_to_be_of_the_cluster_is_not_of_it(innocent, tmp_path):
    log = str(tmp_path / "work.1.log")
    assert not adopt.is_of_cluster(innocent.pid, log)
    with (
        open(log, "w") as output,
        subprocess.Popen(
            [sys.executable, "-c", "import signal; signal.pause()"], stdout=output, start_new_session=True
        ) as ours,
        subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], stdout=output) as no_leader,
    ):
        assert adopt.is_of_cluster(ours.pid, log)
        assert not adopt.is_of_cluster(ours.pid, str(tmp_path / "work.10.log"))
        assert not adopt.is_of_cluster(no_leader.pid, log)
        os.rename(log, f"{log}.1")
        assert adopt.is_of_cluster(ours.pid, log)
        os.unlink(f"{log}.1")
        ours.kill()
        no_leader.kill()


def test_members_of_a_group_are_found_where_the_kernel_knows_no_signal_to_it(tmp_path, innocent):
    script = "import subprocess, sys; print(subprocess.Popen(['sleep', '100']).pid, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as leader:
        left = int(leader.stdout.readline())
        ticks = kernel.start_ticks(leader.pid)
        leader.stdin.close()
        leader.wait()
        kernel.end_members(innocent.pid, 1)
        kernel.end_members(leader.pid, ticks)
        eventually(lambda: not lives(left))


# --- listening sockets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("servers", [1, 2])
@pytest.mark.parametrize("scheme", ["http", "unix"])
def test_an_adopted_server_is_replaced_and_its_connections_wait_meanwhile(tmp_path, servers, scheme):
    listen = "http://127.0.0.1:0" if scheme == "http" else f"unix:{tmp_path}/front"
    config = standin_config(1, servers=servers, listen=listen)
    with running(tmp_path, config) as up:
        before, url = pids(up), up.listen
        dies(up)
        with running(tmp_path, config, heir=True) as again:
            assert again.listen == url
            eventually(
                lambda: again.log().count("has lent its listening socket") == (servers if scheme == "http" else 1)
            )
            for number in range(1, servers + 1):
                os.kill(before[f"server.{number}"], signal.SIGSTOP)
            with_a_place_in_the_queue = [connected(url) for _ in range(4)]
            for number in range(1, servers + 1):
                killed(before[f"server.{number}"])
            for client in with_a_place_in_the_queue:
                with client:
                    assert int(client.makefile().readline()) not in before.values()
            again.stop()
            assert again.leftovers() == []
    assert not os.path.exists(tmp_path / "front")


def connected(url):
    if url.startswith("unix:"):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(20)
        client.connect(url.removeprefix("unix:"))
        return client
    return socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=20)


@pytest.mark.parametrize("scheme", ["http", "unix"])
def test_a_server_that_fell_is_started_beside_the_one_that_lives(tmp_path, scheme):
    listen = "http://127.0.0.1:0" if scheme == "http" else f"unix:{tmp_path}/front"
    config = standin_config(1, servers=2, listen=listen)
    with running(tmp_path, config) as up:
        before, url = pids(up), up.listen
        dies(up)
        killed(before["server.2"])
        with running(tmp_path, config, heir=True) as again:
            assert (again.notices[-1]["adopted"], again.notices[-1]["started"]) == (3, 1)
            after = pids(again)
            assert after["server.1"] == before["server.1"]
            seen = set()
            eventually(lambda: seen.add(who_answers(url)) or seen == {after["server.1"], after["server.2"]})
            assert told(again, "crashed") == []
            again.stop()
            assert again.leftovers() == []


def test_an_address_that_somebody_has_taken_meanwhile_is_an_error_and_the_rest_lives_on(tmp_path):
    config = standin_config(1)
    with running(tmp_path, config) as up:
        before, url = pids(up), up.listen
        dies(up)
        killed(before["server.1"])
        with (
            socket.create_server((urlsplit(url).hostname, urlsplit(url).port)),
            running(tmp_path, config, heir=True) as again,
        ):
            assert f"is in use by process {os.getpid()}" in again.notices[-1]["failed"]
            again.process.wait()
        assert lives(before["work.1"])
        with running(tmp_path, config, heir=True) as last:
            assert (last.notices[-1]["adopted"], last.notices[-1]["started"], last.listen) == (2, 1, url)
            last.stop()


def test_what_is_no_loan_is_refused_and_nothing_of_it_stays_open(tmp_path):
    with running(tmp_path, standin_config(1)) as up:
        dies(up)
        with running(tmp_path, standin_config(1), heir=True) as again:
            eventually(lambda: "server.1 has lent its listening socket" in again.log())
            before = psutil.Process(again.process.pid).num_fds()
            reader, writer = os.pipe()
            listener = socket.create_server(("127.0.0.1", 0))
            loans = [b"", b"\xff" * 100, frames.encode(Loan("work.1", 1)), frames.encode(Loan("server.1", 1))]
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link, listener:
                link.connect(f"{again.place.sockets}/listeners")
                for loan in loans:
                    for descriptors in ([], [reader], [listener.fileno()], [reader, writer]):
                        eventually(lambda loan=loan, descriptors=descriptors: sent(link, loan, descriptors))
            os.close(reader)
            os.close(writer)
            eventually(lambda: psutil.Process(again.process.pid).num_fds() == before)
            assert "that are no loan" in again.log()
            again.stop()


def sent(link, loan, descriptors):
    link.setblocking(False)
    try:
        socket.send_fds(link, [loan or b"\0"], descriptors)
    except BlockingIOError:
        return False
    return True


def test_a_config_that_has_changed_is_applied_once_all_is_taken_over(tmp_path):
    with running(tmp_path, standin_config(1)) as up:
        before = pids(up)
        dies(up)
        changed = structs.replace(standin_config(1), server=ServerConfig(listen="http://127.0.0.1:0", access_log=False))
        with running(tmp_path, changed, heir=True) as again:
            ready = again.notices[-1]
            assert (ready["adopted"], ready["failing"]) == (3, [])
            assert ready["applied"].startswith("1 change made")
            assert {process for process, pid in pids(again).items() if before[process] != pid} == {"server.1"}
            assert adopt.read_cluster(again.place).config == changed
            again.stop()
            assert again.leftovers() == []
