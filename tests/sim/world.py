"""The world around the runtime: kernel, loop, and stand-ins for the rooms that end in system calls."""

import errno
import json
import os
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from random import Random
from typing import Any, Final

from sim.kernel import Kernel, Proc, Witness
from sim.loop import SimLoop
from sim.programs import MIB, Behaviour, Program, good, some
from sim.setups import AGAIN, BROKEN, FAT, JOB, SLOW, SLOW_READY, Setup, port_of

from pidone.contracts import InstanceId, LogSource, NoHandover, Report
from pidone.ecosystem.spec import AppSpec, Ecosystem, ExecMode
from pidone.errors import ConfigError, ListenError
from pidone.host.memory import Memory
from pidone.host.processes import ProcessUsage, TreeUsage
from pidone.init.reaper import TURN_S
from pidone.init.spawn import SpawnPlan

SIGNALS_FD: Final = 50
TOTAL: Final = 8192 * MIB


class World:
    """Everything there is in one history."""

    def __init__(self, setup: Setup, witness: Witness) -> None:
        self.setup = setup
        self.witness = witness
        self.loop = SimLoop()
        self.inbox = Inbox(self.loop)
        self.kernel = Kernel(self.loop, witness, self.inbox.child_ended)
        self.kernel.run = self._run
        self.broker = SimBroker(self)
        self.log = SimLog(self)
        self.random = Random(setup.seed)
        """What the runtime draws."""
        self.calm = False
        """Nothing goes wrong any more in what starts from now on."""
        self.file: Ecosystem | None = setup.versions[0]
        """What the ecosystem file says now; None is nonsense."""
        self.programs: dict[str, Program] = {}
        """The newest of each mark (`namespace/app:index:incarnation`)."""
        self.helpers: dict[int, tuple[list[dict[str, Any]], bytearray]] = {}
        """Processes that watch files: what they were told, and the pipe they tell by."""
        self.loaded: Ecosystem | None = None
        """What the last reading of the file has found."""
        self.on_loaded: Callable[[], None] = lambda: None
        self.complain: Callable[[str, str], None] = lambda *_: None
        """What must not be, in a word and in a sentence."""
        self._launches: dict[str, int] = {}
        self._burials = 0

    def of(self, app: str) -> list[Program]:
        """The live programs of an app."""
        start = f"default/{app}:"
        return [each for mark, each in self.programs.items() if mark.startswith(start) and each.proc.alive]

    def burial_time(self) -> float:
        """The clock by which the reaper takes its turn: in some worlds that is over after every second."""
        self._burials += self.setup.seed % 4 == 0
        return self.loop.now + 0.4 * TURN_S * self._burials

    def _run(self, proc: Proc, plan: SpawnPlan) -> None:
        program = plan.argv[0]
        if proc.mark:
            count = self._launches[proc.mark] = self._launches.get(proc.mark, 0) + 1
            chance = Random(zlib.crc32(f"{self.setup.seed}/{proc.mark}/{count}".encode()))
            app = self.broker.preparing
            assert app is not None, "a spawn that nobody has prepared"
            self.broker.spawned(proc, app)
            self.programs[proc.mark] = Program(proc, self._behaviour(app, chance), self.kernel, self.loop)
        elif any("changes" in word for word in plan.argv):
            proc.role = "helper"
            pid = proc.pid
            self.helpers[pid] = (json.loads(plan.argv[-1]), self.kernel.pipes[plan.stdout])
            proc.on_end = lambda: self.helpers.__delitem__(pid)
        else:
            proc.role = "hook"
            self._hook(proc, program)

    def _behaviour(self, app: AppSpec, chance: Random) -> Behaviour:
        if app.argv[0] == BROKEN:
            return Behaviour(ready_after=None, ends_after=0.02, end_code=1)
        if app.argv[0] == FAT and not self.calm:
            return Behaviour(leaks_after=0.0)
        ready_after = SLOW_READY if app.argv[0] == SLOW else 0.1
        is_job = app.argv[0] == JOB
        if self.calm:
            return good(is_job=is_job, ready_after=ready_after)
        return some(chance, is_job=is_job, ready_after=ready_after, trouble=self.setup.trouble)

    def _hook(self, proc: Proc, program: str) -> None:
        del program
        chance = Random(self.setup.seed * 7919 + proc.birth)
        bad = not self.calm and chance.random() < 0.3 * self.setup.trouble
        delay = chance.choice((0.05, 0.3, 9.0)) if bad else 0.05
        code = chance.choice((0, 1)) if bad else 0
        self.loop.call_later(delay, self.kernel.exit, proc, code)

    def touch(self, app: str) -> None:
        """A file of an app changes."""
        for groups, pipe in list(self.helpers.values()):
            for number, group in enumerate(groups):
                if group["base"] == f"/{app.removesuffix(AGAIN)}":
                    line = json.dumps({"group": number, "path": f"{group['base']}/main.py"})
                    self.kernel.write(pipe, line.encode() + b"\n")


