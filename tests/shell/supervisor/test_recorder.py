"""A recorder among real processes: started, looked after, asked, and missed by nobody who serves."""

import os
import signal
import threading

import psutil
import pytest
import zmq

from primectl.config.topology import CONTROL
from primectl.errors import CommandRefused, NotFound, TimedOut
from primectl.wire import frames
from primectl.wire.control import (
    DumpOrder,
    Dumps,
    Kill,
    Killed,
    Logs,
    LogsQuery,
    Refusal,
    Reopened,
    ReopenOrder,
    Reply,
    Request,
    Restart,
    Restarted,
)
from primectl.wire.journal import Entry, EntryQuery, Requests, RequestsQuery
from supervisor.handon import UNDER_WAY
from tests.support.running import eventually, lives, running, standin_config

CONFIG = standin_config(1, journal=True)


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    with running(tmp_path_factory.mktemp("cluster"), CONFIG) as up:
        yield up
        up.stop()
        assert "Traceback" not in up.log()
        assert up.leftovers() == []


def journal(up):
    return up.snapshot().journal


def requests(up, query=None):
    return up.ask("GET", "/requests", query, Requests)


def faulty(folder, fault):
    (folder / "fault.recorder").write_text(fault)
    return running(folder, CONFIG)


# --- looked after -----------------------------------------------------------------------------------------------------


def test_it_is_a_process_of_the_cluster(up):
    assert up.notices[-1]["unrecorded"] == ""
    found = up.find("recorder")
    assert (found.role, found.pool, found.state) == ("recorder", "", "running")
    command = psutil.Process(found.pid).cmdline()
    assert command[2:4] == ["recorder", "--cluster-file"]
    assert "--incarnation" in command
    eventually(lambda: journal(up).rows == 7)
    assert (journal(up).state, journal(up).size, journal(up).oldest) == ("recording", 4096, 1.0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
def test_it_is_replaced_whatever_happens_to_it(up, number):
    pid = up.find("recorder").pid
    os.kill(pid, number)
    found = eventually(lambda: (p := up.find("recorder")).pid not in (0, pid) and p.state == "running" and p)
    assert not lives(pid)
    assert found.restarts > 0
    assert up.snapshot().state == "running"
    eventually(lambda: journal(up).state == "recording")


def test_it_takes_all_orders_that_processes_take(up):
    assert up.ask("POST", "/kill", Kill("recorder"), Killed).acknowledged == ["recorder"]
    eventually(lambda: up.find("recorder").state == "running")
    assert up.ask("POST", "/restart", Restart("recorder"), Restarted).processes == ["recorder"]
    dump = up.ask("POST", "/dump", DumpOrder("recorder"), Dumps).dumps[0]
    assert (dump.process, dump.how) == ("recorder", "asked")
    assert up.ask("POST", "/reopen", ReopenOrder("recorder"), Reopened).processes == ["recorder"]
    assert up.ask("GET", "/logs", LogsQuery("recorder", 1), Logs) is not None


def test_the_next_supervisor_goes_on_with_it(tmp_path):
    with running(tmp_path, CONFIG) as up:
        pid = up.find("recorder").pid
        up.process.kill()
        up.process.wait()
        with running(tmp_path, CONFIG, heir=True) as heir:
            assert heir.find("recorder").pid == pid
            assert heir.notices[-1]["failing"] == []
            assert requests(heir).kept == 7
            heir.stop()
            assert not lives(pid)


# --- what it lacks ----------------------------------------------------------------------------------------------------


def test_a_recorder_that_cannot_start_is_told_of_and_the_cluster_serves(tmp_path):
    with faulty(tmp_path, "dies") as up:
        assert up.notices[-1]["ready"]
        assert up.notices[-1]["unrecorded"] == "the recorder ended: exit status 3: StandinError: told to die"
        eventually(lambda: up.find("recorder").state == "failed")
        snapshot = up.snapshot()
        assert snapshot.state == "running"
        assert snapshot.journal.state == "stopped"
        assert "requests are not recorded" in up.log()
        with pytest.raises(CommandRefused, match="the recorder does not run: the recorder has failed"):
            requests(up)
        (tmp_path / "fault.recorder").unlink()
        up.ask("POST", "/restart", Restart("recorder"), Restarted)
        eventually(lambda: "requests are recorded again" in up.log())
        assert requests(up).kept == 7
        up.stop()


def test_why_nothing_can_be_written_is_told_at_the_start(tmp_path):
    with faulty(tmp_path, "full") as up:
        assert up.notices[-1]["unrecorded"] == "the disk is full"
        assert (journal(up).state, journal(up).trouble) == ("stopped", "the disk is full")
        up.stop()


def test_without_a_journal_there_is_none_to_ask(tmp_path):
    with running(tmp_path, standin_config(1, journal=False)) as up:
        assert "recorder" not in [process.id for process in up.snapshot().processes]
        with pytest.raises(CommandRefused, match=r"journal\.enabled is false"):
            requests(up)
        up.stop()


# --- it is asked ------------------------------------------------------------------------------------------------------


def test_a_question_is_handed_on_and_its_answer_back(up):
    answer = requests(up, RequestsQuery(where="status>=500", last=3, since=1_900_000_000.0))
    assert [row.problem for row in answer.requests] == ["status>=500"] * 3
    assert answer.kept == 7


def test_a_refusal_of_the_recorder_is_that_of_the_supervisor(up):
    with pytest.raises(NotFound, match="no request beef"):
        up.ask("GET", "/requests/entry", EntryQuery("beef"), Entry)


def test_every_console_gets_its_own_answer(up):
    answers = {}

    def ask(number):
        answers[number] = requests(up, RequestsQuery(where=f"ms>{number}", last=1)).requests[0].problem

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: f"ms>{number}" for number in range(16)}


