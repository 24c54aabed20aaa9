"""Real processes that are drained, stopped, or killed all at once: what lasts, what is replaced, who hears of it."""

import os
import resource
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import zmq

from primectl.errors import ConfigError, NotFound, TimedOut
from primectl.wire import frames
from primectl.wire.control import (
    Drained,
    DrainOrder,
    Events,
    EventsQuery,
    ProcessGone,
    ProcessReady,
    Restart,
    Restarted,
    Resumed,
    ResumeOrder,
    Roster,
    Scale,
    Scaled,
)
from tests.support.running import eventually, running, standin_config


def events(up, kind):
    return [event for event in up.ask("GET", "/events", EventsQuery(), Events).events if event.kind == kind]


def pids(up):
    return {process.id: process.pid for process in up.snapshot().processes if process.id != "supervisor"}


def zygote(up):
    """The pid of the pool's zygote, which no snapshot shows; workers are forks of it, in sessions of their own."""
    shown = set(pids(up).values())
    return next(
        child.pid for child in psutil.Process(up.process.pid).children()
        if "zygote" in child.cmdline() and child.pid not in shown
    )  # fmt: skip


def listener(up, *topics):
    """A subscriber of `commands`, once it hears."""
    context = zmq.Context()
    heard = context.socket(zmq.SUB)
    heard.setsockopt(zmq.LINGER, 0)
    for topic in topics:
        heard.subscribe(topic)
    heard.connect(up.place.endpoint("commands"))
    # Servers are told once a second whether the cluster is ready: once we hear that, we hear everything.
    heard.subscribe(b"role.server")
    assert heard.poll(10_000)
    heard.unsubscribe(b"role.server")
    return context, heard


def hear(heard, count, topic, *kinds):
    """The next `count` commands of these kinds to a topic ("" for any)."""
    found = []
    while len(found) < count:
        assert heard.poll(20_000), f"only {found} within 20 s"
        sent_to, frame = heard.recv_multipart()
        command = frames.command(frame)
        if isinstance(command, kinds) and topic in ("", sent_to.decode()):
            found.append(command)
    return found


# --- drains -----------------------------------------------------------------------------------------------------------


def test_a_drain_is_confirmed_by_the_proxy_and_outlives_it_and_the_worker(tmp_path):
    with running(tmp_path, standin_config(2, spawn="fork")) as up:
        drained = up.ask("POST", "/drain", DrainOrder("work.1"), Drained)
        assert drained.processes == ["work.1"]
        assert up.find("work.1").state == "draining"
        before = pids(up)
        for victim in ("proxy.work", "work.1"):
            os.kill(before[victim], signal.SIGKILL)
            eventually(lambda victim=victim: pids(up)[victim] not in (0, before[victim]))
        eventually(lambda: up.find("proxy.work").state == "running" and up.find("work.1").state == "draining")
        assert up.ask("POST", "/drain", DrainOrder("work.1"), Drained).processes == ["work.1"]
        assert up.ask("POST", "/resume", ResumeOrder("work.1"), Resumed).processes == ["work.1"]
        assert up.find("work.1").state == "running"
        up.stop()


def test_a_pool_is_drained_and_resumed(tmp_path):
    with running(tmp_path, standin_config(2, spawn="fork")) as up:
        assert up.ask("POST", "/drain", DrainOrder("work"), Drained).processes == ["work.1", "work.2"]
        assert up.snapshot().pools[0].state == "draining"
        up.ask("POST", "/restart", Restart("proxy.work"), Restarted)
        assert up.snapshot().pools[0].state == "draining"
        assert up.ask("POST", "/resume", ResumeOrder("work"), Resumed).processes == ["work.1", "work.2"]
        assert up.snapshot().pools[0].state == "running"
        assert [event.text for event in events(up, "drain")] == ["drain pool work: no more jobs for it"]
        up.stop()