class Inbox:
    """Signals to the runtime; SIGCHLD coalesces, and may be late."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop
        self._arrived: list[int] = []
        self._held_until = 0.0

    def hold(self, seconds: float) -> None:
        """The kernel takes its time: the SIGCHLDs of a while become one."""
        self._held_until = self._loop.now + seconds

    def child_ended(self) -> None:
        delay = self._held_until - self._loop.now
        if delay > 0:
            self._loop.call_later(delay, self.post, 17)
        else:
            self.post(17)

    def post(self, number: int) -> None:
        self._arrived.append(number)
        self._loop.readable(SIGNALS_FD)

    # As SignalInbox.

    def open(self) -> int:
        return SIGNALS_FD

    def take(self) -> list[int]:
        taken: list[int] = []
        for number in self._arrived:
            if number != 17 or number not in taken:
                taken.append(number)
        self._arrived.clear()
        return taken

    def close(self) -> None: ...


class SimBroker:
    """Ports that may be taken, and channels to programs."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.bound: dict[tuple[str, str], AppSpec] = {}
        self.preparing: AppSpec | None = None
        """Whose process is being started right now."""
        self._waits: set[tuple[str, str]] = set()
        """Who has a port in the file that is to be bound when it is free."""
        self._own: dict[Proc, tuple[int, str]] = {}
        """Who binds a port itself: which one, and the app's name."""

    def open(self, app: AppSpec, old: AppSpec | None = None, leaving: Collection[int] = ()) -> bool:
        self._waits.discard(app.key())
        if not app.listen:
            return False
        if self.bound.get(app.key()) != app and self._world.kernel.fails("bind"):
            raise ListenError(f"{app.name}: port 80: Address already in use")
        procs = self._world.kernel.procs
        theirs = {procs[pid].mark.partition("/")[2].partition(":")[0] for pid in leaving if pid in procs}
        holders = self._holders(app)
        if app.name in holders and app.name not in theirs:
            self._world.complain("refused", f"{app.name} may not have the port that is its own")
        if not holders <= theirs:
            raise ListenError(f"{app.name}: port 80: Address already in use")
        if holders:
            self._waits.add(app.key())
            return True
        self.bound[app.key()] = app
        return False

    def _holders(self, app: AppSpec) -> set[str]:
        """The apps that have a port of this one, bound by their own processes."""
        ports = {entry.port for entry in app.listen}
        return {name for proc, (port, name) in self._own.items() if port in ports and proc.alive}

    def spawned(self, proc: Proc, app: AppSpec) -> None:
        """A process runs: one that is given no sockets binds its port itself."""
        if app.exec_mode is ExecMode.FORK and not app.listen:
            self._own[proc] = (port_of(app.name), app.name)

    def prepare(self, app: AppSpec, who: InstanceId, report: Report) -> "SimHandover":
        if app.key() in self._waits:
            if holders := self._holders(app):
                self._world.complain("bound", f"{app.name} begins, and {holders} has its port")
            if self._world.kernel.fails("bind"):
                raise ListenError(f"{app.name}: port 80: Address already in use")
            self._waits.discard(app.key())
            self.bound[app.key()] = app
        self.preparing = app
        return SimHandover(self._world, app, who, report)

    def retire(self, app: AppSpec, index: int) -> None: ...

    def close(self, app: AppSpec) -> None:
        self.bound.pop(app.key(), None)
        self._waits.discard(app.key())


