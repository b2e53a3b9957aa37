"""The kernel's side of `share = "kernel"`: what a program meets whose bind() is answered by us."""

import contextlib
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator

import pytest
from harness import DEADLINE_S, eventually

from pidone.descriptors import close
from pidone.listen.kernel import seccomp
from pidone.listen.kernel.share import MOST_SOCKETS, remember

pytestmark = pytest.mark.skipif(not seccomp.is_known(), reason="takes Linux 5.9 on x86-64 or arm64")


@contextlib.contextmanager
def asked(program: Callable[[socket.socket], None]) -> Iterator[tuple[int, int, socket.socket]]:
    """A child that is asked about, its filter's listener, and the other end of what `program` is given."""
    install = seccomp.prepare()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        try:
            listener = install()
            socket.send_fds(theirs, [b"0"], [listener])
            os.close(listener)
            program(theirs)
        except BaseException as error:  # noqa: BLE001 (the test reads it)
            theirs.send(repr(error).encode())
        os._exit(0)
    theirs.close()
    ours.settimeout(DEADLINE_S)
    try:
        _, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
        yield pid, listener, ours
        close(listener)
    finally:
        ours.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def bind_with_a_handler(parent: socket.socket) -> None:
    """As Python's and many other programs' handlers: the system call under way is not begun anew."""
    signal.signal(signal.SIGUSR1, lambda *_: None)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
    parent.send(b"bound")


def received(listener: int) -> seccomp.Call:
    """The next call."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    assert poll.poll(DEADLINE_S * 1000)
    call = seccomp.receive(listener)
    assert call is not None
    return call


@pytest.mark.skipif(not seccomp.is_at_least(5, 19), reason="takes Linux 5.19")
def test_a_signal_meanwhile_is_no_failure() -> None:
    """bind() never fails with EINTR, and no program expects that it does."""
    with asked(bind_with_a_handler) as (pid, listener, said):
        call = received(listener)
        os.kill(pid, signal.SIGUSR1)
        eventually(lambda: _is_pending_or_gone(pid, listener, call), "the signal's arrival")
        seccomp.let_go(listener, call.id)
        assert said.recv(1000) == b"bound"


def _is_pending_or_gone(pid: int, listener: int, call: seccomp.Call) -> bool:
    """Whether the signal waits for the end of the call, or has ended it."""
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    is_pending = any(int(fields[name], 16) >> (signal.SIGUSR1 - 1) & 1 for name in ("SigPnd", "ShdPnd"))
    return is_pending or not seccomp.is_waiting(listener, call.id)


def test_a_program_that_opens_without_end_is_not_remembered_without_end() -> None:
    """The oldest sockets are forgotten; one that is used again is no further one."""
    known: dict[int, str] = {}
    for inode in range(MOST_SOCKETS + 10):
        remember(known, inode, "new")
    remember(known, 10, "again")
    assert len(known) == MOST_SOCKETS
    assert (min(known), known[10], max(known)) == (10, "again", MOST_SOCKETS + 9)
