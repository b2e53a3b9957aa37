"""What the processes of the simulated world do: get ready, work, hang, crash, leave children, stop or not."""

import signal
from collections.abc import Callable
from random import Random
from typing import Final

from sim.kernel import Kernel, Proc
from sim.loop import SimLoop

from pidone.contracts import Report
from pidone.record import Record

MIB: Final = 1 << 20
SMALL: Final = 10 * MIB
"""What a process uses at first."""
LARGE: Final = 200 * MIB
"""What it uses once it has leaked; above every limit of the setups."""
SLOW_REPLY: Final = 2.0
STOPS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


class Child(Record, kw_only=True):
    """A process that a main process starts."""

    own_session: bool
    """It called setsid: group and session say nothing about where it comes from."""
    stops_after: float | None
    """From SIGTERM to its end; None ignores that."""


class Behaviour(Record, kw_only=True):
    """One life of a program. Times are seconds; None is never."""

    ready_after: float | None = 0.1
    ends_after: float | None = None
    end_code: int = 0
    end_signal: int = 0
    stops_after: float | None = 0.1
    """From being asked to stop to its end."""
    drains_after: float | None = 0.1
    children: tuple[Child, ...] = ()
    unhealthy_after: float | None = None
    new_main_after: float | None = None
    """When it says that a child of its is the main process from now on (MAINPID=)."""
    extends: bool = False
    """Whether it asks for more time while it starts and stops."""
    reply_after: float = 0.1
    leaks_after: float | None = None


def good(*, is_job: bool, ready_after: float) -> Behaviour:
    """Nothing goes wrong; a job does its work and ends."""
    return Behaviour(ready_after=ready_after, ends_after=0.5 if is_job else None)


def some(random: Random, *, is_job: bool, ready_after: float, trouble: float) -> Behaviour:
    """A life by chance; `trouble` is how much goes wrong in this world, from 0 to 1."""

    def maybe(chance: float) -> bool:
        return random.random() < chance * trouble

    ready: float | None = ready_after
    if maybe(0.3):
        ready = random.choice((0.0, 0.5, 2.0, 3.0, 5.0, None))
    ends = None
    if is_job:
        ends = random.choice((0.02, 0.1, 0.5, 2.0, 20.0))
    elif maybe(0.35):
        ends = random.choice((0.02, 0.05, 0.1, 0.5, 1.0, 3.0, 10.0))
    code = random.choice((0, 1, 1, 3, 7)) if maybe(0.6) else 0
    return Behaviour(
        ready_after=ready,
        ends_after=ends,
        end_code=code,
        end_signal=random.choice((signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM)) if maybe(0.15) else 0,
        stops_after=random.choice((0.0, 0.05, 0.5, 1.0, 3.0, 8.0, None)) if maybe(0.4) else 0.1,
        drains_after=random.choice((0.0, 0.5, 3.0, 6.0, None)) if maybe(0.4) else 0.1,
        children=tuple(
            Child(own_session=random.random() < 0.5, stops_after=random.choice((0.0, 0.1, 2.0, None)))
            for _ in range(random.choice((1, 1, 2)) if maybe(0.25) else 0)
        ),
        unhealthy_after=random.choice((0.1, 0.5, 2.0, 10.0)) if maybe(0.1) else None,
        new_main_after=random.choice((0.0, 0.2, 1.0)) if maybe(0.05) else None,
        extends=maybe(0.05),
        reply_after=random.choice((0.0, 0.05, 0.5)),
        leaks_after=random.choice((0.0, 2.0, 10.0)) if maybe(0.4) else None,
    )


class Program:
    """One main process at work."""

    def __init__(self, proc: Proc, behaviour: Behaviour, kernel: Kernel, loop: SimLoop) -> None:
        self.proc = proc
        self.behaviour = behaviour
        self.report: Report | None = None
        """Its voice, as long as somebody listens."""
        self.online = False
        """The runtime counts it as ready."""
        self.size = SMALL
        self.new_main: Proc | None = None
        self._kernel = kernel
        self._loop = loop
        self._is_stopping = False
        proc.on_signal = self._signalled

    def begin(self, report: Report) -> None:
        """It runs from now on."""
        self.report = report
        does = self.behaviour
        for child in does.children:
            self._fork(child)
        self._later(does.unhealthy_after, lambda: self._say(lambda voice: voice.failed("probe")))
        self._later(does.new_main_after, self.hand_over)
        self._later(does.ready_after, self._become_ready)
        self._later(does.leaks_after, self.leak)
        self._later(does.ends_after, self._end)
        if does.extends:
            self._later(1.0, lambda: self._say(lambda voice: voice.extend(6.0)))

    def leak(self) -> None:
        """Use more than any limit allows."""
        self.size = LARGE

    def be_stubborn(self) -> None:
        """Take all the time it can get to finish what it has, and to stop."""
        self.behaviour = self.behaviour.but(drains_after=8.0, stops_after=None)

    def ask_for_more(self) -> None:
        """Time, for what it has to do now."""
        self._say(lambda voice: voice.extend(9.0))

    def drain(self) -> None:
        """Asked to take no more connections."""
        self._later(self.behaviour.drains_after, lambda: self._say(lambda voice: voice.drained()))

    def hear(self, message: object) -> None:
        """An IPC message arrived."""
        if message == "shutdown":
            self._stop()
        elif isinstance(message, str):
            data = {"return": f"{self.proc.mark}:{message}", "action_name": message}
            reply = {"type": "axm:reply", "data": data}
            delay = SLOW_REPLY if message == "slow" else self.behaviour.reply_after
            self._later(delay, lambda: self._say(lambda voice: voice.message(reply)))

    # -- helpers -----------------------------------------------------------------------------------------

    def _become_ready(self) -> None:
        self._say(lambda voice: voice.ready("ipc"))

    def _say(self, what: Callable[[Report], None]) -> None:
        # Said is said: what is in the pipe when it ends is read all the same.
        if self.report is not None:
            what(self.report)

    def _later(self, delay: float | None, what: Callable[[], None]) -> None:
        if delay is not None:
            self._loop.call_later(delay, what)

    def _end(self) -> None:
        self._kernel.exit(self.proc, self.behaviour.end_code, self.behaviour.end_signal)

    def _signalled(self, number: int) -> None:
        if number in STOPS:
            self._stop()

    def _stop(self) -> None:
        if self._is_stopping:
            return
        self._is_stopping = True
        if self.behaviour.extends:
            # Nobody is heard from inside of the call that sends the signal.
            self._later(0.0, self.ask_for_more)
        self._later(self.behaviour.stops_after, lambda: self._kernel.exit(self.proc))

    def _fork(self, child: Child) -> Proc:
        proc = self._kernel.fork(self.proc, own_session=child.own_session)

        def signalled(number: int) -> None:
            if number in STOPS:
                self._later(child.stops_after, lambda: self._kernel.exit(proc))

        proc.on_signal = signalled
        return proc

    def hand_over(self) -> None:
        """Say that a child is the main process from now on (MAINPID=), and live on."""
        if not self.proc.alive or self._is_stopping:
            return
        self.new_main = self._fork(Child(own_session=False, stops_after=0.1))
        pid = self.new_main.pid
        self._say(lambda voice: voice.main_pid(pid))
