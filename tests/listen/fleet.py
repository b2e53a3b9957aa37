"""A supervisor in miniature: real processes on a real loop, and everything that they report."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from harness import DEADLINE_S

from pidone.contracts import InstanceId
from pidone.ecosystem.spec import AppSpec, ExecMode
from pidone.init.spawn import SpawnPlan, spawn
from pidone.listen.broker import PortBroker
from pidone.listen.handover import ProcessHandover
from pidone.listen.readiness.looks import StartLooks
from pidone.listen.readiness.probes import RunCommand

T = TypeVar("T")


@dataclass
class Events:
    """An event log that remembers."""

    seen: list[tuple[str, str, str]] = field(default_factory=list)

    def forget(self, app: tuple[str, str]) -> None:
        """Nothing is kept here."""

    def event(self, level: str, event: str, /, message: str = "", **_: object) -> None:
        self.seen.append((level, event, message))

    def of(self, event: str) -> list[str]:
        """The messages of one kind of event."""
        return [message for _, name, message in self.seen if name == event]


@dataclass
class Member:
    """One process, and its report."""

    app: AppSpec
    who: InstanceId
    output: Path
    pid: int = 0
    exit: int | None = None
    said: list[tuple[str, Any]] = field(default_factory=list)
    given: ProcessHandover | None = None

    def ready(self, how: str) -> None:
        self.said.append(("ready", how))
        assert self.given is not None
        self.given.online()

    def hung(self, why: str, stack: str = "") -> None:
        self.said.append(("hung", (why, stack)))

    def failed(self, why: str) -> None:
        self.said.append(("failed", why))

    def probed(self, name: str, problem: str, failures: int) -> None:
        """Each look is one of many, and of no interest here."""

    def status(self, text: str) -> None:
        self.said.append(("status", text))

    def drained(self) -> None:
        self.said.append(("drained", None))

    def extend(self, seconds: float) -> None:
        self.said.append(("extend", seconds))

    def main_pid(self, pid: int) -> None:
        self.said.append(("main_pid", pid))

    def message(self, value: object) -> None:
        self.said.append(("message", value))

    def heard(self, kind: str) -> list[Any]:
        """The values of one kind of report."""
        return [value for name, value in self.said if name == kind]

    @property
    def handover(self) -> ProcessHandover:
        """What it was given."""
        assert self.given is not None
        return self.given

    def signal(self, number: int) -> None:
        """Signal the process."""
        os.kill(self.pid, number)

    def text(self) -> str:
        """Its output so far."""
        return self.output.read_text(errors="replace")


class Fleet:
    """The loop, the broker and the processes of a test; nothing is left when the `with` block ends."""

    def __init__(self, folder: Path, run_command: RunCommand | None = None) -> None:
        self.folder = folder
        self.loop = asyncio.new_event_loop()
        self.log = Events()
        self.broker = PortBroker(
            self.loop, self.log, self.loop, run_command, looks=lambda: StartLooks(self.loop)
        )
        self.members: list[Member] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self.alive():
            os.killpg(member.pid, signal.SIGKILL)
        self.eventually(lambda: not self.alive(), "the killed to be gone")
        for member in self.members:
            kill_group(member.pid)
        for app in {member.app.key(): member.app for member in self.members}.values():
            self.broker.close(app)
        self.run(asyncio.sleep(0.01))
        pending = asyncio.all_tasks(self.loop)
        self.loop.close()
        assert not pending or kind is not None

    def start(self, app: AppSpec, index: int = 0) -> Member:
        """Start the next incarnation of a slot."""
        incarnation = len(self.members)
        output = self.folder / f"out-{incarnation}.txt"
        member = Member(app, InstanceId(app.name, index, incarnation), output)
        handover = member.given = self.broker.prepare(app, member.who, member)
        with output.open("wb") as sink:
            plan = SpawnPlan(
                argv=handover.argv,
                env={**os.environ, **app.env, app.instance_var: str(index), **handover.env},
                cwd=str(app.cwd),
                stdout=sink.fileno(),
                stderr=sink.fileno(),
                fds=handover.fds,
                pid_vars=handover.pid_vars,
                before_exec=handover.before_exec,
                uid=app.uid,
                gid=app.gid,
            )
            member.pid = spawn(plan)
        handover.spawned(member.pid)
        self.members.append(member)
        return member

    def start_ready(self, app: AppSpec, count: int = 1) -> list[Member]:
        """Start `count` slots and wait until all are ready."""
        members = [self.start(app, index) for index in range(count)]
        for member in members:
            self.ready(member)
        return members

    def ready(self, member: Member) -> str:
        """Wait for readiness; how it was told."""
        self.eventually(lambda: member.heard("ready") or member.exit is not None, f"ready: {member.text()}")
        assert member.heard("ready"), member.text()
        return str(member.heard("ready")[0])

    def gone(self, member: Member) -> int:
        """Wait for the end; code or negative signal."""
        self.eventually(lambda: member.exit is not None, f"the end of {member.who}: {member.text()}")
        assert member.exit is not None
        return member.exit

    def alive(self) -> list[Member]:
        """Members that have not ended; collects those that have."""
        for member in self.members:
            if member.exit is None:
                pid, status = os.waitpid(member.pid, os.WNOHANG)
                if pid:
                    member.exit = os.waitstatus_to_exitcode(status)
                    member.handover.close()
        return [member for member in self.members if member.exit is None]

    def run(self, work: Awaitable[T]) -> T:
        """Turn the loop until this is done."""

        async def limited() -> T:
            return await asyncio.wait_for(work, DEADLINE_S)

        return self.loop.run_until_complete(limited())

    def eventually(self, probe: Callable[[], Any], what: str) -> None:
        """Turn the loop until `probe` is true."""
        deadline = time.monotonic() + DEADLINE_S
        while not probe():
            assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {what}; events: {self.log.seen}"
            self.loop.run_until_complete(asyncio.sleep(0.01))
            self.alive()

    def get(self, port: int, path: str = "/", host: str = "127.0.0.1") -> str:
        """One HTTP request on a connection of its own; the body."""
        return self.run(fetch(port, path, host=host))

    def get_many(self, port: int, count: int, path: str = "/", host: str = "127.0.0.1") -> list[str]:
        """So many requests, eight at a time, each on a connection of its own."""

        async def all_of_them() -> list[str]:
            gate = asyncio.Semaphore(8)

            async def one() -> str:
                async with gate:
                    return await fetch(port, path, host=host)

            return await asyncio.gather(*(one() for _ in range(count)))

        return self.run(all_of_them())

    def get_different(self, port: int, count: int) -> set[str]:
        """Ask until there are so many different answers: on a busy machine one process may serve many."""
        answers: set[str] = set()
        deadline = time.monotonic() + DEADLINE_S
        while len(answers) < count:
            assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {count} answers, only {answers}"
            answers.update(self.get_many(port, 100))
        return answers


def kill_group(pid: int) -> None:
    """End what a process left in its group, and bury it: the test adopted it."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.killpg(pid, signal.SIGKILL)
        while True:
            os.waitpid(-pid, 0)


