"""Runs the reading of a file in a short-lived child: bounded time, memory, descriptors and answer.

A fork, not a new interpreter: it costs 1-2 ms instead of 20. The caller has one thread (a design rule), so
the child may go on as it is. What the child imports (an engine, a YAML parser) never burdens the supervisor.

The child ends itself: a real-time interval timer whose signal kills it (setitimer(2)), CPU and memory limits
(setrlimit(2)). So nobody has to find and kill it in time, which matters when its pid may already be reaped.
"""

import contextlib
import json
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeAlias

from pidone.errors import ConfigError

TIME_LIMIT_S: Final = 2.5
"""For one reading; with start and report it stays below three seconds."""
MEMORY_LIMIT_BYTES: Final = 384 << 20
"""Address space the child may add to what it was born with."""
MAX_ANSWER_BYTES: Final = 4 << 20
_GRACE_S: Final = 0.3
"""How long after its time limit a child may take to be gone, before it is killed by hand."""
_CHUNK: Final = 1 << 16

Answer: TypeAlias = dict[str, Any]
Reap: TypeAlias = Callable[[int], None]
"""Waits for a child of ours by pid. With a reaper running, a function that does nothing."""


def wait_for(pid: int) -> None:
    """Reap `pid`; fine if somebody else, such as the one reaper, already did."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


class Reading:
    """A reading in progress: readable when there is news, for loops that wait for other things as well."""

    def __init__(self, task: Callable[[], Answer], *, name: str, reap: Reap = wait_for) -> None:
        """Start `task` in a child; `name` is the file in messages.

        Raises:
            ConfigError: no process can be started.
        """
        self._name = name
        self._reap = reap
        self._data = bytearray()
        self._ended = False
        self._started_at = time.monotonic()
        try:
            self._fd, writing = os.pipe2(os.O_CLOEXEC)
        except OSError as error:
            raise ConfigError(f"{name}: cannot be read: {error.strerror}") from None
        # Until the child has put the default dispositions back, a signal in it would run the parent's
        # handlers and write to the parent's wakeup descriptor.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _be_the_child(task, writing)
            with contextlib.suppress(OSError):  # the child does the same; whoever is first
                os.setpgid(self._pid, self._pid)
        except OSError as error:
            os.close(self._fd)
            raise ConfigError(
                f"{name}: cannot be read, no process can be started: {error.strerror}"
            ) from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(writing)

    def fileno(self) -> int:
        """Descriptor that is readable when `advance` has something to do."""
        return self._fd

    def advance(self) -> bool:
        """Take what is there, without blocking if `fileno` is readable; whether the reading has ended."""
        if self._ended:
            return True
        chunk = os.read(self._fd, _CHUNK)
        self._data += chunk
        if not chunk or len(self._data) > MAX_ANSWER_BYTES:
            self._end()
        return self._ended

    def answer(self) -> Answer:
        """Wait for the end, then give what the task returned.

        Raises:
            ConfigError: as raised by the task, or the child did not live to answer.
        """
        deadline = self._started_at + TIME_LIMIT_S + _GRACE_S
        while not self._ended:
            left = deadline - time.monotonic()
            if left <= 0:
                self.cancel()
                raise self._overtime()
            if select.select([self._fd], [], [], left)[0]:
                self.advance()
        if len(self._data) > MAX_ANSWER_BYTES:
            raise ConfigError(f"{self._name}: evaluates to more than {MAX_ANSWER_BYTES >> 20} MiB")
        if not self._data.endswith(b"\n"):  # the last thing a child writes
            if time.monotonic() - self._started_at >= TIME_LIMIT_S:
                raise self._overtime()
            raise ConfigError(f"{self._name}: needs more CPU or memory than a configuration may have")
        answer: Answer = json.loads(self._data)
        if "error" in answer:
            raise ConfigError(str(answer["error"]))
        return answer

    def cancel(self) -> None:
        """Give up: the child and what it started are killed. Fine to call at any time."""
        if not self._ended:
            self._end()

    def _end(self) -> None:
        """Leave nothing behind: the child may still live if its answer was too long or its time is up."""
        self._ended = True
        os.close(self._fd)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # Its group, which holds a Node it may have started. We have not reaped it; that somebody else did
            # and its number was reused within these milliseconds is a matter of theory.
            os.killpg(self._pid, signal.SIGKILL)
        self._reap(self._pid)

    def _overtime(self) -> ConfigError:
        return ConfigError(
            f"{self._name}: takes longer than {TIME_LIMIT_S} s to evaluate; an endless loop, or work that "
            "does not belong in a configuration"
        )


def _be_the_child(task: Callable[[], Answer], writing: int) -> NoReturn:
    """Everything after the fork; never returns, never prints, never runs the parent's cleanup."""
    code = 1
    try:
        _confine(writing)
        _write(writing, json.dumps(_answer(task)).encode() + b"\n")
        code = 0
    finally:
        os._exit(code)


def _answer(task: Callable[[], Answer]) -> Answer:
    try:
        return task()
    except ConfigError as error:
        return {"error": str(error)}
    except Exception as error:  # noqa: BLE001 the only place where a bug of ours, or the engine's, can be told
        return {"error": f"internal error while reading the file: {type(error).__name__}: {error}"}


def _confine(writing: int) -> None:
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        # SIGPIPE, SIGXFSZ and whatever the parent ignores stay ignored: writes fail with an errno instead.
        if signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN, None):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT_S)
    _close_all_but(writing)
    limit(resource.RLIMIT_CPU, int(TIME_LIMIT_S) + 1)
    limit(resource.RLIMIT_AS, _address_space_bytes() + MEMORY_LIMIT_BYTES)
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_NPROC, 0)  # root is exempt, but nothing that is evaluated here can fork


def limit(which: int, value: int) -> None:
    """Set a soft limit, as far as the hard limit allows. It is lifted again if Node has to be started."""
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _close_all_but(kept: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    for descriptor in os.listdir("/proc/self/fd"):
        number = int(descriptor)
        if number > 2 and number != kept:
            with contextlib.suppress(OSError):  # the one that listed the folder
                os.close(number)


def _address_space_bytes() -> int:
    with open("/proc/self/statm", "rb") as file:  # proc(5): first field, in pages
        return int(file.read().split()[0]) * resource.getpagesize()


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
