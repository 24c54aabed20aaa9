"""A real supervisor over real processes (stand-ins for the data plane): started, killed, scaled, stopped."""

import os
import signal
import socket
import threading
from urllib.parse import urlsplit

import psutil
import pytest

from primectl.config.model import SupervisorConfig
from primectl.errors import ChannelLost, ConfigError, NotFound
from primectl.wire.control import (
    Events,
    EventsQuery,
    Kill,
    Killed,
    Logs,
    LogsQuery,
    Restart,
    Restarted,
    Scale,
    Scaled,
    Stop,
    Stopped,
)
from tests.support.running import eventually, running, standin_config


@pytest.mark.parametrize("spawn", ["exec", "fork"])
def test_a_cluster_comes_up_shows_itself_and_stops_leaving_nothing(tmp_path, spawn):
    with running(tmp_path, standin_config(3, spawn=spawn)) as up:
        assert up.notices[-1]["ready"]
        assert up.notices[-1]["pid"] == up.process.pid
        snapshot = up.snapshot()
        assert (snapshot.state, snapshot.front.listen) == ("running", up.listen)
        assert [p.id for p in snapshot.processes] == [
            "supervisor",
            "server.1",
            "proxy.work",
            "work.1",
            "work.2",
            "work.3",
        ]
        assert all(psutil.pid_exists(p.pid) for p in snapshot.processes)
        stopped = up.stop()
        assert (stopped.finished, stopped.cancelled, stopped.processes, stopped.killed) == (4, 2, 5, [])
        assert up.process.returncode == 0
        assert up.leftovers() == []


def test_forked_workers_are_children_of_the_supervisor_in_sessions_of_their_own(tmp_path):
    with running(tmp_path, standin_config(2, spawn="fork")) as up:
        for worker in ("work.1", "work.2"):
            pid = up.find(worker).pid
            assert psutil.Process(pid).ppid() == up.process.pid
            assert os.getsid(pid) == pid
        up.stop()


def test_the_runtime_folder_is_private(tmp_path):
    with running(tmp_path) as up:
        assert os.stat(up.place.runtime).st_mode & 0o777 == 0o700
        for name in ("cluster.json", "state.json", "supervisor.pid"):
            assert os.stat(f"{up.place.runtime}/{name}").st_mode & 0o077 == 0
        up.stop()


def test_a_worker_killed_with_sigkill_is_back_with_its_id_and_a_new_pid(tmp_path):
    with running(tmp_path, standin_config(2, spawn="fork")) as up:
        before = up.find("work.1").pid
        os.kill(before, signal.SIGKILL)
        eventually(lambda: up.find("work.1").pid not in (0, before) and up.find("work.1").state == "running")
        assert up.find("work.1").restarts == 1
        assert up.find("work.1").cause == "killed by SIGKILL"
        events = up.ask("GET", "/events", EventsQuery(), Events).events
        assert "work.1 ended: killed by SIGKILL; starts again at once" in [event.text for event in events]
        up.stop()


def test_a_killed_zygote_is_back_and_its_workers_never_notice(tmp_path):
    with running(tmp_path, standin_config(2, spawn="fork")) as up:
        workers = [up.find("work.1").pid, up.find("work.2").pid]
        zygote = next(
            child
            for child in psutil.Process(up.process.pid).children()
            if "zygote" in child.cmdline() and child.pid not in workers
        )
        os.kill(zygote.pid, signal.SIGKILL)
        scaled = up.ask("POST", "/scale", Scale("work", "3"), Scaled)
        assert scaled.after == 3
        assert [up.find("work.1").pid, up.find("work.2").pid] == workers
        up.stop()


def test_scale_returns_when_the_pool_has_its_size_and_tells_its_progress(tmp_path):
    with running(tmp_path, standin_config(1, spawn="fork")) as up:
        progress = []
        up.ask("POST", "/scale", Scale("work", "+9"), Scaled, progress.append)
        assert up.snapshot().pools[0].workers == 10
        assert progress[0].total == 10
        up.ask("POST", "/scale", Scale("work", "2"), Scaled)
        assert [p.id for p in up.snapshot().processes if p.role == "worker"] == ["work.1", "work.2"]
        up.stop()


def test_kill_returns_when_the_processes_are_gone_and_they_are_replaced(tmp_path):
    with running(tmp_path, standin_config(3)) as up:
        victims = {p.id: p.pid for p in up.snapshot().processes if p.role == "worker"}
        killed = up.ask("POST", "/kill", Kill("work"), Killed)
        assert sorted(killed.acknowledged) == sorted(victims)
        assert killed.forced == []
        assert not any(psutil.pid_exists(pid) for pid in victims.values())
        eventually(lambda: up.snapshot().pools[0].workers == 3)
        up.stop()


def test_who_is_deaf_to_kill_gets_sigkill(tmp_path):
    with running(tmp_path, standin_config(2, env={"STANDIN": "deaf"})) as up:
        killed = up.ask("POST", "/kill", Kill("work.1", grace_s=0.1), Killed)
        assert (killed.acknowledged, killed.forced) == (["work.1"], ["work.1"])
        up.stop(0.0)


