"""The core suite: what pidone does, seen from outside, by nothing but Python's library.

`python3 core.py PIDONE [NAME ...]` runs in any root and prints one JSON line per case: `name`, `ok`,
`seconds`, `why` (what was wrong) and `degraded` (what pidone itself has said that it does without).
The exit code is 1 if one failed.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

PATIENCE_S: Final = float(os.environ.get("CORE_PATIENCE", "30"))
"""Longest wait for anything: an emulator is ten times as slow."""
WAIT: Final = f"{PATIENCE_S:.0f}s"
"""The same as a value of the file."""
DEGRADED: Final = (
    "listen.steering",
    "listen.queue_unknown",
    "listen.unshared",
    "rights.missing",
    "host.unreadable",
    "control.error",
)
"""Events by which pidone says what it does without here."""
SERVER: Final = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(os.getpid()).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""


class WrongError(Exception):
    """A case found something else than it should."""


class Run:
    """One pidone with its file, output and control socket."""

    def __init__(self, program: str, folder: Path, *apps: dict[str, Any], **runtime: Any) -> None:
        self.program = program
        self.folder = folder
        self.socket = str(folder / "control")
        file = folder / "ecosystem.json"
        file.write_text(json.dumps({"apps": apps, "runtime": runtime}))
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [program, "--socket", self.socket, str(file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def records(self, **wanted: Any) -> list[dict[str, Any]]:
        """Records with these values, so far."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if all(record.get(key) == value for key, value in wanted.items()):
                    found.append(record)
        return found

    def expect(self, count: int = 1, **wanted: Any) -> dict[str, Any]:
        """Wait for so many of them; the last."""
        until(lambda: len(self.records(**wanted)) >= count, f"{count} x {wanted}", self)
        return self.records(**wanted)[count - 1]

    def ask(self, *words: str) -> str:
        """What a command prints."""
        done = subprocess.run(
            [self.program, words[0], "--socket", self.socket, *words[1:]],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S * 2,
            check=False,
        )
        check(done.returncode == 0, f"{words}: {done.returncode} {done.stderr[-500:]}{done.stdout[-200:]}")
        return done.stdout

    def end(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S * 2)


def check(holds: object, what: str) -> None:
    """Raises WrongError."""
    if not holds:
        raise WrongError(what)


def until(probe: Callable[[], object], what: str, run: Run | None = None) -> None:
    """Wait for it. Raises WrongError."""
    deadline = time.monotonic() + PATIENCE_S
    while not probe():
        if time.monotonic() > deadline:
            said = "" if run is None else "; log: " + run.log.read_text(errors="replace")[-1500:]
            raise WrongError(f"not within {PATIENCE_S:.0f} s: {what}{said}")
        time.sleep(0.05)


def python(code: str, name: str = "a", **more: Any) -> dict[str, Any]:
    """An app of Python code."""
    given = {"args": ["-u", "-c", code], "interpreter": "none", "cwd": "/"}
    return {"name": name, "script": sys.executable, **given, **more}