class SimHandover:
    """One incarnation's channels."""

    def __init__(self, world: World, app: AppSpec, who: InstanceId, report: Report) -> None:
        self._nothing = nothing = NoHandover(app.argv)
        self.argv, self.env, self.fds = nothing.argv, nothing.env, nothing.fds
        self.pid_vars, self.before_exec = nothing.pid_vars, nothing.before_exec
        self.announces, self.cut = nothing.announces, nothing.cut
        self._world = world
        self._report = report
        self._mark = f"{who.namespace}/{who.app}:{who.index}:{who.incarnation}"
        self._has_channel = app.ready.ipc or app.shutdown_with_message
        self._drains = app.exec_mode is ExecMode.CLUSTER or (app.ready.ipc and bool(app.listen))
        self._program: Program | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._nothing, name)

    def spawned(self, pid: int) -> None:
        self._program = self._world.programs[self._mark]
        assert self._program.proc.pid == pid
        self._program.begin(self._report)

    def online(self) -> None:
        if self._program is not None:
            self._program.online = True

    def drain(self) -> bool:
        if not self._drains or self._program is None or not self._program.proc.alive:
            return False
        self._world.witness.asked(self._program.proc, "drain")
        self._program.drain()
        return True

    def send(self, message: object) -> bool:
        if not self._has_channel or self._program is None or not self._program.proc.alive:
            return False
        if message == "shutdown":
            self._world.witness.asked(self._program.proc, "shutdown")
        self._program.hear(message)
        return True

    def close(self, _code: int | None = None, /) -> None:
        if self._program is not None:
            self._program.report = None


class SimOutlet:
    """Pipes nobody writes into."""

    stdout = 1
    stderr = 2

    def spawned(self, pid: int) -> None: ...

    def finish(self) -> None: ...


class SimLog:
    """Stands for the relay."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.on_event: Callable[[str, str, str, dict[str, object]], None] = lambda *_: None
        """Hears level, event, message and fields."""

    def event(self, level: str, event: str, /, message: str = "", **fields: object) -> None:
        self.on_event(level, event, message, fields)
        if self._world.kernel.fails("log"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def open(self, source: LogSource, on_line: Callable[[str], object] | None = None) -> SimOutlet:
        del source, on_line
        if self._world.kernel.fails("descriptors"):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return SimOutlet()

    def forget(self, app: tuple[str, str]) -> None: ...

    def reopen(self) -> None: ...

    def helpers(self) -> list[int]:
        return []

    def close(self, *_: object) -> bool:
        return True


class SimLoading:
    """A reader of the file: a child that takes a moment."""

    longest_s = 95.0

    def __init__(self, world: World) -> None:
        kernel = world.kernel
        if kernel.fails("spawn"):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        self.fd, write = kernel.pipe()
        pipe = kernel.pipes[write]
        self._world = world
        self._result = world.file
        self._done = False
        proc = kernel._add(1, None, None, "")
        proc.role = "helper"
        self.pid = proc.pid

        def ended() -> None:
            self._done = True
            kernel.write(pipe, b".")

        proc.on_end = ended
        world.loop.call_later(0.05, kernel.exit, proc)

    def collect(self) -> bool:
        return self._done

    def outcome(self) -> Ecosystem:
        if self._result is None:
            raise ConfigError("ecosystem.toml: line 3: nonsense")
        self._world.loaded = self._result
        self._world.on_loaded()
        return self._result


class SimBox:
    """A container with room for everybody."""

    root = "/"

    def __init__(self, world: World) -> None:
        self._world = world

    def memory(self) -> Memory:
        return Memory(limit=TOTAL, usage=TOTAL // 4, host_total=TOTAL)

    def oom_kills(self) -> int:
        return 0

    def take_notes(self) -> tuple[str, ...]:
        return ()


class SimSampler:
    """Measures programs."""

    def __init__(self, world: World) -> None:
        self._world = world

    def sample(self, roots: Iterable[int]) -> Mapping[int, TreeUsage]:
        now = self._world.loop.now
        sizes: dict[int, tuple[Proc, int]] = {}
        for each in self._world.programs.values():
            for proc in (each.proc, each.new_main):
                if proc is not None and proc.alive:
                    sizes[proc.pid] = (proc, each.size)
        found = ((pid, *sizes[pid]) for pid in roots if pid in sizes)
        return {
            pid: TreeUsage(ProcessUsage(pid, 1, pid, pid, proc.birth, size, 0.0, 1), (), now)
            for pid, proc, size in found
        }
