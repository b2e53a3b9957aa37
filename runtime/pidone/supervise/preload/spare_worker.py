"""A worker that is forked before it knows which one it is: one for each start, and owned by who waits for it.

It has a socket of its own. There the zygote says that it forks, the worker its pid when it is through with
what os.register_at_fork() has it do, or one of them what has failed; then it waits for one packet and becomes
an instance. Without one it ends by itself. So nobody waits for it but on the loop.
"""

import json
import os
import socket
from collections.abc import Callable
from typing import Final, Protocol

from pidone.contracts import Clock
from pidone.csignal import signal
from pidone.demand import Demand, Shortage
from pidone.descriptors import close, null
from pidone.ecosystem.spec import Seconds
from pidone.init import proctree
from pidone.init.spawn import SpawnPlan, failure_of
from pidone.supervise.preload.command import PythonCommand
from pidone.supervise.process.leftovers import MARK

ANSWER_S: Final[Seconds] = 2.0
"""A zygote does nothing but wait for whoever asks, so it has answered by then."""
PACKET: Final = 65536
LONGEST_REASON: Final = 4096
NONSENSE: Final = "it says what no zygote says"
_UNKNOWN: Final = "and without a /proc of ours nobody knows whose that is"
_FORKS: Final = b"forks"
_LONGEST_PID: Final = 40
"""Digits that are looked at. What a zygote says comes from a process that runs the app's code."""
_LONGEST_ERRNO: Final = 4


class ForkRefusedError(Exception):
    """Nobody has been started."""


class Loop(Clock, Protocol):
    """The part of the loop that hears of what can be read."""

    def add_reader(self, fd: int, callback: Callable[..., object], *args: object) -> None: ...

    def remove_reader(self, fd: int) -> bool: ...


class Limit:
    """Calls when somebody has had so much time of its own, however busy the machine is."""

    def __init__(
        self,
        clock: Clock,
        time: Seconds,
        over: Callable[[], None],
        *,
        before: Demand,
        look: Callable[[], Demand],
    ) -> None:
        """It begins now. `look` tells what has been wanted of processors; `before` does not count."""
        self._clock = clock
        self._over = over
        self._before = before
        self._look = look
        self._began = clock.time()
        self._shortage = Shortage(time)
        self._timer = clock.call_later(time, self._judge)

    def cancel(self) -> None:
        """It was kept."""
        self._timer.cancel()

    def _judge(self) -> None:
        now, before = self._look(), self._before
        had, lacked = max(0.0, now.had - before.had), max(0.0, now.lacked - before.lacked)
        since = Demand(now.of, had=had, lacked=lacked, states=now.states)
        lacks = self._shortage.left(self._clock.time() - self._began, since)
        if lacks > 0:  # the machine is too busy
            self._timer = self._clock.call_later(lacks, self._judge)
        else:
            self._over()


class Parent(Protocol):
    """What a spare needs of its zygote."""

    patience: Seconds
    """How long what the app does in a fork may take."""
    forks: int
    """That have become instances."""

    def ask(self, channel: socket.socket) -> None:
        """Have a worker forked that speaks over this socket. Raises OSError."""

    def limit(self, time: Seconds, over: Callable[[], None]) -> Limit:
        """Call when it and its forks have had so much time."""

    def is_worker(self, pid: int) -> bool:
        """Whether a process may be one of its workers."""

    def give_up(self, why: str) -> str:
        """It is no use any more, and ends; why, in all words there are."""


