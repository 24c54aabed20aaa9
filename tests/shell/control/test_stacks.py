"""Where the threads of a real process are: told by itself, and by faulthandler when it cannot."""

import os
import subprocess
import sys
import threading

from primectl.control import stacks
from supervisor import kernel
from tests.support.running import eventually

SLEEPER = """
import ctypes, sys
from primectl.control import stacks
stacks.on_signal(sys.argv[1])
print("ready", flush=True)
def deep_in_c():
    while True:
        ctypes.PyDLL(None).sleep(1000)
deep_in_c()
"""


def test_every_thread_is_there_by_its_name_with_the_main_thread_first_and_its_newest_frame_last():
    there, go = threading.Event(), threading.Event()

    def waits_here():
        there.set()
        go.wait()

    thread = threading.Thread(target=waits_here, name="the waiter")
    thread.start()
    there.wait()
    text = stacks.stacks("runs no job")
    go.set()
    thread.join()
    blocks = text.split("\n\n")
    assert blocks[0] == "runs no job"
    assert blocks[1].startswith("thread MainThread\n")
    waiter = next(block for block in blocks if block.startswith("thread the waiter\n"))
    assert "in test_every_thread_is_there_by_its_name" in blocks[1]
    assert waiter.index("waits_here") < waiter.index("in Event.wait")
    assert "    go.wait()" in waiter


def test_a_stack_without_end_is_told_by_its_newest_frames():
    def dive(depth):
        return dive(depth - 1) if depth else stacks.stacks()

    text = dive(500)
    assert text.count("dive(depth - 1)") < 110
    assert "older frames are left out" in text
    assert len(text.encode()) <= stacks.LIMIT_BYTES


def test_a_process_that_holds_the_interpreters_lock_in_c_writes_its_stack_at_the_signal(tmp_path):
    file = tmp_path / "work.1.dump"
    process = subprocess.Popen([sys.executable, "-c", SLEEPER, str(file)], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        assert kernel.catches(process.pid, stacks.SIGNAL)

        def written():
            # Again, since the first may find it on its way there.
            os.kill(process.pid, stacks.SIGNAL)
            return "in deep_in_c" in file.read_text()

        eventually(written)
        assert file.stat().st_mode & 0o077 == 0
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


def test_a_process_that_does_not_catch_the_signal_is_known_by_the_kernel():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert not kernel.catches(process.pid, stacks.SIGNAL)
    process.communicate()
    assert not kernel.catches(process.pid, stacks.SIGNAL)
