"""§ Step 9: the recorder process. Reads what servers say, writes it in batches, tells them what is written.

While a batch is written nothing is read: what comes waits in the socket, then at the servers, which drop beyond their
own bound. Between two batches the journal is pruned by a small step, so that none of them waits for long.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import uvloop
import zmq

from primectl.clock import SystemClock
from primectl.config.topology import RECORDER
from primectl.control import child
from primectl.control.report import Reporter
from primectl.control.sockets import BATCH_QUEUE, open_socket, readable, receive
from primectl.errors import WireError
from primectl.journal.store import ROWS_A_STEP
from primectl.recorder.desk import Desk
from primectl.recorder.intake import Intake
from primectl.recorder.keeper import TRY_AGAIN_S, Keeper
from primectl.recorder.tell import Loopbacks
from primectl.wire.control import KillNow, Reread, Retire
from primectl.wire.stats import Acknowledged, RecorderSample, Role

FRAMES_A_TURN = 8
"""Read before it is asked again whether it is time to write."""
TELL_AGAIN_S = 0.02
STEP_S = 0.01
"""Between two steps of pruning."""
SAMPLE_S = 0.25
IDLE_SAMPLE_S = 1.0
QUIET_S = 0.02
"""When nothing has come for so long, there is nothing on its way to one that leaves."""
RETIRE_S = 2.0
"""For the rows that have come when it is told to leave; the supervisor waits a little longer."""
NICE = 10
"""Where the processors are busy, requests go first: what is recorded later is recorded all the same, in larger batches,
which cost less a row."""


class Recorder:
    """The sockets, and the loop's callbacks."""

    def __init__(self, me: child.Child, loop: asyncio.AbstractEventLoop) -> None:
        place = me.cluster.place
        self._me = me
        self._loop = loop
        self._clock = SystemClock()
        self._intake = Intake()
        self._keeper = Keeper(place, me.cluster.config.journal, me.log, self._clock)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._in = open_socket(self._context, zmq.PULL, queue=BATCH_QUEUE)
        self._loopbacks = Loopbacks(self._context, place)
        self._desk = Desk(self._context, place, me.log)
        self._malformed = 0
        self._idle = False
        """Nothing has changed since the last sample."""
        self._alarm: asyncio.TimerHandle | None = None
        self._telling: asyncio.TimerHandle | None = None
        self._pruning: asyncio.TimerHandle | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._retiring = False
        self._scheduled = False
        self.done = loop.create_future()
        # Before the first frame: what was written of a run that goes on is known then.
        self._open()
        self._in.bind(place.endpoint(RECORDER))
        self._reporter = Reporter(self._context, place, me.id, me.incarnation, Role.RECORDER)
        self._reporter.first_word = self._sample

    def start(self) -> None:
        self._loop.add_reader(self._in.fileno(), self._turn)
        self._loop.add_reader(self._reporter.commands.fileno(), self._obey)
        self._loop.add_signal_handler(signal.SIGTERM, self._retire)
        self._loop.set_exception_handler(self._on_mistake)
        self._desk.start()
        self._obey()
        self._turn()
        self._tick()

    # --- gather, write, tell ------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Read what has come, write when it is time."""
        self._scheduled = False
        if self.done.done():
            return
        if self._read() or readable(self._in):
            self._again()
        if self._intake.full:
            self._commit()
        self._set_alarm()

    def _read(self) -> bool:
        """Whether there may be more."""
        messages = receive(self._in, FRAMES_A_TURN)
        now = self._clock.monotonic()
        for message in messages:
            try:
                self._intake.take(message[0] if len(message) == 1 else b"", now)
            except WireError:
                self._malformed += 1
        return len(messages) == FRAMES_A_TURN

    def _again(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _set_alarm(self) -> None:
        deadline = self._intake.next_deadline()
        if deadline is not None and self._alarm is None:
            self._alarm = self._loop.call_later(max(0.0, deadline - self._clock.monotonic()), self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm = None
        deadline = self._intake.next_deadline()
        if deadline is None or deadline > self._clock.monotonic() or self._commit():
            self._set_alarm()
        else:
            self._alarm = self._loop.call_later(TRY_AGAIN_S, self._on_alarm)

    def _commit(self) -> bool:
        """Write what there is, or make room for what comes; whether it is written."""
        self._sample_soon()
        self._open()
        taken, heard = self._intake.batch()
        written = self._keeper.write(taken, heard)
        if written:
            self._intake.written(taken, self._clock.monotonic())
            self._prune(1 + 2 * sum(each.new for each in taken) // ROWS_A_STEP)
        else:
            self._intake.cannot_write(ever=not self._keeper.hopeless)
        self._tell()
        return written

    def _open(self) -> None:
        if self._keeper.ready():
            self._intake.knew(self._keeper.heard)

    def _tell(self) -> None:
        """Those that cannot be told yet, since a link takes a moment to be made, are told a little later."""
        if not self._loopbacks.tell(self._intake.to_tell()) and self._telling is None:
            self._telling = self._loop.call_later(TELL_AGAIN_S, self._tell_again)

    def _tell_again(self) -> None:
        self._telling = None
        self._tell()

    def _prune(self, steps: int = 1) -> None:
        """So many steps now, which are enough for what has been written, and the others one by one: what comes
        meanwhile is read and written between them."""
        for _ in range(steps):
            if not self._keeper.prune():
                return
        if self._pruning is None:
            self._pruning = self._loop.call_later(STEP_S, self._prune_on)

    def _prune_on(self) -> None:
        self._pruning = None
        self._prune()

    # --- the supervisor -----------------------------------------------------------------------------------------------

    def _obey(self) -> None:
        for command in self._reporter.receive():
            if isinstance(command, Retire):
                self._reporter.publish(Acknowledged(command.command))
                self._retire()
            elif isinstance(command, Reread):
                self._reread()
                self._reporter.publish(Acknowledged(command.command))
            elif isinstance(command, KillNow):
                os._exit(0)

    def _reread(self) -> None:
        cluster = child.reread(self._me)
        if cluster is not None:
            self._keeper.configure(cluster.config.journal)
            self._prune()

    def _retire(self) -> None:
        """Leave once what has come is written; what cannot be is refused after a while."""
        if not self._retiring:
            self._retiring = True
            self._finish(self._clock.monotonic() + RETIRE_S)

    def _finish(self, deadline: float, quiet: bool = False) -> None:
        """`quiet`: nothing had come the last time either, so what was on its way then is here."""
        came = self._intake.frames
        self._turn()
        written = self._commit()
        if not written and self._clock.monotonic() >= deadline:
            self._intake.cannot_write(ever=False)
            self._tell()
        calm = self._intake.frames == came and not self._intake.waits
        if not (calm and quiet):
            wait_s = QUIET_S if written or not self._intake.waits else TRY_AGAIN_S
            self._loop.call_later(wait_s, self._finish, deadline, calm)
        elif not self.done.done():
            self.done.set_result(None)

    def _tick(self) -> None:
        self._open()
        self._prune()
        self._reporter.publish(self._sample())
        self._me.log.tend()
        self._ticking = self._loop.call_later(IDLE_SAMPLE_S if self._idle else SAMPLE_S, self._tick)
        self._idle = True

    def _sample_soon(self) -> None:
        """Something has changed."""
        if self._idle and self._ticking is not None:
            self._ticking.cancel()
            self._ticking = self._loop.call_later(SAMPLE_S, self._tick)
        self._idle = False

    def _sample(self) -> RecorderSample:
        keeper, intake = self._keeper, self._intake
        kept = keeper.look()
        return RecorderSample(
            rows=keeper.rows,
            size=kept.size,
            kept=kept.rows,
            oldest=kept.oldest,
            lost=intake.lost,
            refused=intake.refused,
            trouble=keeper.trouble,
            counters={
                "malformed": self._malformed + keeper.malformed,
                "repeated": intake.repeated,
                "set_aside": keeper.set_aside,
                "malformed_commands": self._reporter.malformed,
                "malformed_questions": self._desk.malformed,
                "log_lines_dropped": self._me.log.dropped,
            },
        )

    def _on_mistake(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Of ours: better to end, and be seen to, than to go on without writing."""
        if not self.done.done():
            self.done.set_exception(context.get("exception") or RuntimeError(context["message"]))

    def close(self) -> None:
        for timer in (self._alarm, self._telling, self._pruning, self._ticking):
            if timer is not None:
                timer.cancel()
        for socket in (self._in, self._reporter.commands):
            self._loop.remove_reader(socket.fileno())
        self._reporter.publish(self._sample())
        self._reporter.close()
        self._desk.close()
        self._in.close()
        self._loopbacks.close()
        self._keeper.close()
        self._context.term()


async def run(me: child.Child) -> None:
    recorder = Recorder(me, asyncio.get_running_loop())
    recorder.start()
    try:
        await recorder.done
    finally:
        recorder.close()


def main() -> None:
    options = child.arguments("primectl.recorder", ("--id", "--incarnation"))
    me = child.become(child.read_cluster_file(options.cluster_file), options.id, int(options.incarnation))
    os.nice(NICE)
    uvloop.run(run(me))
    child.leave()