class SpareWorker:
    """The runtime's side of it."""

    def __init__(self, parent: Parent, loop: Loop, then: Callable[["SpareWorker"], None]) -> None:
        """Ask for it. `then` is called later and once: it can `become`, or has `failed`. Raises OSError."""
        self.failed = ""
        """Why there is none."""
        self._parent = parent
        self._loop = loop
        self._then = then
        self._pid = 0
        self._is_answered = False
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._channel.setblocking(False)
            parent.ask(theirs)
            loop.add_reader(self._channel.fileno(), self._heard)
        except OSError:
            close(self._channel)
            raise
        finally:
            close(theirs)
        late = f"it has not answered for {ANSWER_S:g} s"
        self._limit = parent.limit(ANSWER_S, lambda: self._lose(late))

    def become(self, plan: SpawnPlan, command: PythonCommand) -> int:
        """Let it be this worker; its pid. What it cannot become is said later (`SpawnPlan.late`).

        Raises ForkRefusedError.
        """
        own: list[int] = []
        try:
            own.append(_in_memory(_request(plan, command)))
            if plan.stdin is None:
                own.append(null(os.O_RDONLY))
            os.setpgid(self._pid, self._pid)  # whoever signals its group finds one
            stdin = own[-1] if plan.stdin is None else plan.stdin
            given = [own[0], stdin, plan.stdout, plan.stderr, *plan.fds.values()]
            socket.send_fds(self._channel, [b"become"], given)
        except OSError as error:
            self.end()
            raise ForkRefusedError(error.strerror) from error
        finally:
            for number in own:
                close(number)
        self._parent.forks += 1
        pid, self._pid = self._pid, 0
        if plan.late is None:
            close(self._channel)
        else:
            plan.late(pid, self._channel.detach())
        return pid

    def end(self) -> None:
        """Nobody needs it any more; one that is still on its way ends by itself."""
        self._stop_listening()
        close(self._channel)
        if self._pid:
            proctree.deliver(self._pid, signal.SIGKILL)  # it was heard in this turn, so it is not buried
            self._pid = 0

    def _heard(self) -> None:
        try:
            said = self._channel.recv(PACKET)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if said == _FORKS and not self._is_answered:
            self._is_answered = True
            self._limit.cancel()
            time = self._parent.patience
            late = f"its worker takes longer than {time:g} s to begin (reload_timeout, listen_timeout)"
            self._limit = self._parent.limit(time, lambda: self._lose(late))
        elif said.isdigit() and len(said) <= _LONGEST_PID:
            self._arrive(int(said))
        elif said:
            number, _, step = said[:LONGEST_REASON].partition(b" ")
            if step and number.isdigit() and len(number) <= _LONGEST_ERRNO:
                self._fail(str(failure_of(said[:LONGEST_REASON])))
            else:
                self._lose(NONSENSE)
        else:
            self._fail("it has ended")

    def _arrive(self, pid: int) -> None:
        if not self._parent.is_worker(pid):
            knows = "which is none of its workers" if proctree.is_ours() else _UNKNOWN
            self._lose(f"it names process {pid}, {knows}")
            return
        self._pid = pid
        self._stop_listening()
        self._then(self)

    def _lose(self, why: str) -> None:
        """The fault is its zygote's, or of what that has imported."""
        self._fail(self._parent.give_up(why))

    def _fail(self, why: str) -> None:
        self.failed = why
        self.end()
        self._then(self)

    def _stop_listening(self) -> None:
        self._limit.cancel()
        if self._channel.fileno() >= 0:
            self._loop.remove_reader(self._channel.fileno())


def _request(plan: SpawnPlan, command: PythonCommand) -> bytes:
    given = {
        "words": command.words,
        "command": (*command.interpreter, *command.words),
        "env": dict(plan.env),
        "mark": MARK,
        "cwd": plan.cwd or "/",
        "targets": [0, 1, 2, *plan.fds],
        "pid_vars": plan.pid_vars,
        "umask": plan.umask,
        "cpus": plan.cpu_affinity,
    }
    return json.dumps(given).encode()


def _in_memory(data: bytes) -> int:
    """A file without a name, open for whoever gets the descriptor. Raises OSError."""
    number = os.memfd_create("pidone-preload", os.MFD_CLOEXEC)
    with open(number, "wb", closefd=False) as file:
        file.write(data)
    return number
