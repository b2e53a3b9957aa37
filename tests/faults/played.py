"""One life of a real runtime, while a call fails: what is asked of it, and what was seen from outside."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from faults.notifier import Fault, Notifier

PIDONE: Final = str(Path(sysconfig.get_path("scripts")) / "pidone")
APP: Final = Path(__file__).with_name("app.py")
MARK: Final = "PIDONE_FAULTS_RUN"
ANSWER_S: Final = 12.0
"""In which a command has to be answered, whatever the answer. All limits are multiplied by a patience."""
START_S: Final = 5.0
STEP_S: Final = 4.0
END_S: Final = 10.0
"""From SIGTERM to the end; the file allows the apps SHUTDOWN_S."""
KILL_S: Final = 2.0
SHUTDOWN_S: Final = 3.0
SLOTS: Final = {"plain": 1, "told": 1, "flood": 1, "cluster": 2}


@dataclass
class Seen:
    """What is known afterwards."""

    code: int | None = None
    """None: it had to be killed."""
    ended_early: bool = False
    out: list[bytes] = field(default_factory=list)
    err: str = ""
    journal: list[tuple[str, int, str]] = field(default_factory=list)
    killed: set[int] = field(default_factory=set)
    """Whom we have killed, by its own number."""
    unanswered: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    """Steps whose effect was not seen in time."""
    left: list[str] = field(default_factory=list)
    """Command lines of who was still there."""
    counts: Mapping[str, int] = field(default_factory=dict)
    at_start: Mapping[str, int] = field(default_factory=dict)
    """Calls until every app was online."""
    unknown: set[int] = field(default_factory=set)
    times: int = 0
    """How often the fault struck."""
    took_s: float = 0.0

    @property
    def records(self) -> list[dict[str, Any]]:
        """The lines of stdout that are records."""
        found = []
        for line in self.out:
            with contextlib.suppress(ValueError):
                if isinstance(record := json.loads(line), dict):
                    found.append(record)
        return found


class _Stream:
    """Collects a pipe to its end."""

    def __init__(self) -> None:
        self._read, self.write = os.pipe()
        self.data = bytearray()
        self._thread = threading.Thread(target=self._collect, daemon=True)

    def begin(self) -> None:
        """When the other end has been handed on."""
        os.close(self.write)
        self._thread.start()

    def _collect(self) -> None:
        with open(self._read, "rb", buffering=0) as file:
            while chunk := file.read(65536):
                self.data += chunk

    def join(self) -> None:
        """After everybody has ended."""
        self._thread.join(60)


class _Over(Exception):  # noqa: N818 (not an error: there is nothing more to ask)
    """It has ended."""


def play(
    fault: Fault | None, folder: Path, *, pid1: bool, is_short: bool = False, patience: float = 1.0
) -> Seen:
    """Start, ask, stop; `is_short` leaves out what comes between.

    `patience` multiplies every limit, also those that the runtime itself is told, for a machine that is
    slower than one where a life takes a second.
    """
    seen, began = Seen(), time.monotonic()
    folder.mkdir(parents=True)
    ecosystem = _ecosystem(folder, patience)
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    env = {"PATH": os.environ["PATH"], "PIDONE_STRICT": "1", MARK: mark, "HOME": "/"}
    out, err = _Stream(), _Stream()
    argv = [PIDONE, "--socket", str(folder / "s"), str(ecosystem)]
    with Notifier(argv, fault, env=env, stdout=out.write, stderr=err.write, pid1=pid1) as it:
        out.begin()
        err.begin()
        life = _Life(it, folder, out, seen, mark, patience)
        try:
            life.start()
            seen.at_start = dict(it.counts)
            if not is_short:
                life.operate()
        except _Over:
            seen.ended_early = True
        life.stop()
        seen.left = life.sweep_up()
        out.join()
        err.join()
        seen.counts, seen.unknown = dict(it.counts), it.unknown
    seen.out = bytes(out.data).splitlines(keepends=True)
    seen.err = bytes(err.data).decode(errors="replace")
    seen.journal = _journal(folder)
    seen.times = fault.times if fault is not None else 0
    seen.took_s = time.monotonic() - began
    shutil.rmtree(folder)
    return seen


def _ecosystem(folder: Path, patience: float, env: str = "1") -> Path:
    journal = str(folder / "journal")

    def app(name: str, **keys: object) -> dict[str, object]:
        args = ["-I", "-S", str(APP), name, journal]
        own: dict[str, object] = {
            "kill_timeout": f"{KILL_S * patience:.1f}s",
            "env": {"CHANGED": env} if name == "plain" else {},
            "restart_delay": 0,
            "ready_delay": "100ms",
        }
        return {"name": name, "script": sys.executable, "interpreter": "none", "args": args, **own, **keys}

    address = f"unix:{folder}/listen"
    apps = [
        app("plain", out_file=str(folder / "plain.log"), stdin="pipe", watch=[str(folder / "watched")]),
        app("told", ready="notify", post_start=["/bin/true"]),
        app("flood"),
        app("cluster", instances=SLOTS["cluster"], listen=[address]),
    ]
    (folder / "watched").mkdir(exist_ok=True)
    file = folder / "ecosystem.json"
    runtime = {"shutdown_timeout": f"{SHUTDOWN_S * patience:.1f}s"}
    file.with_suffix(".new").write_text(json.dumps({"apps": apps, "runtime": runtime}))
    file.with_suffix(".new").rename(file)
    return file


def _journal(folder: Path) -> list[tuple[str, int, str]]:
    with contextlib.suppress(FileNotFoundError):
        lines = (folder / "journal").read_text().splitlines()
        return [(role, int(pid), what) for role, pid, what in (line.split() for line in lines)]
    return []


class _Life:
    def __init__(
        self, it: Notifier, folder: Path, out: _Stream, seen: Seen, mark: str, patience: float
    ) -> None:
        self._patience = patience
        self._it, self._folder, self._out, self._seen = it, folder, out, seen
        self._mark = f"{MARK}={mark}".encode()

    def start(self) -> None:
        """Until each app is online, or there was time enough for it."""
        total = sum(SLOTS.values())
        self._await("start", lambda: self._told(b'"event":"instance.online"') >= total, START_S)

    def operate(self) -> None:
        """What people and the system do to a runtime."""
        self._await("flood", lambda: self._told(b'"message":"flood ') >= 2000)
        self._await("control", (self._folder / "s").exists)
        self._kill_a_worker()
        self._ask("ls", "GET", "/api/apps")
        before = self._starts("cluster")
        self._ask("scale", "POST", "/api/apps/cluster/scale", {"instances": 3})
        self._await("scale", lambda: self._starts("cluster") > before)
        before = self._starts("told")
        self._ask("reload", "POST", "/api/apps/told/reload")
        self._await("reload", lambda: self._starts("told") > before)
        before = self._starts("plain")
        _ecosystem(self._folder, self._patience, "2")
        self._signal(signal.SIGHUP)
        self._await("hup", lambda: self._starts("plain") > before)
        self._ask("ls", "GET", "/api/apps")

    def stop(self) -> None:
        """SIGTERM, and the end."""
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + END_S * self._patience
        while (code := self._ended()) is None and time.monotonic() < deadline:
            time.sleep(0.005)
        self._seen.code = code

    def sweep_up(self) -> list[str]:
        """End and name who is still there; nobody of this life runs afterwards."""
        left = self._family()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._seen.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._it.pid, signal.SIGKILL)
            os.waitpid(self._it.outer, 0)
        deadline = time.monotonic() + 60
        while (self._family() or _bury()) and time.monotonic() < deadline:
            time.sleep(0.005)
        return list(left.values())

    # -- looking -----------------------------------------------------------------------------------

    def _told(self, what: bytes) -> int:
        return self._out.data.count(what)

    def _starts(self, role: str) -> int:
        return sum(each == role and what == "start" for each, _, what in _journal(self._folder))

    def _ended(self) -> int | None:
        if self._seen.code is not None:
            return self._seen.code
        pid, status = os.waitpid(self._it.outer, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            self._seen.code = code if code >= 0 else 128 - code
        return self._seen.code

    def _await(self, step: str, look: Callable[[], bool], limit: float = STEP_S) -> None:
        deadline = time.monotonic() + limit * self._patience
        while not look():
            if self._ended() is not None:
                raise _Over
            if time.monotonic() > deadline:
                self._seen.missed.append(step)
                return
            time.sleep(0.005)

    def _family(self) -> dict[int, str]:
        """Everybody that has inherited the mark of this life, by pid; the dead have no variables any more."""
        found = {}
        for name in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if name.isdigit() and self._mark in Path(f"/proc/{name}/environ").read_bytes():
                    found[int(name)] = (
                        Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                    )
        if self._seen.code is None:
            found.pop(self._it.pid, None)
        return found

    # -- acting ------------------------------------------------------------------------------------

    def _signal(self, number: int) -> None:
        if self._ended() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._it.pid, number)

    def _kill_a_worker(self) -> None:
        before = self._starts("cluster")
        workers = [pid for pid, line in self._family().items() if f" cluster {self._folder}" in line]
        if workers:
            victim = min(workers)
            self._seen.killed.add(_own_number(victim))
            os.kill(victim, signal.SIGKILL)
            self._await("restart", lambda: self._starts("cluster") > before)

    def _ask(self, what: str, method: str, path: str, body: object = None) -> None:
        if self._ended() is not None:
            raise _Over
        if self._seen.unanswered:  # the next one would not be either
            return
        connection = _Unix(str(self._folder / "s"), ANSWER_S * self._patience)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            answer.read()
            if answer.status >= 400:
                self._seen.refused.append(f"{what} {answer.status}")
        except TimeoutError:
            self._seen.unanswered.append(what)
        except (OSError, http.client.HTTPException) as error:
            self._seen.refused.append(f"{what} {type(error).__name__}")
        finally:
            connection.close()


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str, limit_s: float) -> None:
        super().__init__("localhost", timeout=limit_s)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def _own_number(pid: int) -> int:
    """Of a process, in the innermost PID namespace."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return pid


def _bury() -> bool:
    """Whom we have adopted; True while somebody is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True
