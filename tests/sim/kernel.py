"""A kernel of numbers: processes, signals, pipes; pids are reused, and every call may fail."""

import errno
import os
import signal
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, Protocol

from sim.loop import SimLoop

from pidone.errors import SpawnError
from pidone.init.proctree import ProcessInfo
from pidone.init.spawn import SpawnPlan

US: Final = 1
"""The runtime's own pid."""
_FIRST_FD: Final = 100
_DEADLY: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1})
_HARMLESS: Final = frozenset({signal.SIGCHLD, signal.SIGCONT, signal.SIGWINCH, signal.SIGURG, 0})


class WaitResult(NamedTuple):
    """As of waitid(2)."""

    si_pid: int
    si_code: int
    si_status: int


class Proc:
    """One entry of the process table."""

    __slots__ = (
        *("birth", "code", "mark", "on_end", "on_signal", "pgrp", "pid", "ppid", "role", "session"),
        "_seen",
    )

    def __init__(self, pid: int, ppid: int, pgrp: int, session: int, birth: int, mark: str) -> None:
        self.pid = pid
        self.ppid = ppid
        self.pgrp = pgrp
        self.session = session
        self.birth = birth
        """Start time in ticks; with the pid, its identity."""
        self.mark = mark
        """The value of PIDONE_INSTANCE, or what it is instead."""
        self.role = "main"
        """`main`, `child` (of a main process), `hook` or `helper` of the runtime's."""
        self.code: tuple[int, int] | None = None
        """How it ended, as waitid has it: what and with which number. None while it lives."""
        self.on_signal: Callable[[int], None] | None = None
        """What its program does about a signal; None is the kernel's default."""
        self.on_end: Callable[[], None] | None = None
        self._seen: ProcessInfo | None = None

    @property
    def alive(self) -> bool:
        return self.code is None

    def seen(self) -> ProcessInfo:
        """As /proc shows it; one that was looked at stays as it was then."""
        state, seen = "S" if self.code is None else "Z", self._seen
        if seen is None or seen.ppid != self.ppid or seen.state != state:
            self._seen = seen = ProcessInfo(
                pid=self.pid,
                ppid=self.ppid,
                pgrp=self.pgrp,
                session=self.session,
                state=state,
                start_ticks=self.birth,
            )
        return seen


class Witness(Protocol):
    """Sees everything that happens to processes."""

    def spawned(self, proc: Proc) -> None: ...

    def signalled(self, proc: Proc, number: int) -> None: ...

    def ended(self, proc: Proc) -> None: ...

    def asked(self, proc: Proc, what: str) -> None:
        """A message over its channel: `drain` or `shutdown`."""


