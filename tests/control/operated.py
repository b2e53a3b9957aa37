"""A real runtime with its control side, to be asked over its sockets and by its commands."""

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import DEADLINE_S, PIDONE, Running, eventually, free_port, pidone

SLEEPER = """
[[apps]]
name = "api"
script = "/bin/sleep"
args = "1000"
instances = 2
ready_delay = 0
"""


class UnixHTTP(http.client.HTTPConnection):
    """HTTP over a unix socket, by the standard library and not by our own client."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=DEADLINE_S)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect(self.path)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Operated:
    """A running pidone, its socket and, if asked for, its port."""

    run: Running
    socket: str
    port: int

    def ask(
        self, path: str, method: str = "GET", body: object = None, *, tcp: bool = False, **headers: str
    ) -> Reply:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port) if tcp else UnixHTTP(self.socket)
        with contextlib.closing(connection):
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def app(self, name: str) -> Any:
        """One app as the API shows it."""
        return self.ask(f"/api/apps/{name}").json["apps"][0]

    def states(self, name: str) -> list[str]:
        """The states of its instances."""
        return [instance["state"] for instance in self.app(name)["instances"]]

    def command(self, *words: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run a command against it."""
        return command(*words, env={"PIDONE_SOCKET": self.socket}, **options)


def command(
    *words: str, env: Mapping[str, str], name: str = PIDONE, **options: Any
) -> "subprocess.CompletedProcess[str]":
    """Run a command of ours to its end."""
    return subprocess.run(
        [name, *words],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        **options,
    )


@contextlib.contextmanager
def operated(
    folder: Path,
    ecosystem: str = SLEEPER,
    *args: str,
    env: Mapping[str, str] | None = None,
    ready: bool = True,
) -> Iterator[Operated]:
    """Start it, wait until it is ready, and leave nothing behind."""
    file = folder / "ecosystem.toml"
    file.write_text(ecosystem)
    path, port = str(folder / "control.sock"), free_port()
    words = ("start", "--socket", path, "--admin", f"127.0.0.1:{port}", *args, str(file))
    with pidone(*words, env=env or {}) as run:
        it = Operated(run, path, port)
        run.expect(event="control.listening", count=2)
        if ready:
            eventually(lambda: it.ask("/readyz").status == 200, "readiness")
        try:
            yield it
        finally:
            if run.process.poll() is None:  # in order: what is killed one by one is started again meanwhile
                run.signal(signal.SIGTERM)
                run.wait()


@contextlib.contextmanager
def forwarded(path: str) -> Iterator[int]:
    """A port whose connections go on to a unix socket, as `ssh -L PORT:SOCKET` makes one."""

    def carry(client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as inner, contextlib.suppress(OSError):
            inner.connect(path)
            others = {client: inner, inner: client}
            while True:
                for source in select.select([client, inner], [], [])[0]:
                    if not (data := source.recv(65536)):
                        return
                    others[source].sendall(data)

    def accept(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=carry, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, args=(server,), daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
