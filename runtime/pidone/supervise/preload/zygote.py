"""One process that has imported an app and forks its workers; its other side is shim/pidone_zygote.py."""

import json
import os
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from errno import EPROTO
from typing import Any, Final, NoReturn, Protocol

from pidone import procfs
from pidone.contracts import Clock, Outlet, Timer
from pidone.csignal import signal
from pidone.demand import Demand, Shortage, demand
from pidone.descriptors import close, null
from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.init import proctree
from pidone.init.reaper import ExitStatus, Reaper, await_end
from pidone.init.spawn import SpawnPlan, failure_of, spawn
from pidone.listen.python.share import SHIM
from pidone.supervise.preload.command import PythonCommand
from pidone.supervise.process.leftovers import MARK

SCRIPT: Final = os.path.join(SHIM, "pidone_zygote.py")
CHANNEL: Final = 3
"""Where the zygote has its side of the socket."""
ANSWER_MS: Final = 2000
"""A fork takes milliseconds. The runtime does nothing else meanwhile, so it asks who has just answered."""
_GLANCE_MS: Final = 100
"""Of silence, until we look whether it may answer at all."""
_HELD: Final = "T"
"""In /proc/PID/stat: stopped by a signal."""
_PING: Final = b"ping"
_PONG: Final = b"pong"
_NONSENSE: Final = "it says what no zygote says"
_PACKET: Final = 65536
_LONGEST_PID: Final = 40
"""Digits that are looked at. What a zygote says comes from a process that runs the app's code."""
_LONGEST_ERRNO: Final = 4
_LONGEST_REASON: Final = 4096


class ForkRefusedError(Exception):
    """The zygote does not answer; nobody has been started."""


class Loop(Clock, Protocol):
    """The part of the loop that hears of what can be read."""

    def add_reader(self, fd: int, callback: Callable[..., object], *args: object) -> None: ...

    def remove_reader(self, fd: int) -> bool: ...


class ZygotePhase(Enum):
    """How far a zygote is."""

    IMPORTING = auto()
    READY = auto()
    REFUSED = auto()
    """It cannot be used; its workers are started one by one."""
    GONE = auto()