class Kernel:
    """Its methods are named for the calls they stand for."""

    def __init__(self, loop: SimLoop, witness: Witness, on_child: Callable[[], None]) -> None:
        """`on_child` is called with each SIGCHLD."""
        self.procs: dict[int, Proc] = {}
        self.run: Callable[[Proc, SpawnPlan], None] = lambda _proc, _plan: None
        """Gives a new process its program."""
        self._loop = loop
        self._witness = witness
        self._on_child = on_child
        self._last_pid = US
        self._births = 0
        self._broken: dict[str, int] = {}
        self._failed: set[str] = set()
        self.pipes: dict[int, bytearray] = {}
        """By the descriptors of both ends."""
        self._pidfds: dict[int, tuple[int, int]] = {}
        self._next_fd = _FIRST_FD

    # -- failures --------------------------------------------------------------------------------------

    def break_next(self, effect: str, times: int) -> None:
        """The next calls of this kind fail: `spawn`, `signal`, `descriptors`, `bind`, `log`."""
        self._broken[effect] = times

    def mend(self) -> None:
        """Nothing fails any more."""
        self._broken.clear()

    def fails(self, effect: str) -> bool:
        if not (left := self._broken.get(effect)):
            return False
        self._broken[effect] = left - 1
        self._failed.add(effect)
        return True

    def has_failed(self, effect: str) -> bool:
        """Whether any call of this kind has."""
        return effect in self._failed

    def _descriptor(self) -> None:
        if self._broken and self.fails("descriptors"):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    # -- processes -------------------------------------------------------------------------------------

    def spawn(self, plan: SpawnPlan) -> int:
        """As init.spawn. Raises SpawnError."""
        if self.fails("spawn"):
            raise SpawnError("fork: Resource temporarily unavailable") from BlockingIOError(errno.EAGAIN, "")
        proc = self._add(US, None, None, plan.env.get("PIDONE_INSTANCE", ""))
        self.run(proc, plan)
        self._witness.spawned(proc)
        return proc.pid

    def fork(self, parent: Proc, *, own_session: bool, role: str = "child") -> Proc:
        """A child of a program, in its group or in a session of its own."""
        group, session = (None, None) if own_session else (parent.pgrp, parent.session)
        proc = self._add(parent.pid, group, session, parent.mark)
        proc.role = role
        return proc

    def _add(self, ppid: int, pgrp: int | None, session: int | None, mark: str) -> Proc:
        taken = {pid for proc in self.procs.values() for pid in (proc.pid, proc.pgrp, proc.session)}
        pid = self._last_pid + 1
        most = max(24, 2 * len(taken) + 8)
        while pid in taken or pid > most:
            pid = pid + 1 if pid <= most else US + 1
        self._last_pid = pid
        self._births += 1
        proc = Proc(pid, ppid, pgrp or pid, session or pid, self._births, mark)
        self.procs[pid] = proc
        return proc

    def exit(self, proc: Proc, code: int = 0, by: int = 0) -> None:
        """A process ends; its children become ours, and if it is ours we hear of it."""
        if not proc.alive:
            return
        proc.code = (os.CLD_KILLED, by) if by else (os.CLD_EXITED, code)
        adopted = False
        for child in list(self.procs.values()):
            if child.ppid == proc.pid:
                child.ppid = US
                adopted = adopted or not child.alive
        if proc.on_end is not None:
            proc.on_end()
        self._witness.ended(proc)
        if proc.ppid == US:
            self._on_child()
        else:
            del self.procs[proc.pid]
            if adopted:
                self._on_child()

    def deliver(self, proc: Proc, number: int) -> None:
        """A signal arrives."""
        self._witness.signalled(proc, number)
        if not proc.alive:
            return
        if number == signal.SIGKILL:
            self.exit(proc, by=signal.SIGKILL)
        elif proc.on_signal is not None:
            proc.on_signal(number)
        elif number not in _HARMLESS:
            self.exit(proc, by=number)

    # -- os --------------------------------------------------------------------------------------------

    def kill(self, pid: int, number: int, /) -> None:
        if pid < -1:
            self.killpg(-pid, number)
            return
        if pid == -1:
            for everybody in list(self.procs.values()):
                self.deliver(everybody, number)
            return
        if not pid:
            raise AssertionError(f"kill(0, {number}) would hit ourselves")
        proc = self.procs.get(pid)
        if proc is None:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        if self.fails("signal"):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        if number:
            self.deliver(proc, number)

    def killpg(self, pgrp: int, number: int, /) -> None:
        members = [proc for proc in self.procs.values() if proc.pgrp == pgrp]
        if not members:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        if self.fails("signal"):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        for proc in members if number else ():
            self.deliver(proc, number)

    def waitid(self, idtype: int, ident: int, options: int, /) -> WaitResult | None:
        del idtype, ident
        ours = [proc for proc in self.procs.values() if proc.ppid == US]
        if not ours:
            raise ChildProcessError(errno.ECHILD, os.strerror(errno.ECHILD))
        for proc in ours:
            if proc.code is not None:
                if not options & os.WNOWAIT:
                    del self.procs[proc.pid]
                return WaitResult(proc.pid, *proc.code)
        return None

    def getpid(self) -> int:
        return US

    def open(self, path: str, flags: int, /) -> int:
        del path, flags  # /dev/null, to have a descriptor
        return self.dup(0)

    def dup(self, fd: int, /) -> int:
        del fd
        if self._broken:
            self._descriptor()
        self._next_fd += 1
        return self._next_fd

    def pipe(self) -> tuple[int, int]:
        self._descriptor()
        read, write = self._new_fd(), self._new_fd()
        self.pipes[read] = self.pipes[write] = bytearray()
        return read, write

    def pidfd_open(self, pid: int, flags: int = 0, /) -> int:
        del flags
        self._descriptor()
        proc = self.procs.get(pid)
        if proc is None:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        fd = self._new_fd()
        self._pidfds[fd] = (pid, proc.birth)
        return fd

    def pidfd_send_signal(self, fd: int, number: int, *_: Any) -> None:
        pid, birth = self._pidfds[fd]
        proc = self.procs.get(pid)
        if proc is None or proc.birth != birth:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        self.kill(pid, number)

    def close(self, fd: int, /) -> None:
        if fd in self.pipes:
            del self.pipes[fd]
        elif fd in self._pidfds:
            del self._pidfds[fd]

    def set_blocking(self, fd: int, blocking: bool, /) -> None:  # noqa: FBT001 (as of os)
        """Nothing ever blocks here."""

    def read(self, fd: int, size: int, /) -> bytes:
        buffer = self.pipes[fd]
        if not buffer:
            raise BlockingIOError(errno.EAGAIN, "")
        data = bytes(buffer[:size])
        del buffer[:size]
        return data

    def write(self, buffer: bytearray, data: bytes) -> None:
        """A program writes into a pipe of ours."""
        buffer += data
        for fd, other in self.pipes.items():
            if other is buffer:
                self._loop.readable(fd)

    def _new_fd(self) -> int:
        self._next_fd += 1
        return self._next_fd

    # -- /proc -----------------------------------------------------------------------------------------

    def proc_read(self, pid: int) -> ProcessInfo | None:
        self._descriptor()
        proc = self.procs.get(pid)
        return None if proc is None else proc.seen()

    def proc_snapshot(self) -> dict[int, ProcessInfo]:
        self._descriptor()  # as one for the whole of it
        return {pid: proc.seen() for pid, proc in self.procs.items()}

    def proc_children(self, pid: int) -> list[int]:
        if self.fails("descriptors"):
            return []
        return [proc.pid for proc in self.procs.values() if proc.ppid == pid]

    def environ(self, path: str) -> bytes:
        """What is in /proc/PID/environ."""
        self._descriptor()
        return f"PIDONE_INSTANCE={self._proc_at(path).mark}".encode()

    def stat(self, path: str, /) -> SimpleNamespace:
        """Of /proc/PID: whose it is."""
        self._proc_at(path)
        return SimpleNamespace(st_uid=0)

    def _proc_at(self, path: str) -> Proc:
        proc = self.procs.get(int(path.split("/")[2]))
        if proc is None:
            raise FileNotFoundError(errno.ENOENT, path)
        return proc


class Os:
    """The `os` that the runtime's modules get: what stands for the kernel here, all else as it is."""

    def __getattr__(self, name: str) -> Any:
        value = vars(self)[name] = getattr(os, name)
        return value