def test_its_next_life_answers_as_well(up):
    assert requests(up).kept == 7
    up.ask("POST", "/restart", Restart("recorder"), Restarted)
    assert requests(up).kept == 7


def test_a_recorder_that_does_not_answer_costs_an_answer_in_words_and_nobody_else(tmp_path):
    """1. As many questions as may be under way, and one more: that one is refused at once. 2. The supervisor answers
    others meanwhile. 3. Of the rest, those of a recorder that is killed are refused, and those that nobody answers."""
    with faulty(tmp_path, "dumb") as up:
        context = zmq.Context()
        consoles = [context.socket(zmq.DEALER) for _ in range(4)]
        for console in consoles:
            console.linger, console.rcvtimeo = 0, 20_000
            console.connect(up.place.endpoint(CONTROL))

        def ask(console):
            console.send(frames.encode(Request(1, "GET", "/requests", frames.raw(RequestsQuery()))))

        def answer(console):
            reply: Reply = frames.control_reply(console.recv())
            return reply.id, reply.status, frames.body(reply.body, Refusal).what

        for console in consoles:
            for _ in range(UNDER_WAY // len(consoles)):
                ask(console)
            console.send(frames.encode(Request(2, "GET", "/cluster")))
            assert frames.control_reply(console.recv()).id == 2, "what was asked before has been taken"
        ask(consoles[0])
        assert answer(consoles[0]) == (1, 409, "too many questions about the journal are under way")
        assert up.snapshot().state == "running"
        os.kill(up.find("recorder").pid, signal.SIGKILL)
        told = [answer(console) for console in consoles * (UNDER_WAY // len(consoles))]
        assert set(told) == {(1, 409, "the recorder gives no answer: it has ended")}
        for console in consoles:
            console.close()
        context.term()
        eventually(lambda: up.find("recorder").state == "running")
        with pytest.raises(TimedOut, match="the recorder has not answered within 4 s"):
            requests(up)
        up.stop()
