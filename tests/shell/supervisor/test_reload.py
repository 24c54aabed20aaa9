"""Reloads with real processes (stand-ins): two zygotes at a time, code that fails, SIGHUP, watched files."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from msgspec import structs

from primectl.control.client import ControlClient
from primectl.errors import CommandRefused
from primectl.wire.control import Events, EventsQuery, Logs, LogsQuery, Reloaded, ReloadOrder, Scale, Scaled
from supervisor.watch import roots
from tests.support.running import PATIENCE_S, eventually, running, standin_config


def pids(up):
    return {process.id: process.pid for process in up.snapshot().processes}


def zygotes(up):
    """By id, the pids of those that serve(2) as zygotes; workers are forks of them in sessions of their own."""
    shown = {process.pid for process in up.snapshot().processes}
    found = {}
    for child in psutil.Process(up.process.pid).children():
        words = child.cmdline() if child.is_running() and child.status() != psutil.STATUS_ZOMBIE else []
        if "zygote" in words and child.pid not in shown:
            found[words[words.index("--id") + 1]] = child.pid
    return found


def reload(up, target="work", timeout_s=PATIENCE_S):
    return up.ask("POST", "/reload", ReloadOrder(target, timeout_s), Reloaded)


WORKERS = ("work.1", "work.2", "work.3")


def fault(folder: Path, what: str) -> None:
    """What goes wrong with the stand-ins that start from now on."""
    (folder / "fault").write_text(what)


@pytest.mark.parametrize("spawn", ["fork", "exec"])
def test_a_reload_replaces_the_workers_and_nobody_else_and_the_pool_is_never_smaller(tmp_path, spawn):
    with running(tmp_path, standin_config(3, spawn=spawn)) as up:
        before = pids(up)
        assert reload(up).processes == ["work.1", "work.2", "work.3"]
        after = pids(up)
        assert sorted(after) == sorted(before)
        assert sorted(name for name in before if after[name] != before[name]) == ["work.1", "work.2", "work.3"]
        generations = {process.id: process.generation for process in up.snapshot().processes if process.pool}
        assert generations == {"proxy.work": 0, "work.1": 2, "work.2": 2, "work.3": 2}
        up.stop()
        assert up.leftovers() == []


def test_the_old_zygote_is_dismissed_and_the_new_one_forks_from_then_on(tmp_path):
    with running(tmp_path, standin_config(1, spawn="fork")) as up:
        assert list(zygotes(up)) == ["zygote.work"]
        reload(up)
        (new,) = zygotes(up).values()
        assert list(zygotes(up)) == ["zygote.work.next"]
        up.ask("POST", "/scale", Scale("work", "2"), Scaled)
        assert zygotes(up) == {"zygote.work.next": new}
        reload(up)
        assert list(zygotes(up)) == ["zygote.work"]
        logged = up.ask("GET", "/logs", LogsQuery("zygote.work.next"), Logs)
        assert {line.process for line in logged.lines} <= {"zygote.work.next"}
        up.stop()
        assert up.leftovers() == []


IMPORT_FAILS = ("import-fails", "the new code cannot be imported: ModuleNotFoundError: No module 'gone'")
DIES = ("dies", "work.3 with the new code: exit status 3")
SAYS_WHY = ("dies", "work.3 with the new code: exit status 3: StandinError: told to die")
MUTE = ("mute", "work.3 with the new code: not READY within 5 s")


@pytest.mark.parametrize(
    ("spawn", "what", "said"),
    [("fork", *IMPORT_FAILS), ("fork", *DIES), ("fork", *MUTE), ("exec", *SAYS_WHY), ("exec", *MUTE)],
)
def test_new_code_that_fails_leaves_everything_as_it_was_and_says_why(tmp_path, spawn, what, said):
    start_timeout = 5.0 if what == "mute" else PATIENCE_S
    with running(tmp_path, standin_config(2, spawn=spawn, start_timeout=start_timeout)) as up:
        before, forked_by = pids(up), zygotes(up)
        fault(tmp_path, what)
        with pytest.raises(CommandRefused) as refused:
            reload(up)
        assert refused.value.what == f"reload of work: {said}; the old code stays"
        if "Error" in said:
            assert said.rpartition(": ")[2] in "\n".join(refused.value.lines)
        assert (pids(up), zygotes(up)) == (before, forked_by)
        events = up.ask("GET", "/events", EventsQuery(), Events).events
        assert [event.lines for event in events if event.kind == "reload_failed"] == [list(refused.value.lines)]
        fault(tmp_path, "")
        assert reload(up).processes == ["work.1", "work.2"]
        up.stop()
        assert up.leftovers() == []


def test_sigkill_to_both_zygotes_in_the_middle_of_a_reload_does_not_stop_it(tmp_path):
    config = standin_config(3, spawn="fork")
    work = structs.replace(config.pools["work"], reload_pace=1.0)
    with running(tmp_path, structs.replace(config, pools={"work": work})) as up:
        before = pids(up)
        os.kill(up.process.pid, signal.SIGHUP)
        # A zygote that is killed as soon as it is READY counts as broken: this one has had a worker for a while.
        eventually(lambda: any(p.generation == 2 and p.uptime_s > 0.3 for p in up.snapshot().processes))
        assert sorted(zygotes(up)) == ["zygote.work", "zygote.work.next"]
        for pid in zygotes(up).values():
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not up.snapshot().operations)
        after = pids(up)
        assert sorted(after) == sorted(before)
        assert all(after[worker] != before[worker] for worker in ("work.1", "work.2", "work.3"))
        eventually(lambda: list(zygotes(up)) == ["zygote.work.next"])
        up.stop()
        assert up.leftovers() == []


def test_a_supervisor_that_dies_in_the_middle_leaves_a_pool_that_the_next_one_makes_whole(tmp_path):
    config = standin_config(3, spawn="fork")
    config = structs.replace(config, pools={"work": structs.replace(config.pools["work"], reload_pace=60.0)})
    with running(tmp_path, config) as up:
        up.process.send_signal(signal.SIGHUP)
        eventually(lambda: {p.id: p.generation for p in up.snapshot().processes}.get("work.1") == 2)
        eventually(lambda: up.snapshot().pools[0].workers == 4)
        left = pids(up)
        up.process.kill()
        up.process.wait()
        with running(tmp_path, config) as again:
            eventually(lambda: sorted(name for name in pids(again) if name.startswith("work.")) == [*WORKERS])
            eventually(lambda: list(zygotes(again)) == ["zygote.work"])
            assert [pids(again)[worker] for worker in WORKERS] == [left[worker] for worker in WORKERS]
            again.ask("POST", "/scale", Scale("work", "4"), Scaled)
            again.stop()
            assert again.leftovers() == []


def test_sighup_that_somebody_sends_reloads_all_pools(tmp_path):
    with running(tmp_path, standin_config(2, spawn="fork")) as up:
        before = pids(up)
        up.process.send_signal(signal.SIGHUP)
        eventually(lambda: [e for e in up.ask("GET", "/events", EventsQuery(), Events).events if e.kind == "reloaded"])
        assert up.process.poll() is None
        assert all(pids(up)[worker] != before[worker] for worker in ("work.1", "work.2"))
        up.stop()


FOREGROUND = """
import sys, msgspec
from primectl.config.topology import ClusterFile
from supervisor.run import serve
from tests.support.standin_supervisor import programs