def test_a_drained_worker_is_scaled_away_first_and_its_id_starts_afresh(tmp_path):
    with running(tmp_path, standin_config(3, spawn="fork")) as up:
        up.ask("POST", "/drain", DrainOrder("work.1"), Drained)
        up.ask("POST", "/scale", Scale("work", "2"), Scaled)
        assert [p.id for p in up.snapshot().processes if p.role == "worker"] == ["work.2", "work.3"]
        up.ask("POST", "/scale", Scale("work", "3"), Scaled)
        assert up.find("work.1").state == "running"
        up.stop()


def test_a_drain_that_its_proxy_does_not_confirm_times_out_and_stays(tmp_path):
    with running(tmp_path, standin_config(1)) as up:
        os.kill(up.find("proxy.work").pid, signal.SIGSTOP)
        with pytest.raises(TimedOut, match=r"proxy\.work has not confirmed it"):
            up.ask("POST", "/drain", DrainOrder("work.1", timeout_s=0.2), Drained)
        os.kill(up.find("proxy.work").pid, signal.SIGCONT)
        assert up.find("work.1").state == "draining"
        up.stop()


@pytest.mark.parametrize(
    ("target", "error"), [("wrok", NotFound), ("server.1", ConfigError), ("proxy.work", ConfigError)]
)
def test_what_cannot_be_drained_is_refused(tmp_path, target, error):
    with running(tmp_path, standin_config(1)) as up:
        for path, order in (("/drain", DrainOrder(target)), ("/resume", ResumeOrder(target))):
            with pytest.raises(error):
                up.ask("POST", path, order, Drained)
        up.stop()


# --- stopped processes ------------------------------------------------------------------------------------------------


def test_whatever_stays_stopped_is_replaced_and_the_event_says_why(tmp_path):
    with running(tmp_path, standin_config(2, spawn="fork")) as up:
        before = {**pids(up), "zygote.work": zygote(up)}
        stopped = ("work.1", "proxy.work", "server.1", "zygote.work")
        for process in stopped:
            os.kill(before[process], signal.SIGSTOP)
        eventually(lambda: {event.subject for event in events(up, "suspended")} == set(stopped))
        eventually(lambda: all(p.state == "running" for p in up.snapshot().processes))
        after = {**pids(up), "zygote.work": eventually(lambda: zygote(up))}
        assert {process for process, pid in after.items() if before[process] != pid} == set(stopped)
        assert "nobody let it go on" in events(up, "suspended")[0].text
        assert events(up, "crashed") == []
        assert up.find("work.1").cause.startswith("stopped for ")
        up.stop()


def test_a_pause_that_ends_in_time_has_no_consequence(tmp_path):
    with running(tmp_path, standin_config(1)) as up:
        before = pids(up)
        for _ in range(3):
            os.kill(before["work.1"], signal.SIGSTOP)
            eventually(lambda: up.find("work.1").heartbeat_age_s > 0.5)
            os.kill(before["work.1"], signal.SIGCONT)
            eventually(lambda: up.find("work.1").heartbeat_age_s < 0.3)
        assert pids(up) == before
        assert events(up, "suspended") == []
        up.stop()


# --- many at once -----------------------------------------------------------------------------------------------------


def test_a_zygote_a_proxy_and_all_workers_killed_at_the_same_time_come_back(tmp_path):
    with running(tmp_path, standin_config(4, spawn="fork")) as up:
        before = pids(up)
        victims = [pid for process, pid in before.items() if process != "server.1"] + [zygote(up)]
        # Nobody is killed for having lived too short a time to be killed from outside.
        eventually(lambda: all(p.uptime_s > 1.2 for p in up.snapshot().processes))
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: all(pids(up)[process] not in (0, pid) for process, pid in before.items() if pid in victims))
        eventually(lambda: all(p.state == "running" for p in up.snapshot().processes))
        assert up.snapshot().pools[0].workers == 4
        assert pids(up)["server.1"] == before["server.1"]
        assert events(up, "failed") == []
        up.stop()


