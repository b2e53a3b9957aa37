"""Inits under test: ours under each of its names, the real programs beside it, and children that tell all."""

import atexit
import fcntl
import functools
import os
import pty
import re
import select
import shutil
import signal
import tempfile
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from harness import DEADLINE_S, PIDONE, PYTHON, Running, children, command_of, eventually, state

FORWARDABLE = sorted(int(number) for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
MARKER = int(signal.SIGRTMAX)
"""Of several pending signals the lowest is taken first, so this one arrives after any other."""

ECHO = [
    PYTHON,
    "-ISc",
    """import signal
everything = signal.valid_signals()
signal.pthread_sigmask(signal.SIG_BLOCK, everything)
print('ready', flush=True)
while True: print(signal.sigwaitinfo(everything).si_signo, flush=True)
""",
]
"""A command that says `ready` and then the number of each signal it gets, and survives them all."""


@functools.cache
def ours(name: str) -> str:
    """Our program under another name, by a symbolic link."""
    folder = Path(tempfile.mkdtemp(prefix="pidone-names-"))
    atexit.register(shutil.rmtree, folder)
    link = folder / name
    link.symlink_to(PIDONE)
    return str(link)


def real(name: str) -> str:
    """The real program of that name; the test is skipped where it is not installed."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def exec_(*options: str) -> list[str]:
    """The front part of a `pidone exec` command line."""
    return [PIDONE, "exec", *options, "--"]


def started(argv: Sequence[str], **kwargs: Any) -> Running:
    """`argv` ending in ECHO, or anything else that says `ready`, once it has said so."""
    run = Running(argv, **kwargs)
    run.expect_line("ready")
    return run


def only_child(run: Running) -> int:
    """The pid of the init's one child, once it has become the command."""

    def executed() -> int | None:
        found = children(run.pid)  # before its name is looked at: the shell that starts it has no children
        own = command_of(run.pid)
        return next((pid for pid in found if command_of(pid) not in (own, "", "?")), None)

    return eventually(executed, "the command")


def close_stdin(run: Running) -> None:
    """Let a command that reads its stdin see the end."""
    assert run.process.stdin is not None
    run.process.stdin.close()


def seen_for(run: Running, number: int) -> list[int]:
    """What an ECHO command gets when `number` is sent to its init."""
    assert run.out is not None
    before = len(run.out)
    run.signal(number)
    if number in (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
        eventually(lambda: state(run.pid) in "TS", "the init to settle")
    run.signal(MARKER)
    lines = run.out
    eventually(lambda: str(MARKER) in list(lines)[before:], f"an answer to signal {number}")
    return [int(line) for line in list(lines)[before:] if int(line) != MARKER]


LIBC_OWN = frozenset({32, 33})
"""Signals that the C library keeps for its threads: whoever started the tests may have left them ignored, by
posix_spawn for one, and nobody can change that through the C library."""


def signals_in(mask: str) -> set[int]:
    """The signals of a hexadecimal mask as /proc/PID/status shows it, without the C library's own."""
    value = int(mask, 16)
    return {number for number in range(1, 65) if value >> (number - 1) & 1} - LIBC_OWN


def signal_sets(pid: int) -> dict[str, set[int]]:
    """The blocked and the ignored signals of a process, from /proc/PID/status."""
    found = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("SigBlk", "SigIgn"):
            found[name] = signals_in(value)
    return found


def inheriting(*, ignored: Sequence[int] = (), blocked: Sequence[int] = ()) -> Callable[[], None]:
    """A preexec_fn that hands these signal sets to the program, and nothing of what Python ignores."""

    def apply() -> None:
        for number in FORWARDABLE:
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    return apply


def outcome(argv: Sequence[str], env: Mapping[str, str] | None = None, **kwargs: Any) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a run that ends by itself, with every pid written as PID."""
    with Running(argv, env=env, **kwargs) as run:
        code = run.wait()
        assert run.out is not None
        assert run.err is not None
        return code, _without_pids(run.out.text()), _without_pids(run.err.text())


def _without_pids(text: str) -> str:
    """Whole words only: the random name of a folder may hold digits as well."""
    return re.sub(r"\b\d{3,}\b", lambda found: "PID" if int(found[0]) > 300 else found[0], text)


class Terminal:
    """A program in a session of its own with a terminal, and somebody who types there."""

    def __init__(self, argv: Sequence[str], **kwargs: Any) -> None:
        self.master, slave = pty.openpty()
        self.run = Running(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            **kwargs,
        )
        os.close(slave)
        self.screen = ""

    def __enter__(self) -> Self:
        self.run.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self.run.__exit__(*details)
        os.close(self.master)

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self.master, text.encode())

    def expect(self, text: str) -> None:
        """Wait until `text` appears, and forget the screen up to there."""
        deadline = time.monotonic() + DEADLINE_S
        while text not in self.screen:
            ready, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} did not appear; on the screen:\n{self.screen}"
            try:
                self.screen += os.read(self.master, 4096).decode(errors="replace")
            except OSError as error:  # EIO: everybody has left
                raise AssertionError(f"{text!r} never appeared; on the screen:\n{self.screen}") from error
        self.screen = self.screen.partition(text)[2]

    def foreground(self) -> int:
        """The terminal's foreground process group."""
        return os.tcgetpgrp(self.master)


def shell() -> Terminal:
    """An interactive shell with job control; its prompt is `$> `, which nobody types."""
    bash = real("bash")
    terminal = Terminal([bash, "--norc", "--noprofile", "-i"], env={"PS1": "$> ", "TERM": "dumb"})
    terminal.expect("$> ")
    return terminal