async def fetch(port: int, path: str = "/", *, host: str = "127.0.0.1", source: str | None = None) -> str:
    """GET with `Connection: close`; raises on anything but a complete 200."""
    local = None if source is None else (source, 0)
    reader, writer = await asyncio.open_connection(host, port, local_addr=local)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b" ", 2)[1] == b"200", answer
    if b"chunked" in head.lower():
        body = b"".join(chunks(body))
    return body.decode()


class Client:
    """One keep-alive connection that asks again and again, and reconnects when told to."""

    def __init__(self, port: int, *, keep_alive: bool = True) -> None:
        self.port = port
        self.header = b"" if keep_alive else b"Connection: close\r\n"
        self.answers: list[str] = []
        self.connections = 0
        self.is_done = False

    async def work(self) -> None:
        """Ask until `is_done`; anything but a complete answer is an exception."""
        while not self.is_done:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            self.connections += 1
            keep = True
            while keep and not self.is_done:
                writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n" + self.header + b"\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
                )
                self.answers.append((await reader.readexactly(int(length.split(b":")[1]))).decode())
                keep = not self.header and b"connection: close" not in head.lower()
                await asyncio.sleep(0.01)
            writer.close()
            await writer.wait_closed()


def chunks(body: bytes) -> Iterator[bytes]:
    """The parts of a chunked body."""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        yield rest[:length]
        body = rest[length + 2 :]


def app_of(*argv: str, name: str = "app", cluster: bool = False, **keys: Any) -> AppSpec:
    """An app with everything else as by default."""
    mode = ExecMode.CLUSTER if cluster else ExecMode.FORK
    return AppSpec(name=name, argv=argv, exec_mode=mode, **keys)


def python_app(code: str, *args: str, **keys: Any) -> AppSpec:
    """An app that runs this Python code."""
    return app_of(sys.executable, "-c", code, *args, **keys)