def test_every_death_of_many_is_told_to_the_pool_and_a_new_proxy_hears_whom_it_serves_before_anybody_hears_of_it(
    tmp_path,
):
    with running(tmp_path, standin_config(8, spawn="fork")) as up:
        context, heard = listener(up, b"pool.work", b"proc.proxy.work", b"all")
        workers = {process: pid for process, pid in pids(up).items() if process.startswith("work.")}
        for pid in workers.values():
            os.kill(pid, signal.SIGKILL)
        gone = hear(heard, 8, "pool.work", ProcessGone)
        assert {command.process for command in gone} == set(workers)
        eventually(lambda: up.snapshot().pools[0].workers == 8)
        os.kill(up.find("proxy.work").pid, signal.SIGKILL)
        roster, ready = hear(heard, 2, "", Roster, ProcessReady)
        assert isinstance(roster, Roster)
        assert sorted(worker for worker, _ in roster.workers) == sorted(workers)
        assert isinstance(ready, ProcessReady)
        heard.close()
        context.term()
        up.stop()


# --- several servers --------------------------------------------------------------------------------------------------


def who_answers(up):
    """The pid of the server that a new connection reaches, whenever it answers."""
    address = (urlsplit(up.listen).hostname, urlsplit(up.listen).port)
    with socket.create_connection(address, timeout=20) as client:
        return int(client.makefile().readline())


def test_two_servers_share_the_port_and_while_one_is_replaced_the_other_serves_on(tmp_path):
    with running(tmp_path, standin_config(1, servers=2)) as up:
        before = pids(up)
        servers = {before["server.1"], before["server.2"]}
        seen = set()
        eventually(lambda: seen.add(who_answers(up)) or seen == servers)
        os.kill(before["server.1"], signal.SIGKILL)
        # Those that the kernel gives to the dead one's socket wait in its queue for the replacement: none is refused.
        answered = {who_answers(up) for _ in range(20)}
        assert before["server.1"] not in answered
        assert before["server.2"] in answered
        replacement = eventually(lambda: pids(up)["server.1"] not in (0, before["server.1"]) and pids(up)["server.1"])
        eventually(lambda: who_answers(up) == replacement)
        assert pids(up)["server.2"] == before["server.2"]
        up.stop()


# --- what processes are started with ----------------------------------------------------------------------------------


def environment(pid):
    return dict(entry.partition("=")[::2] for entry in Path(f"/proc/{pid}/environ").read_text().split("\0") if entry)


def test_memory_of_large_bodies_goes_back_to_the_system_unless_the_operator_says_otherwise(tmp_path, monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "7")
    with running(tmp_path, standin_config(1)) as up:
        seen = {process: environment(pid) for process, pid in pids(up).items()}
        assert {env["MALLOC_ARENA_MAX"] for env in seen.values()} == {"7"}
        for process in ("server.1", "proxy.work"):
            assert int(seen[process]["MALLOC_MMAP_THRESHOLD_"]) < int(seen[process]["MALLOC_TRIM_THRESHOLD_"])
        assert "MALLOC_MMAP_THRESHOLD_" not in seen["work.1"], "handlers keep malloc's own way"
        up.stop()


LIMITED = """
import resource, sys
from supervisor.__main__ import main
from tests.support.standin_supervisor import programs

resource.setrlimit(resource.RLIMIT_NOFILE, (500, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
sys.exit(main(programs()))
"""


def test_servers_and_proxies_may_hold_as_many_connections_as_the_system_allows_and_handlers_keep_their_limit(tmp_path):
    program = tmp_path / "limited.py"
    program.write_text(LIMITED)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with running(tmp_path, standin_config(1, spawn="fork"), program=[str(program)]) as up:
        limits = {process: resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] for process, pid in pids(up).items()}
        assert limits == {"server.1": hard, "proxy.work": hard, "work.1": 500}
        up.stop()


def test_what_a_proxy_counts_is_shown(tmp_path):
    with running(tmp_path, standin_config(1)) as up:
        assert eventually(lambda: up.find("proxy.work").counters) == {"handed_back": 3}
        up.stop()