cluster = msgspec.json.decode(open(sys.argv[1], "rb").read(), type=ClusterFile)
sys.exit(serve(cluster.config, cluster.place, cluster.config_path, cluster.import_path, programs=programs()))
"""


def test_the_end_of_the_terminal_stops_a_cluster_in_the_foreground_and_a_signal_reloads_it(tmp_path):
    """1. started by a shell on a terminal. 2. `kill -HUP` reloads. 3. the terminal hangs up: a clean stop."""
    with running(tmp_path) as up:
        environ, place = up.environ, up.place
        order = Path(place.cluster_file).read_bytes()
        up.stop()
    (tmp_path / "cluster.json").write_bytes(order)
    (tmp_path / "foreground.py").write_text(FOREGROUND)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execve(sys.executable, [sys.executable, "foreground.py", "cluster.json"], environ)
    log = Path(place.log_file("supervisor"))
    supervisor = psutil.Process(pid)
    try:
        eventually(lambda: log.exists() and log.read_text().count("running, ") == 2)
        with ControlClient(place) as client:
            os.kill(pid, signal.SIGHUP)
            eventually(lambda: "runs the new code" in log.read_text())
            assert client.ask("GET", "/events", EventsQuery(), Events).events
        children = supervisor.children(recursive=True)
        os.close(terminal)
        terminal = -1
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        pid = 0
        assert "the terminal has gone" in log.read_text()
        assert not any(child.is_running() for child in children)
        assert not Path(place.pid_file).exists()
    finally:
        if terminal >= 0:
            os.close(terminal)
        if pid:
            for process in [supervisor, *supervisor.children(recursive=True)]:
                process.kill()
            os.waitpid(pid, 0)


# --- watched files ----------------------------------------------------------------------------------------------------


def test_a_change_of_a_python_file_reloads_and_others_do_not(tmp_path):
    handlers = tmp_path / "code"
    handlers.mkdir()
    with running(tmp_path, standin_config(1, spawn="fork"), watch=handlers) as up:
        before = pids(up)["work.1"]
        eventually(lambda: f"watches {handlers}" in up.log())
        (handlers / "notes.txt").write_text("nothing to see")
        (handlers / "__pycache__").mkdir()
        (handlers / "__pycache__" / "shop.py").write_text("no source")
        (handlers / "shop.py").write_text("def handle(): ...")
        eventually(lambda: pids(up)["work.1"] != before)
        eventually(lambda: not up.snapshot().operations)
        assert "changed: shop.py" in up.log()
        assert "notes.txt" not in up.log()
        up.stop()
        assert up.leftovers() == []


def test_a_burst_of_changes_during_a_reload_leads_to_one_more(tmp_path):
    handlers = tmp_path / "code"
    handlers.mkdir()
    config = standin_config(2, spawn="fork")
    slow = structs.replace(config.pools["work"], reload_pace=1.5)
    with running(tmp_path, structs.replace(config, pools={"work": slow}), watch=handlers) as up:
        (handlers / "shop.py").write_text("version = 1")
        eventually(lambda: len(zygotes(up)) == 2)
        for version in range(2, 6):
            (handlers / "shop.py").write_text(f"version = {version}")
            eventually(lambda version=version: up.log().count("changed: shop.py") >= version)
        eventually(lambda: up.log().count("runs the new code") == 2)
        eventually(lambda: not up.snapshot().operations)
        assert up.log().count("runs the new code") == 2
        up.stop()


def test_a_changed_config_file_is_told_of_and_nothing_is_reloaded(tmp_path):
    handlers = tmp_path / "code"
    handlers.mkdir()
    with running(tmp_path, standin_config(1), watch=handlers) as up:
        (handlers / "primectl.toml").write_text("# changed")
        eventually(lambda: "the config file has changed: `primectl apply`" in up.log())
        assert up.snapshot().operations == []
        assert {process.generation for process in up.snapshot().processes} == {0, 1}
        up.stop()


def test_what_is_watched_is_the_folder_of_the_handlers_and_packages_elsewhere(tmp_path):
    with running(tmp_path) as up:
        order = structs.replace(up.order, import_path=str(tmp_path))
        up.stop()
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("raise SystemExit('nothing is imported')")
    pool = order.config.pools["work"]

    def watched(handler):
        pools = {"work": structs.replace(pool, handler=handler)}
        return roots(structs.replace(order, config=structs.replace(order.config, pools=pools)))

    assert watched("shop.orders:handle") == [str(tmp_path)]
    assert watched("gone:handle") == [str(tmp_path)]
    assert watched("json.decoder:scan") == sorted([str(tmp_path), str(Path(subprocess.__file__).parent / "json")])
