"""One process that has imported an app and forks its workers; its other side is shim/pidone_zygote.py."""

import json
import os
import socket
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Any, Final

from pidone import procfs
from pidone.contracts import Clock, Outlet
from pidone.csignal import signal
from pidone.demand import Demand, demand
from pidone.descriptors import close
from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.init import proctree
from pidone.init.reaper import ExitStatus, Reaper, await_end
from pidone.init.spawn import SpawnPlan, spawn
from pidone.listen.python.share import SHIM
from pidone.supervise.preload.command import PythonCommand
from pidone.supervise.preload.spare_worker import LONGEST_REASON, NONSENSE, PACKET, Limit, Loop, SpareWorker
from pidone.supervise.process.leftovers import MARK

SCRIPT: Final = os.path.join(SHIM, "pidone_zygote.py")
CHANNEL: Final = 3
"""Where the zygote has its side of the socket."""
_AGAIN_S: Final[Seconds] = 0.02
_HELD: Final = "T"
"""In /proc/PID/stat: stopped by a signal."""


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

        `on_decided` hears that it is ready or refused, `on_end` of an end nobody asked for. `patience` is for
        the import, and for what that has registered for forks.

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
        """Who is to be told when it is decided whether it can be used."""
        self.patience = patience
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
            ours.setblocking(False)
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
        self._import = self.limit(patience, self._be_late)

    def fork(self, then: Callable[[SpareWorker], None]) -> SpareWorker:
        """Begin to fork a worker; `then` hears how that has ended. Raises OSError."""
        return SpareWorker(self, self._loop, then)

    # -- as the Parent of spares -----------------------------------------------------------------------------

    def ask(self, channel: socket.socket) -> None:
        """Have a worker forked that speaks over this socket. Raises OSError."""
        try:
            socket.send_fds(self._channel, [b"fork"], [channel.fileno()])
        except BlockingIOError:  # hundreds ask at once
            self._loop.call_later(_AGAIN_S, partial(self._ask_again, channel.dup()))

    def _ask_again(self, channel: socket.socket) -> None:
        try:
            if self.phase is ZygotePhase.READY:
                self.ask(channel)
        except OSError:
            return  # as the spare hears by the end of this
        finally:
            close(channel)

    def limit(self, time: Seconds, over: Callable[[], None]) -> Limit:
        """Call when it and its forks have had so much time."""
        return Limit(self._deadlines, time, over, before=demand([self.pid]), look=self._demand)

    def is_worker(self, pid: int) -> bool:
        """Whether a process may be one of its workers: a child of ours that nobody has yet."""
        return not self._reaper.owns(pid) and is_child_of(self.app.uid, pid)

    def give_up(self, why: str) -> str:
        """It is no use any more, and is killed; why, in all words there are."""
        if procfs.state(self.pid) == _HELD:
            why = f"{why}: somebody has stopped it"
        if self.phase is ZygotePhase.READY:
            self.phase = ZygotePhase.GONE
            self._stop_listening()
            self._kill()  # its end will be told
        return why

    # -- its life --------------------------------------------------------------------------------------------

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

    def _kill(self) -> None:
        """It, and in its group forks that are no instances yet, and what its import has started."""
        proctree.deliver(-self.pid, signal.SIGKILL)
        proctree.deliver(self.pid, signal.SIGKILL)

    def _heard(self) -> None:
        try:
            data = self._channel.recv(PACKET)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or self.phase is not ZygotePhase.IMPORTING:
            self._stop_listening()
            self._kill()  # where it has only let go of that, or says what nobody has asked; its end is told
            return
        try:
            answer = json.loads(data)
            self.modules = int(answer.get("modules", 0))
            self.shared = [str(each)[:LONGEST_REASON] for each in answer.get("shared", ())]
            self.why_not = str(answer.get("refused", ""))[:LONGEST_REASON]
        except (
            ValueError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ):  # the app itself spoke
            self.why_not = NONSENSE
        if self.why_not:
            self._is_ended = True
            self._kill()  # what it has started is nobody's
        self._decide(ZygotePhase.REFUSED if self.why_not else ZygotePhase.READY)

    def _be_late(self) -> None:
        self.why_not = f"the import takes longer than {self.patience:g} s (reload_timeout, listen_timeout)"
        self.end()
        self._decide(ZygotePhase.REFUSED)

    def _demand(self) -> Demand:
        """What it has wanted of processors, and what it has started and forked."""
        try:
            everybody = proctree.snapshot()
            forks = proctree.members(everybody, pgrp=self.pid)
            return demand({self.pid, *forks, *proctree.descendants(self.pid, everybody)})
        except OSError:
            return Demand(frozenset())

    def _decide(self, phase: ZygotePhase) -> None:
        self._import.cancel()
        self.phase = phase
        self.import_s = self._loop.time() - self.born
        self._on_decided(self)
        self._let_go_on()

    def _let_go_on(self) -> None:
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each()

    def _stop_listening(self) -> None:
        self._import.cancel()
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
