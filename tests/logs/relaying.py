"""A relay on a loop of its own with children on its pipes: what the supervisor does, in a page."""

import asyncio
import contextlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from harness import DEADLINE_S

from pidone.contracts import InstanceId, LogSource, Outlet
from pidone.ecosystem.spec import AppSpec, RuntimeSpec
from pidone.logs.relay import Relay

NOON = 1_795_089_883.697
"""2026-11-19T12:04:43.697Z, for tests that compare whole records."""
NOON_TEXT = "2026-11-19T12:04:43.697Z"


def app(name: str = "api", **keys: Any) -> AppSpec:
    return AppSpec(name=name, argv=("/bin/true",), **keys)


@dataclass
class Stage:
    """A relay, its loop, and what came out at the other end."""

    loop: asyncio.AbstractEventLoop
    relay: Relay
    out: IO[bytes]
    children: dict[int, tuple[str, Outlet]] = field(default_factory=dict)
    lost: list[OSError] = field(default_factory=list)

    def open(self, spec: AppSpec, index: int = 0, **keys: Any) -> Outlet:
        return self.relay.open(LogSource(spec, InstanceId(spec.name, index, 1), index), **keys)

    def spawn(self, spec: AppSpec, argv: Sequence[str], index: int = 0) -> int:
        """Fork a child onto an outlet's pipes."""
        outlet = self.open(spec, index)
        pid = os.fork()
        if pid == 0:
            try:
                os.dup2(outlet.stdout, 1)
                os.dup2(outlet.stderr, 2)
                os.execvp(argv[0], tuple(argv))
            finally:
                os._exit(127)
        outlet.spawned(pid)
        self.children[pid] = (spec.name, outlet)
        return pid

    def say(self, outlet: Outlet, data: bytes, *, stream: str = "stdout") -> None:
        """Write to a pipe that no process has; before `spawned`."""
        os.write(outlet.stdout if stream == "stdout" else outlet.stderr, data)

    def turn(self, until: Callable[[], object], timeout: float = DEADLINE_S) -> None:
        """Run the loop until something is true."""

        async def poll() -> None:
            while not until():
                self.reap()
                await asyncio.sleep(0.001)

        self.loop.run_until_complete(asyncio.wait_for(poll(), timeout))

    def reap(self) -> None:
        """What the supervisor does when a child ended: drain, then say so."""
        for pid in list(self.children):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG):
                name, outlet = self.children.pop(pid)
                outlet.finish()
                self.relay.event("info", "instance.exit", app=name, pid=pid)

    def run(self, timeout: float = DEADLINE_S) -> None:
        """Until every child has ended."""
        self.turn(lambda: not self.children, timeout)

    def close(self) -> bool:
        return self.relay.close(DEADLINE_S, DEADLINE_S)

    def text(self) -> bytes:
        """All that came out; closes the relay."""
        self.close()
        self.out.seek(0)
        return self.out.read()

    def records(self) -> list[dict[str, Any]]:
        """All records; closes the relay."""
        return [json.loads(line) for line in self.text().splitlines()]  # of bytes: only \\n

    def messages(self, **fields: object) -> list[str]:
        """The messages of the records of apps with these values; closes the relay."""
        return [
            record["message"]
            for record in self.records()
            if "event" not in record and all(record[key] == value for key, value in fields.items())
        ]


@contextlib.contextmanager
def stage(
    stdout_fd: int | None = None, clock: Callable[[], float] = lambda: NOON, **keys: Any
) -> Iterator[Stage]:
    """A relay that writes into a temporary file, or to `stdout_fd`; `keys` are the `[runtime]` table's."""
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryFile() as out:
        lost: list[OSError] = []
        relay = Relay(
            loop,
            RuntimeSpec(**keys),
            stdout_fd=out.fileno() if stdout_fd is None else stdout_fd,
            clock=clock,
            on_stdout_lost=lost.append,
        )
        try:
            yield Stage(loop, relay, out, lost=lost)
        finally:
            relay.close(0, 0)
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()


class Reader:
    """Reads a descriptor to its end in a thread, as a container engine would."""

    def __init__(self, fd: int) -> None:
        self.data = b""
        self._fd = fd
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        parts = []
        while data := os.read(self._fd, 1 << 16):
            parts.append(data)
        self.data = b"".join(parts)

    def join(self) -> bytes:
        self._thread.join(DEADLINE_S)
        return self.data