def shell(code: str, name: str = "a", **more: Any) -> dict[str, Any]:
    """An app of the shell."""
    given = {"args": ["-c", code], "interpreter": "none", "cwd": "/"}
    return {"name": name, "script": "/bin/sh", **given, **more}


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def get(port: int) -> str:
    """Who answers there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE_S) as response:
        return str(response.read().decode())


def signals(start: "Starting") -> None:
    """SIGTERM reaches the app, and the end is in order; what is forwarded arrives."""
    code = "trap 'echo stopped; exit 0' TERM; trap 'echo hello' USR1; echo up; while :; do sleep 0.1; done"
    run = start(shell(code), signals={"SIGUSR1": "forward"})
    run.expect(message="up")
    run.process.send_signal(signal.SIGUSR1)
    run.expect(message="hello")
    check(run.end() == 0, "the code after SIGTERM is not 0")
    run.expect(message="stopped")


def kills(start: "Starting") -> None:
    """What ignores SIGTERM is killed when its time is up, and that is told by 124."""
    run = start(shell("trap '' TERM; echo up; while :; do sleep 0.1; done", kill_timeout="500ms"))
    run.expect(message="up")
    check(run.end() == 124, "the code is not 124")


def exit_codes(start: "Starting") -> None:
    """A job's code is the container's; a broken file is 78, a missing program 127."""
    run = start(shell("exit 3", autorestart=False))
    check(run.process.wait(PATIENCE_S) == 3, "the job's code")
    run = start(shell("kill -9 $$", autorestart=False))
    check(run.process.wait(PATIENCE_S) == 137, "a death by a signal")
    broken = start({"name": "a", "script": "/bin/sh", "restart_delay": "soon"})
    check(broken.process.wait(PATIENCE_S) == 78, "a broken file")


def restarts(start: "Starting") -> None:
    """What crashes is started again, and what crashes too often ends in 75."""
    run = start(shell("exit 1", max_restarts=2, restart_delay="50ms", min_uptime="10s"))
    check(run.process.wait(PATIENCE_S * 2) == 75, f"gave up with {run.process.returncode}")
    check(len(run.records(event="instance.start")) >= 2, "it was not started again")


def zombies(start: "Starting") -> None:
    """Nobody's children are buried, and what an app leaves behind is ended with it."""
    run = start(
        shell("(sleep 0.2 & sleep 0.3 &); (sleep 1000 &) ; echo up; sleep 0.6; echo on; exec sleep 1000")
    )
    run.expect(message="on")

    def dead() -> list[str]:
        return [line for line in _processes() if line.split()[1] == "Z"]

    until(lambda: not dead(), f"zombies: {dead()}", run)
    check(run.end() in (0, 124), "its end")


def _processes() -> Iterator[str]:
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{entry}/stat").read_text()
                yield f"{entry} {stat.rpartition(')')[2].split()[0]}"


def shared_ports(start: "Starting") -> None:
    """Two processes on one port that each of them binds."""
    _two(start, "shared")


def balance(start: "Starting") -> None:
    """The same with a queue for each."""
    _two(start, "spread")


def _two(start: "Starting", balance: str) -> None:
    port = free_port()
    env = {"PORT": str(port)}
    run = start(
        python(
            SERVER,
            instances=2,
            exec_mode="cluster",
            listen_timeout=WAIT,
            balance=balance,
            env=env,
            kill_timeout="3s",
        )
    )
    run.expect(event="instance.online", count=2)
    seen: set[str] = set()

    def both_answered() -> bool:
        seen.add(get(port))
        return len(seen) == 2

    until(both_answered, "both to answer", run)
    check(run.end() == 0, "its end")


