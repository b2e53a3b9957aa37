"""Run a scenario end to end: the real command, the scenario's own config, free ports, and its HTTP side."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import DEADLINE_S, PIDONE, PYTHON, Running, alive, eventually, pidone

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Answer:
    """What an HTTP request came back with."""

    status: int
    body: Any
    instance: str | None
    pid: int


def listens(port: int) -> None:
    """Wait until somebody does: PM2 takes a program as online as soon as it was started."""

    def is_open() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    eventually(is_open, f"somebody to listen on {port}")


def request(port: int, path: str, body: object = None, **headers: str) -> Answer:
    """GET, or POST when there is a body; each request on a connection of its own."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
    try:
        with urllib.request.urlopen(asked, timeout=DEADLINE_S) as response:
            return _answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error.headers, error.read())


def _answer(status: int, headers: Any, body: bytes) -> Answer:
    return Answer(status, json.loads(body), headers["x-instance"], int(headers["x-pid"] or 0))


class System:
    """A running ecosystem, seen through its log."""

    def __init__(self, run: Running, folder: Path) -> None:
        """`folder` is LOG_DIR and has the control socket."""
        self.run = run
        self.folder = folder

    @property
    def environ(self) -> dict[str, str]:
        """For programs that operate it."""
        path = f"{Path(PIDONE).parent}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "PIDONE_SOCKET": str(self.folder / "control")}

    def command(self, *words: str, program: str = PIDONE) -> "subprocess.CompletedProcess[str]":
        """Operate it as its owners do; the command has to succeed."""
        self.run.expect(event="control.listening")
        done = subprocess.run(
            [program, *words],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=2 * DEADLINE_S,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{words}: {done.returncode}\n{said}\n{self.story()}"
        return done

    def states(self, target: str) -> list[str]:
        """The state of each instance, as `pidone ls` has it."""
        apps = json.loads(self.command("ls", target, "--json").stdout)["apps"]
        return [instance["state"] for app in apps for instance in app["instances"]]

    def logged(self, file: str, text: str, times: int) -> bool:
        """Whether a log file has this text so many times."""
        path = self.folder / file
        return path.exists() and path.read_text().count(text) == times

    def online(self, app: str, count: int = 1) -> None:
        """Wait until `count` different instances of an app are online."""

        def all_online() -> bool:
            return len({r["instance"] for r in self.run.find(event="instance.online", app=app)}) >= count

        self._wait(all_online, f"{count} instances of {app} online")

    def cpus(self) -> int:
        """How many CPUs the runtime found, i.e. what `max` means."""
        self._wait(lambda: bool(self.run.find(event="runtime.start")), "the start")
        return int(self.run.find(event="runtime.start")[0]["cpus"])

    def pids(self, app: str) -> dict[int, int]:
        """The newest process of each instance."""
        return {r["instance"]: r["pid"] for r in self.run.find(event="instance.start", app=app)}

    def kill(self, app: str, instance: int = 0) -> int:
        """kill -9 one instance and wait for its successor, which is returned."""
        before = self.pids(app)[instance]
        os.kill(before, signal.SIGKILL)
        self.run.expect(event="instance.exit", app=app, pid=before, signal="SIGKILL")

        def successor() -> int | None:
            now = self.pids(app)[instance]
            return now if now != before and alive(now) else None

        return eventually(successor, f"{app} restarted")

    def lines(self, app: str, pid: int | None = None) -> list[str]:
        """What an app printed, or one process of it."""
        found = self.run.find(app=app) if pid is None else self.run.find(app=app, pid=pid)
        return [record["message"] for record in found if "stream" in record]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> list[str]:
        """Stop in order; the apps as their last instances ended. The exit code must be 0."""
        self.run.signal(number)
        code = self.run.wait()
        assert code == 0, f"exit code {code}\n{self.story()}"
        ended = [record["app"] for record in self.run.find(event="instance.exit", reason="stop")]
        return [app for n, app in enumerate(ended) if app not in ended[n + 1 :]]

    def ends(self) -> Counter[tuple[str, int | None]]:
        """How instances ended when they were asked to: app and exit code."""
        return Counter((r["app"], r.get("code")) for r in self.run.find(event="instance.exit", reason="stop"))

    def _wait(self, probe: Callable[[], bool], what: str) -> None:
        def probe_living() -> bool:
            assert self.run.process.poll() is None, "it has ended"
            return probe()

        try:
            eventually(probe_living, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.story()}") from None

    def story(self) -> str:
        """All that it has said."""
        streams = (self.run.out, self.run.err)
        return "\n".join(stream.text() for stream in streams if stream)


@contextlib.contextmanager
def running(config: str, *options: str, **env: str) -> Iterator[System]:
    """Run `tests/scenarios/<config>` with these variables, and with a folder for its log files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = {"PIDONE_SOCKET": str(folder / "control"), "LOG_DIR": name, **env}
        with pidone(str(HERE / config), *options, env=settings) as run:
            yield System(run, folder)


@contextlib.contextmanager
def redis_stand_in() -> Iterator[str]:
    """A Redis for the scenario; its URL."""
    with Running([PYTHON, str(HERE / "redis_stand_in.py")]) as run:
        port = run.expect_line("")
        yield f"redis://127.0.0.1:{port}"
