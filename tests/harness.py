"""Real processes for tests: start them, poll them with a deadline, and never leave one behind."""

import contextlib
import ctypes
import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self, TypeVar

T = TypeVar("T")

PIDONE = str(Path(sysconfig.get_path("scripts")) / "pidone")
PYTHON = sys.executable
DEADLINE_S = float(os.environ.get("TEST_DEADLINE_S", "20"))
"""How long anything may take on a slow, busy machine before a test calls it a hang."""

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def become_subreaper() -> None:
    """Adopt orphans of tests, so that a leaked process can be found and shown."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def eventually(
    probe: Callable[[], T | None],
    what: str = "condition",
    timeout: float = DEADLINE_S,
    *,
    every: float | None = None,
) -> T:
    """Poll until `probe` returns something true and return it; fail with `what` after `timeout` seconds.

    `every` is the pause in seconds; by default 5 to 50 ms, the longer it takes: each look costs CPU time.
    """
    began = time.monotonic()
    while not (value := probe()):  # an empty list is as little of an answer as None
        now = time.monotonic()
        if now - began > timeout:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(min(max(0.005, (now - began) / 20), 0.05) if every is None else every)
    return value


def free_port(among: range = range(10_000, 32_768), *, row: int = 1) -> int:
    """A port that is this process's own until it ends: nobody listens there, no other test is given it.

    Outside of the range from which the kernel serves clients and port 0 (ip_local_port_range in ip(7)), so
    that nobody gets it by chance either. An abstract socket is the claim: it ends with the process. With
    `row` it is the first of so many one after the other, for programs that add a number to it.
    """
    while True:
        first = random.choice(among)
        claims = []
        try:
            for port in range(first, first + row):
                claims.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
                claims[-1].bind(f"\0pidone-test-port-{port}")
                socket.create_server(("", port)).close()
        except OSError:
            for claim in claims:
                claim.close()
        else:
            for claim in claims:
                claim.detach()
            return first


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a lock that other processes on this machine wait for: what one makes, the next finds made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def children(pid: int) -> list[int]:
    """Direct children of a process, zombies included; empty if it is gone."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children") as file:
                found += map(int, file.read().split())
    return found


def descendants(pid: int) -> list[int]:
    """All descendants, parents first."""
    found = children(pid)
    for child in found:
        found += [grandchild for grandchild in children(child) if grandchild not in found]
    return found


def state(pid: int) -> str:
    """One letter as in ps (`R`, `S`, `Z`, `T`, ...), or an empty string when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    return state(pid) not in ("", "Z", "X")


def opened(pid: int) -> list[str]:
    """What a process has open, as the kernel names it; what it closes meanwhile is left out."""
    folder, found = f"/proc/{pid}/fd", []
    for fd in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"{folder}/{fd}"))
    return found


def command_of(pid: int) -> str:
    """The command line, for messages."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "?"


def hold(pid: int) -> None:
    """Stop a process and wait until it stands still, or is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    eventually(lambda: state(pid) in ("", "T", "t", "Z", "X"), f"process {pid} to stand still")


@contextlib.contextmanager
def spawned(argv: Sequence[str], **options: Any) -> Iterator["subprocess.Popen[Any]"]:
    """A process, by the options of `subprocess.Popen`, which would wait for its end where the block fails."""
    with subprocess.Popen(argv, **options) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


class Lines:
    """What a stream has said so far, collected by a thread so that the writer never blocks."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._lines: list[str] = []
        self._records: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._collect, args=(stream,), daemon=True)
        self._thread.start()

    def _collect(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                self._lines.append(line.decode(errors="backslashreplace").rstrip("\n"))

    def join(self) -> None:
        """Wait for the end of the stream."""
        self._thread.join(DEADLINE_S)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._lines))

    def __len__(self) -> int:
        return len(self._lines)

    def text(self) -> str:
        """Everything so far."""
        return "\n".join(self._lines)

    def records(self) -> list[dict[str, Any]]:
        """Each line as a JSON object, parsed once; ValueError or AssertionError if it is none."""
        for line in self._lines[len(self._records) :]:
            record = json.loads(line)
            assert isinstance(record, dict), line
            self._records.append(record)
        return list(self._records)


class Running:
    """A command under test with its output; leaves nothing behind when the `with` block ends."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        pid1: bool = False,
        env: Mapping[str, str] | None = None,
        cwd: Path | str | None = None,
        **popen: Any,
    ) -> None:
        """Start `argv`; with `pid1`, as process 1 of a new PID namespace (needs root)."""
        self.pid1 = pid1
        # Without --kill-child: it would let the namespace die with unshare, hiding an exit that never comes.
        prefix = ["unshare", "--fork", "--pid", "--mount-proc"] if pid1 else []
        self.process = subprocess.Popen(
            [*prefix, *argv],
            stdin=popen.pop("stdin", subprocess.DEVNULL),
            stdout=popen.pop("stdout", subprocess.PIPE),
            stderr=popen.pop("stderr", subprocess.PIPE),
            env={**os.environ, **env} if env is not None else None,
            cwd=cwd,
            **popen,
        )
        self.out = Lines(self.process.stdout) if self.process.stdout else None
        self.err = Lines(self.process.stderr) if self.process.stderr else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Held first: a supervisor whose apps are killed one by one starts them again behind our back.
        for pid in [self.process.pid, *children(self.process.pid)]:
            hold(pid)
        family = descendants(self.process.pid)
        for pid in [*family, self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(DEADLINE_S)
        if self.process.stdin:  # else the collector's complaint hits another test
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        for pid in family:  # as a subreaper we adopted those whose parent died first
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        for lines in (self.out, self.err):
            if lines is not None:  # an empty one is false
                lines.join()

    @property
    def pid(self) -> int:
        """The command's own pid as seen from here (not unshare's)."""
        if not self.pid1:
            return self.process.pid
        return eventually(lambda: children(self.process.pid), "unshare to fork")[0]

    def signal(self, number: int) -> None:
        """Send a signal to the command itself."""
        os.kill(self.pid, number)

    def wait(self, timeout: float = DEADLINE_S) -> int:
        """The exit code, 128 + n for a death by signal; all output has arrived when this returns."""
        code = self.process.wait(timeout)
        for lines in (self.out, self.err):
            if lines is not None:  # an empty one is false
                lines.join()
        return code if code >= 0 else 128 - code

    @property
    def records(self) -> list[dict[str, Any]]:
        """stdout as JSON lines; anything that is not a JSON object fails the test."""
        assert self.out is not None
        return self.out.records()

    def find(self, **fields: object) -> list[dict[str, Any]]:
        """Records that have all these values."""
        return [r for r in self.records if all(r.get(k) == v for k, v in fields.items())]

    def expect(self, *, count: int = 1, timeout: float = DEADLINE_S, **fields: object) -> dict[str, Any]:
        """Wait until `count` records have these values; the last of them."""
        try:
            return eventually(
                lambda: found if len(found := self.find(**fields)) >= count else None, timeout=timeout
            )[-1]
        except AssertionError:
            out = self.out.text() if self.out else ""
            err = self.err.text() if self.err else ""
            raise AssertionError(f"no record {fields} x{count}; stdout:\n{out}\nstderr:\n{err}") from None

    def expect_line(self, text: str, timeout: float = DEADLINE_S) -> str:
        """Wait for a line of stdout that contains `text`."""
        return eventually(
            lambda: next((line for line in self.out or () if text in line), None),
            f"{text!r} on stdout",
            timeout,
        )


def pidone(*args: str, **kwargs: Any) -> Running:
    """Start the installed `pidone` command."""
    return Running([PIDONE, *args], **kwargs)
