"""The compose stack of the repository, with stand-ins for the official images, under a name of its own."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.containers import PREFIX
from docker.images import BASE, REPOSITORY, authority, build_stand_in, docker

UP_S = 240
"""Builds included."""
PATIENT = Path(__file__).with_name("patient.yml")
CPUS = min(4, len(os.sched_getaffinity(0)))
"""What the backend gets, and so the number of its API instances."""
NODE_CPUS = min(2, CPUS)
"""What the compose file gives the Node API."""


class ComposeError(AssertionError):
    """`docker compose` failed."""


@dataclass(frozen=True)
class Stack:
    """A running stack."""

    project: str
    env: dict[str, str]
    folder: Path = REPOSITORY

    def command(self, *arguments: str) -> list[str]:
        """The command line of a `docker compose` for this stack."""
        return ["docker", "compose", "--ansi", "never", "--project-name", self.project, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """The environment that its command lines need."""
        return {**os.environ, **self.env}

    def compose(self, *arguments: str, timeout: float = UP_S) -> str:
        """Run `docker compose`; its output. Fails with what it said and what the services said."""
        command = self.command(*arguments)
        done = subprocess.run(
            command,
            check=False,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if done.returncode:
            logs = "" if arguments[0] == "logs" else self.compose("logs", "--tail", "40")
            raise ComposeError(f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{logs}")
        return done.stdout

    def port(self, service: str, inside: int) -> int:
        """The port on 127.0.0.1 where a service is published."""
        host, _, port = self.compose("port", service, str(inside)).strip().rpartition(":")
        assert host == "127.0.0.1"
        return int(port)

    def records(self, service: str) -> list[dict[str, Any]]:
        """What a service has logged since it started, as JSON records."""
        lines = docker("logs", self.services()[service]["ID"]).splitlines()
        return [json.loads(line) for line in lines]

    def find(self, service: str, **fields: object) -> list[dict[str, Any]]:
        """What a service has logged that has all these values."""
        return [record for record in self.records(service) if fields.items() <= record.items()]

    def services(self) -> dict[str, dict[str, Any]]:
        """What compose says of each service."""
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        return {one["Service"]: one for one in map(json.loads, lines)}


def images(folder: Path) -> dict[str, str]:
    """Build everything, also what the compose file would pull; the variables that make it use that."""
    password = folder / "password"
    password.write_text("s3cret/with:odd@characters\n")
    password.chmod(0o644)  # a bind mount, read by the containers' users
    folder.chmod(0o755)
    env = {
        "COMPOSE_FILE": f"docker-compose.yml:{PATIENT}",
        "BASE_IMAGE": BASE,
        "NODE_IMAGE": build_stand_in("node", "pidone-test/node-base"),
        "CA_FILE": authority() or "/dev/null",
        "POSTGRES_IMAGE": build_stand_in("postgres", "pidone-test/postgres"),
        "REDIS_IMAGE": build_stand_in("redis", "pidone-test/redis"),
        "BACKEND_IMAGE": "pidone-test/backend",
        "NODE_API_IMAGE": "pidone-test/node-api",
        "BACKEND_CPUS": str(CPUS),
        "CHAT_DB_PATIENCE": "60",  # the clients of a load, and other tests, have the same processors
        "POSTGRES_PASSWORD_FILE": str(password),
        "BACKEND_PORT": "127.0.0.1:0",
        "NODE_API_PORT": "127.0.0.1:0",
    }
    Stack(f"{PREFIX}images", env).compose("build", timeout=900)
    return env


@contextmanager
def up(project: str, env: dict[str, str], *, forget: bool, services: Sequence[str] = ()) -> Iterator[Stack]:
    """The stack, or these services of it, all instances ready; `forget` removes its volumes in the end."""
    stack = Stack(f"{PREFIX}{project}", env)
    try:
        stack.compose("up", "--detach", "--build", "--wait", "--wait-timeout", str(UP_S - 10), *services)
        for service in ("backend", "node-api"):  # healthy is as soon as one instance answers
            stack.compose("exec", "-T", service, "pidone", "wait", "--ready", "--timeout", "60")
        yield stack
    finally:
        stack.compose("--profile", "*", "down", "--remove-orphans", *(["--volumes"] if forget else []))