class Zygote:
    """The runtime's side of it."""

    def __init__(
        self,
        app: AppSpec,
        plan: SpawnPlan,
        task: dict[str, Any],
        *,
        outlet: Outlet,
        loop: Loop,
        deadlines: Clock,
        reaper: Reaper,
        patience: Seconds,
        on_decided: Callable[["Zygote"], None],
        on_end: Callable[["Zygote", ExitStatus], None],
    ) -> None:
        """Start it. `deadlines` is the clock for what is held against it.

        `on_decided` hears that it is ready or refused, `on_end` of an end nobody asked for. `on_decided` also
        hears when it does not answer any more.

        Raises SpawnError or OSError; then nothing is left of the attempt.
        """
        self.app = app
        self.phase = ZygotePhase.IMPORTING
        self.why_not = ""
        self.born: Seconds = loop.time()
        self.import_s: Seconds = 0.0
        self.modules = 0
        self.shared: list[str] = []
        """What all of its forks have in common, though that is hardly meant."""
        self.forks = 0
        self.waiting: list[Callable[[], None]] = []
        """Who is to be told when it is decided whether it can be used, or when it has answered."""
        self._loop = loop
        self._deadlines = deadlines
        self._outlet = outlet
        self._on_decided = on_decided
        self._on_end = on_end
        self._is_ended = False
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel = ours
        try:
            ours.send(json.dumps(task).encode())
            self.pid = spawn(plan.but(fds={CHANNEL: theirs.fileno()}))
        except BaseException:
            close(ours)
            raise
        finally:
            close(theirs)
        self._reaper = reaper
        reaper.watch(self.pid, self._ended)
        outlet.spawned(self.pid)
        loop.add_reader(ours.fileno(), self._heard)
        self._shortage = Shortage(patience)
        self._timer: Timer | None = deadlines.call_later(patience, lambda: self._be_late(patience))

    def check(self, then: Callable[[], None]) -> None:
        """Have `then` called when it has answered, or does not: then it is GONE, and is killed."""
        self.waiting.append(then)
        if self._timer is not None:  # it is being asked
            return
        self._timer = self._deadlines.call_later(ANSWER_MS / 1000, self._be_hung)
        self._loop.add_reader(self._channel.fileno(), self._heard)
        try:
            self._channel.setblocking(False)
            self._channel.send(_PING)
        except OSError:  # nobody reads there: it will be late
            return

    def fork(self, plan: SpawnPlan, command: PythonCommand) -> int:
        """Have a worker forked, and let it go; its pid. It is a child of the runtime's.

        Raises:
            SpawnError: the worker could not become what the plan says.
            ForkRefusedError: the zygote does not answer.
        """
        stdin = null(os.O_RDONLY) if plan.stdin is None else plan.stdin
        go_read, go_write = os.pipe()
        request = -1
        marks = {f"{MARK}={each}".encode() for each in ("preload", plan.env.get(MARK))}
        try:
            request = _in_memory(_request(plan, command))
            given = {0: stdin, 1: plan.stdout, 2: plan.stderr, **plan.fds}
            pid = self._ask([request, go_read, *given.values()])
            if self._reaper.owns(pid) or not is_child_of(plan.uid, pid):
                self._give_up(f"it names process {pid}, which is none of its workers")
            os.write(go_write, b"g")
        except ForkRefusedError:
            self._end_strays(marks)
            raise
        except OSError as error:
            raise ForkRefusedError(f"{error.strerror}") from error
        finally:
            for number in (go_read, go_write, request):
                if number >= 0:
                    close(number)
            if plan.stdin is None:
                close(stdin)
        self.forks += 1
        return pid

    def view(self) -> dict[str, Any]:
        """What is shown of it."""
        return {
            "pid": None if self.phase in (ZygotePhase.REFUSED, ZygotePhase.GONE) else self.pid,
            "state": self.phase.name.lower(),
            "reason": self.why_not or None,
            "import_s": round(self.import_s, 3),
            "forks": self.forks,
        }

    def end(self) -> None:
        """Nobody needs it any more. It does nothing but wait, so that it is killed."""
        if self._is_ended or self.phase is ZygotePhase.GONE:
            return
        self._is_ended = True
        self._stop_listening()
        self._kill()

    def bury(self) -> None:
        """The runtime ends at once: nobody will hear of its end."""
        self.end()
        close(self._channel)  # whom we may not kill ends by that
        await_end(self.pid)
        self._outlet.finish()

    def _ask(self, descriptors: list[int]) -> int:
        """Send a request and wait for the answer. Raises OSError, SpawnError, ForkRefusedError."""
        self._channel.setblocking(False)
        try:
            socket.send_fds(self._channel, [b"fork"], descriptors)
            return self._answer()
        except ConnectionError:
            self._give_up("it has ended")

    def _answer(self) -> int:
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        answer = b""
        for _ in range(ANSWER_MS // _GLANCE_MS):
            if not poll.poll(_GLANCE_MS):
                answer = b""
                if procfs.state(self.pid) == _HELD:
                    self._give_up("somebody has stopped it")
                continue
            answer = self._channel.recv(_PACKET)
            if answer != _PONG:
                break
            if self._timer is not None:  # for those that ask at the same time
                self._timer.cancel()
                self._timer = self._loop.call_later(0, self._answered)
        else:
            self._give_up(_NONSENSE if answer else f"it did not fork within {ANSWER_MS / 1000:g} s")
        if not answer:
            self._give_up("it has ended")
        if answer.isdigit() and len(answer) <= _LONGEST_PID:
            return int(answer)
        number, _, step = answer[:_LONGEST_REASON].partition(b" ")
        if not (step and number.isdigit() and len(number) <= _LONGEST_ERRNO):
            self._give_up(_NONSENSE)
        raise failure_of(answer)

    def _give_up(self, why: str) -> NoReturn:
        """Nobody asks it again. A worker that it may still fork ends by itself: nobody will let it go."""
        self.phase = ZygotePhase.GONE
        self.why_not = why
        self._stop_listening()
        self._kill()  # its end will be told
        self._loop.call_later(0, self._let_go_on)  # who waits for an answer to something else
        raise ForkRefusedError(why) from OSError(EPROTO, why)

    def _kill(self) -> None:
        """It, and in its group forks that are no workers yet, and what its import has started."""
        proctree.deliver(-self.pid, signal.SIGKILL)
        proctree.deliver(self.pid, signal.SIGKILL)

    def _end_strays(self, marks: set[bytes]) -> None:
        """A worker that has left the group and hangs: its parent is gone, and nobody is its owner.

        All is done in one turn of the loop, so that no other worker can be on its way.
        """
        for pid in proctree.children(os.getpid()):
            if self._reaper.owns(pid):
                continue
            with suppress(OSError):  # no /proc, or it has ended by itself
                variables = procfs.read_bytes(f"/proc/{pid}/environ").split(b"\0")
                if any(each.rstrip(b".") in marks for each in variables):
                    proctree.deliver(pid, signal.SIGKILL)

    def _heard(self) -> None:
        try:
            data = self._channel.recv(_PACKET)
        except OSError:
            data = b""
        if not data:
            self._stop_listening()
            self._kill()  # where it has only let go of that; its end is told
            return
        if self.phase is ZygotePhase.READY:
            self._answered()
            return
        try:
            answer = json.loads(data)
            self.modules = int(answer.get("modules", 0))
            self.shared = [str(each)[:_LONGEST_REASON] for each in answer.get("shared", ())]
            self.why_not = str(answer.get("refused", ""))[:_LONGEST_REASON]
        except (
            ValueError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ):  # the app itself spoke
            self.why_not = _NONSENSE
        if self.why_not:
            self._is_ended = True
            self._kill()  # what it has started is nobody's
        self._decide(ZygotePhase.REFUSED if self.why_not else ZygotePhase.READY)

    def _be_late(self, patience: Seconds) -> None:
        lacks = self._shortage.left(self._loop.time() - self.born, self._demand())
        if lacks > 0:  # the machine is too busy
            self._timer = self._deadlines.call_later(lacks, lambda: self._be_late(patience))
            return
        self._timer = None
        self.why_not = f"the import takes longer than {patience:g} s (reload_timeout, listen_timeout)"
        self.end()
        self._decide(ZygotePhase.REFUSED)

    def _demand(self) -> Demand:
        """What it has wanted of processors, and what it has started."""
        try:
            return demand([self.pid, *proctree.descendants(self.pid)])
        except OSError:
            return Demand(frozenset())

    def _decide(self, phase: ZygotePhase) -> None:
        self._stop_listening()
        self.phase = phase
        self.import_s = self._loop.time() - self.born
        self._on_decided(self)
        self._let_go_on()

    def _answered(self) -> None:
        self._stop_listening()
        self._let_go_on()

    def _be_hung(self) -> None:
        self._timer = None
        self.why_not = f"it has not answered for {ANSWER_MS / 1000:g} s"
        self._kill()  # its end will be told
        self._stop_listening()
        self.phase = ZygotePhase.GONE
        self._on_decided(self)
        self._let_go_on()

    def _let_go_on(self) -> None:
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each()

    def _stop_listening(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._channel.fileno() >= 0:
            self._loop.remove_reader(self._channel.fileno())

    def _ended(self, status: ExitStatus) -> None:
        self._stop_listening()
        close(self._channel)
        self._outlet.finish()
        was_asked = self._is_ended
        if self.phase is not ZygotePhase.REFUSED:
            self.phase = ZygotePhase.GONE
        if not was_asked:
            self._on_end(self, status)
        self._let_go_on()


def plan_of(plan: SpawnPlan, command: PythonCommand) -> SpawnPlan:
    """How to start the zygote of a command that would be started by `plan`, without what is an instance's.

    The mark has room for those of the workers, which write theirs over it.
    """
    env = {**plan.env, MARK: "preload".ljust(len(plan.env.get(MARK, "")) + 24, ".")}
    return plan.but(argv=(*command.interpreter, SCRIPT, str(CHANNEL), *command.words), env=env, stdin=None)


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


def is_child_of(uid: int | None, pid: int) -> bool:
    """Whether it is a child of ours that runs as this user; anybody's if that is root, who may do anything.

    A zygote runs the app's code, and what it names is signalled by us.
    """
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if (os.geteuid() if uid is None else uid) == 0:
            return True
        lines = procfs.read_text(f"/proc/{pid}/status").splitlines()
        users = next(line for line in lines if line.startswith("Uid:"))
    except (OSError, OverflowError, StopIteration):
        return False
    return str(os.geteuid() if uid is None else uid) in users.split()


def _in_memory(data: bytes) -> int:
    """A file without a name, open for whoever gets the descriptor. Raises OSError."""
    number = os.memfd_create("pidone-preload", os.MFD_CLOEXEC)
    with open(number, "wb", closefd=False) as file:
        file.write(data)
    return number