def test_a_stopped_process_gets_sigkill_too(tmp_path):
    with running(tmp_path) as up:
        os.kill(up.find("work.1").pid, signal.SIGSTOP)
        killed = up.ask("POST", "/kill", Kill("work.1", grace_s=0.1), Killed)
        assert killed.forced == ["work.1"]
        up.stop()


def test_restart_replaces_everybody(tmp_path):
    with running(tmp_path, standin_config(2)) as up:
        before = {p.id: p.pid for p in up.snapshot().processes}
        for target in ("work", "role.proxy", "server.1"):
            up.ask("POST", "/restart", Restart(target), Restarted)
        after = {p.id: p.pid for p in up.snapshot().processes}
        assert [name for name, pid in after.items() if before[name] == pid] == ["supervisor"]
        up.stop()


def test_a_stop_that_nobody_obeys_kills_when_its_time_is_over_and_names_them(tmp_path):
    with running(tmp_path, standin_config(2, env={"STANDIN": "deaf"})) as up:
        stopped = up.stop(0.2)
        assert sorted(stopped.killed) == ["work.1", "work.2"]
        assert up.leftovers() == []


def test_sigterm_stops_cleanly(tmp_path):
    with running(tmp_path) as up:
        up.process.terminate()
        assert up.process.wait(20) == 0
        assert up.leftovers() == []
        assert "SIGTERM received" in up.log()


def test_a_second_signal_kills_at_once(tmp_path):
    with running(tmp_path, standin_config(1, env={"STANDIN": "deaf"})) as up:
        up.process.terminate()
        eventually(lambda: "stopping within 30 s" in up.log())
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(20) == 0
        assert up.leftovers() == []


def test_connections_wait_while_the_server_is_replaced_and_are_refused_after_a_stop(tmp_path):
    with running(tmp_path) as up:
        address = (urlsplit(up.listen).hostname, urlsplit(up.listen).port)
        os.kill(up.find("server.1").pid, signal.SIGSTOP)
        socket.create_connection(address).close()
        os.kill(up.find("server.1").pid, signal.SIGCONT)
        up.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


# --- starts that fail -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "failed", "detail"),
    [
        (
            standin_config(env={"STANDIN": "dies"}),
            "did not come up: exit status 3: StandinError: told to die",
            "StandinError: told to die",
        ),
        (standin_config(env={"STANDIN": "mute"}, start_timeout=0.5), "not READY within 0.5 s", ""),
        (
            standin_config(spawn="fork", env={"STANDIN": "import-fails"}),
            "pools.work.handler: m:f cannot be imported",
            "ModuleNotFoundError: No module 'gone'",
        ),
    ],
)
def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path, config, failed, detail):
    with running(tmp_path, config) as up:
        notice = up.notices[-1]
        assert failed in notice["failed"]
        assert "\n" not in notice["failed"]
        assert detail in notice["detail"]
        assert notice["exit_code"] == up.process.wait(20) == 1
        assert up.leftovers() == []


