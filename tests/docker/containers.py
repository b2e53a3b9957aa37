"""Real containers for tests: started by the client, looked at from outside, removed in the end."""

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from docker.images import docker
from harness import eventually

PREFIX = f"pidone-test-{os.getpid()}-"
"""What containers of this session are called; another may be at work beside it."""

Ecosystem = Callable[[str], list[str]]
"""Writes an ecosystem; the options that mount it where the image looks for it."""


class Container:
    """One container; `with` removes it."""

    def __init__(
        self, image: str, *command: str, options: Sequence[str] = (), remove_entrypoint: bool = False
    ) -> None:
        """Start it in the background."""
        self.name = f"{PREFIX}{uuid.uuid4().hex[:12]}"
        entrypoint = ["--entrypoint", ""] if remove_entrypoint else []
        docker("run", "--detach", "--name", self.name, *entrypoint, *options, image, *command)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        docker("rm", "--force", "--volumes", self.name)

    def inspect(self) -> dict[str, Any]:
        """Everything the engine knows."""
        (found,) = json.loads(docker("inspect", self.name))
        return dict(found)

    @property
    def state(self) -> dict[str, Any]:
        """Status, ExitCode, OOMKilled, StartedAt, FinishedAt, ..."""
        return dict(self.inspect()["State"])

    def logs(self, *options: str) -> list[str]:
        """The lines of `docker logs`, stdout only."""
        command = ["docker", "logs", *options, self.name]
        done = subprocess.run(command, capture_output=True, check=True, timeout=60)
        return done.stdout.decode().splitlines()

    def errors(self) -> str:
        """What went to stderr."""
        done = subprocess.run(["docker", "logs", self.name], capture_output=True, check=True, timeout=60)
        return done.stderr.decode()

    @property
    def records(self) -> list[dict[str, Any]]:
        """stdout as JSON records; anything else fails the test."""
        parsed = [json.loads(line) for line in self.logs()]
        assert all(isinstance(record, dict) for record in parsed)
        return parsed

    def find(self, **fields: object) -> list[dict[str, Any]]:
        """Records that have all these values."""
        return [record for record in self.records if all(record.get(k) == v for k, v in fields.items())]

    def expect(self, *, count: int = 1, **fields: object) -> dict[str, Any]:
        """Wait until `count` records have these values; the last of them."""
        try:
            return eventually(lambda: found if len(found := self.find(**fields)) >= count else None)[-1]
        except AssertionError:
            raise AssertionError(
                f"no record {fields} x{count}:\n" + "\n".join(self.logs()) + self.errors()
            ) from None

    def wait(self, timeout: float = 60) -> int:
        """The exit code."""
        return int(docker("wait", self.name, timeout=timeout))

    def stop(self, seconds: int = 10) -> int:
        """`docker stop`; the exit code."""
        docker("stop", "--time", str(seconds), self.name)
        return int(self.state["ExitCode"])

    def kill(self, signal: str) -> None:
        """`docker kill --signal`."""
        docker("kill", "--signal", signal, self.name)

    def exec(self, *command: str, options: Sequence[str] = ()) -> str:
        """`docker exec`; its output."""
        return docker("exec", *options, self.name, *command)

    def processes(self) -> list[tuple[int, str, str]]:
        """(pid, state, name) of every process, read from /proc of the container's own PID 1."""
        listing = self.exec("sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null || true")
        found = []
        for line in listing.splitlines():
            head, _, tail = line.rpartition(")")
            pid, _, name = head.partition(" (")
            found.append((int(pid), tail.split()[0], name))
        return found


def mounted(folder: Path, target: str = "/app") -> list[str]:
    """Options that show a folder of the test in the container."""
    return ["--volume", f"{folder}:{target}:ro"]