def reloads(start: "Starting") -> None:
    """A reload under requests: other processes, and nobody is refused."""
    port = free_port()
    env = {"PORT": str(port)}
    run = start(
        python(SERVER, instances=2, exec_mode="cluster", listen_timeout=WAIT, env=env, kill_timeout="5s")
    )
    run.expect(event="instance.online", count=2)
    before = {get(port) for _ in range(20)}
    run.expect(event="control.listening")  # after the first instances, where starting is slow
    with subprocess.Popen(
        [run.program, "reload", "--socket", run.socket, "a"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as asked:
        while asked.poll() is None:
            get(port)  # raises where one is refused
        assert asked.stderr is not None
        said = asked.stderr.read().decode(errors="replace")
    check(asked.returncode == 0, f"reload: {asked.returncode} {said[-300:]}")
    check(not before & {get(port) for _ in range(20)}, "old processes answer")


def logs(start: "Starting") -> None:
    """Lines become records with level and stream; long and broken ones arrive too."""
    code = (
        'import os; print(\'plain\'); print(\'{"level": "warn", "message": "shaped"}\'); '
        "os.write(2, b'\\xff!\\n'); print('x' * 50000)"
    )
    run = start(python(code, autorestart=False))
    run.expect(message="plain", app="a")
    run.expect(message="shaped", app="a")
    check(
        str(run.records(message="shaped")[0]["level"]).startswith("warn"), "the level of a line that is JSON"
    )
    until(lambda: any("!" in str(each.get("message")) for each in run.records(app="a")), "bytes", run)
    until(
        lambda: sum(str(each.get("message")).count("x") for each in run.records(app="a")) >= 50_000, "x", run
    )


def limits(start: "Starting") -> None:
    """`limits` are the app's rlimits; a memory limit replaces a process that grew."""
    run = start(
        python("import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))", limits={"nofile": 99})
    )
    run.expect(message="(99, 99)")
    run.end()
    grows = "import time; b = bytearray(120_000_000); print('big', flush=True); time.sleep(1000)"
    run = start(python(grows, max_memory_restart="60M"))

    def replaced() -> bool:
        told = run.records(event="host.unreadable")  # without /proc nobody's size is known
        return bool(told) or len(run.records(event="instance.start")) > 1

    until(replaced, "the one that grew to be replaced", run)


def memory_killed(start: "Starting") -> None:
    """A process that the kernel kills is told as such a death, and started again."""
    run = start(shell("echo up; sleep 0.3; kill -9 $$"))
    run.expect(count=2, event="instance.start")
    check(run.records(event="instance.exit")[0].get("signal") == "SIGKILL", "the signal")


def ls(start: "Starting") -> None:
    """The control side knows all; it starts, stops and scales."""
    run = start(shell("exec sleep 1000"))
    run.expect(event="instance.online")
    until(lambda: os.path.exists(run.socket), "the control socket", run)
    (app,) = json.loads(run.ask("ls", "--json"))["apps"]
    check(app["name"] == "a", str(app)[:200])
    run.ask("scale", "a", "3")
    run.expect(count=3, event="instance.online")
    run.ask("stop", "a")
    until(lambda: json.loads(run.ask("ls", "--json"))["apps"][0]["state"] == "stopped", "stopped", run)


def metrics(start: "Starting") -> None:
    """Metrics and health over HTTP."""
    port = free_port()
    run = start(shell("exec sleep 1000"), admin=f"127.0.0.1:{port}")
    run.expect(event="instance.online")

    def body(path: str) -> str:
        url = f"http://127.0.0.1:{port}{path}"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=PATIENCE_S) as response:
            return str(response.read().decode())
        return ""

    until(lambda: body("/readyz"), "ready", run)
    until(lambda: "pidone_" in body("/metrics"), "metrics", run)


def init_only(start: "Starting") -> None:
    """`pidone exec`, the bare init."""
    done = subprocess.run(
        [start.program, "exec", "--", "/bin/sh", "-c", "exit 7"], timeout=PATIENCE_S, check=False
    )
    check(done.returncode == 7, f"{done.returncode}")


CASES: Final[dict[str, Callable[["Starting"], None]]] = {
    each.__name__: each
    for each in (
        *(signals, kills, exit_codes, restarts, zombies, shared_ports, balance, reloads),
        *(logs, limits, memory_killed, ls, metrics, init_only),
    )
}


class Starting:
    """Starts pidone for one case, and leaves nothing behind."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program = program
        self._folder = folder
        self.runs: list[Run] = []

    def __call__(self, *apps: dict[str, Any], **runtime: Any) -> Run:
        folder = self._folder / str(len(self.runs))
        folder.mkdir()
        self.runs.append(Run(self.program, folder, *apps, **runtime))
        return self.runs[-1]

    def close(self) -> None:
        """Apps go with their runtime (`die_with_runtime`), so it is asked first."""
        for run in self.runs:
            if run.process.poll() is None:
                run.process.terminate()
                try:
                    run.process.wait(PATIENCE_S)
                except subprocess.TimeoutExpired:
                    run.process.kill()
                    run.process.wait()

    def degraded(self) -> list[str]:
        """What pidone has said that it does without."""
        told = [each for run in self.runs for event in DEGRADED for each in run.records(event=event)]
        return sorted({f"{each['event']}: {each.get('message', '')}" for each in told})


def main(program: str, names: list[str]) -> int:
    """Run them; whether one failed."""
    failed = 0
    for name in names or CASES:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="core-", dir=os.environ.get("CORE_FOLDER")) as folder:
            start = Starting(program, Path(folder))
            why = ""
            try:
                CASES[name](start)
            except (WrongError, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
                why = f"{type(error).__name__}: {error}"
            finally:
                start.close()
            degraded = start.degraded()
        failed += bool(why)
        took = round(time.monotonic() - began, 1)
        line = {"name": name, "ok": not why, "seconds": took, "why": why, "degraded": degraded}
        print(json.dumps(line), flush=True)  # noqa: T201 - for whoever waits
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