def test_an_address_in_use_is_one_line_that_names_it_and_who_holds_it(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with running(tmp_path, standin_config(listen=f"http://127.0.0.1:{port}")) as up:
            name = psutil.Process().name()
            assert up.notices == [
                {
                    "failed": f"server.listen: 127.0.0.1:{port} is in use by process {os.getpid()} ({name}). "
                    "Stop it, or choose another address",
                    "detail": "",
                    "exit_code": 1,
                }
            ]
            assert up.process.wait(20) == 1
            assert up.leftovers() == []


def test_a_second_supervisor_is_refused_with_the_pid_of_the_first(tmp_path):
    with running(tmp_path) as up:
        with running(tmp_path) as second:
            assert second.notices[-1]["failed"].startswith(
                f"cluster test is running already, its supervisor is process {up.process.pid}"
            )
            assert second.process.wait(20) == 1
        assert up.snapshot().state == "running"
        up.stop()


def test_a_stale_pid_file_is_no_obstacle(tmp_path):
    with running(tmp_path) as up:
        up.stop()
        os.makedirs(up.place.runtime, mode=0o700, exist_ok=True)
        with open(up.place.pid_file, "w") as file:
            file.write("1\n")
    with running(tmp_path) as again:
        assert again.notices[-1]["ready"]
        again.stop()


# --- the supervisor's own death ---------------------------------------------------------------------------------------


def test_children_outlive_a_supervisor_that_dies_and_the_next_one_ends_them_first_if_told_to(tmp_path):
    kill = SupervisorConfig(orphans="kill")
    with running(tmp_path, standin_config(2, spawn="fork")) as up:
        pids = [p.pid for p in up.snapshot().processes if p.role != "supervisor"]
        survivors = [psutil.Process(pid) for pid in pids]
        up.process.kill()
        up.process.wait()
        assert all(survivor.is_running() for survivor in survivors)
        with running(tmp_path, standin_config(2, spawn="fork", supervisor=kill)) as again:
            assert again.notices[-1]["ready"]
            assert not any(s.is_running() and s.status() != psutil.STATUS_ZOMBIE for s in survivors)
            assert "ended what an earlier supervisor had left running: " in again.log()
            again.stop()
            assert again.leftovers() == []


FAULTY = """
import sys
from supervisor import api
from tests.support.standin_supervisor import programs
from supervisor.__main__ import main

def mistaken(request):
    raise RuntimeError("a mistake of ours")

api.read = mistaken
sys.exit(main(programs()))
"""


def test_a_supervisor_that_fails_itself_says_so_and_leaves_its_children_running(tmp_path):
    program = tmp_path / "faulty.py"
    program.write_text(FAULTY)
    with running(tmp_path, program=[str(program)]) as up:
        children = up.children()
        with pytest.raises(ChannelLost):
            up.snapshot()
        assert up.process.wait(20) == 70
        assert "RuntimeError: a mistake of ours" in up.log()
        assert len(children) == 4
        assert all(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
        for child in children:
            child.kill()


def test_a_state_file_that_cannot_be_written_is_counted_and_survived(tmp_path):
    with running(tmp_path) as up:
        os.mkdir(f"{up.place.state_file}.new")
        up.ask("POST", "/kill", Kill("work.1"), Killed)
        eventually(lambda: up.snapshot().counters.get("state_not_written"))
        os.rmdir(f"{up.place.state_file}.new")
        assert "state.json cannot be written" in up.log()
        up.stop()
        assert up.leftovers() == []


def test_what_a_handler_has_left_running_goes_with_its_worker(tmp_path):
    with running(tmp_path, standin_config(1, env={"STANDIN": "spawns"})) as up:
        worker = psutil.Process(up.find("work.1").pid)
        (child,) = eventually(worker.children)
        up.ask("POST", "/kill", Kill("work.1"), Killed)
        eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
        up.stop()
        assert up.leftovers() == []


# --- orders side by side, refusals ------------------------------------------------------------------------------------


def test_an_order_that_takes_long_does_not_hold_up_another(tmp_path):
    with running(tmp_path, standin_config(2, env={"STANDIN": "deaf"})) as up:
        answers = []
        slow = threading.Thread(
            target=lambda: answers.append(up.ask("POST", "/kill", Kill("work.1", grace_s=1.0), Killed))
        )
        slow.start()
        assert up.ask("POST", "/kill", Kill("work.2", grace_s=0.0), Killed).acknowledged == ["work.2"]
        assert answers == []
        slow.join()
        assert answers[0].forced == ["work.1"]
        up.stop(0.0)


@pytest.mark.parametrize(
    ("path", "body", "error", "text"),
    [
        ("/scale", Scale("wrok", "2"), NotFound, 'there is no pool "wrok". Did you mean "work"?'),
        ("/scale", Scale("work", "65"), ConfigError, "work cannot have 65 workers: max_workers is 64"),
        ("/scale", Scale("work", "2", timeout_s=float("nan")), ConfigError, "timeout_s: expected seconds"),
        ("/kill", Kill("work.77"), NotFound, 'no pool or process is called "work.77"'),
        ("/kill", Stop(1.0), ConfigError, "the body is no Kill"),
        ("/scael", None, NotFound, 'there is no "POST /scael". Did you mean "POST /scale"?'),
        ("/kill", None, ConfigError, "the body is missing. Give target"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(tmp_path, path, body, error, text):
    with running(tmp_path, standin_config(1)) as up:
        with pytest.raises(error) as refused:
            up.ask("POST", path, body, Stopped)
        assert text in str(refused.value)
        up.stop()


def test_logs_are_the_last_lines_of_whom_the_target_names(tmp_path):
    with running(tmp_path) as up:
        with open(up.place.log_file("work.1"), "a") as log:
            log.write("2030-01-01T00:00:00.002Z INFO one\n  | more of one\n")
        with open(up.place.log_file("work.2"), "a") as log:
            log.write("2030-01-01T00:00:00.001Z INFO two\n")
        lines = up.ask("GET", "/logs", LogsQuery("work", 3), Logs).lines
        assert [(line.process, line.text[-11:]) for line in lines] == [
            ("work.2", "1Z INFO two"),
            ("work.1", "2Z INFO one"),
            ("work.1", "more of one"),
        ]
        with pytest.raises(NotFound):
            up.ask("GET", "/logs", LogsQuery("../../etc/passwd", 3), Logs)
        up.stop()


def test_backoff_and_crash_loop_are_shown_with_their_cause(tmp_path):
    policy = SupervisorConfig(crash_limit=2, backoff_first=0.01)
    with running(tmp_path, standin_config(1, env={"STANDIN": "idle"}, supervisor=policy)) as up:
        for _ in range(2):
            found = eventually(lambda: (p := up.find("work.1")).state == "running" and p)
            os.kill(found.pid, signal.SIGABRT)
            eventually(lambda pid=found.pid: up.find("work.1").pid != pid)
        eventually(lambda: up.find("work.1").state == "failed")
        assert up.find("work.1").cause == "killed by SIGABRT"
        up.stop()


def test_processor_time_and_memory_of_every_process_are_measured(tmp_path):
    with running(tmp_path) as up:
        eventually(lambda: all(p.rss_bytes > 1 << 20 for p in up.snapshot().processes))
        up.stop()
