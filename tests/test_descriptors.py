"""What close(2) answers undoes nothing: the number is free, and what was done before is done."""

import ast
import errno
import os
import select
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pidone
from pidone.descriptors import close, close_all_but, pipe_to_us
from pidone.ecosystem.files import read_file
from pidone.init import proctree
from pidone.regular import read_regular

RUNTIME = Path(pidone.__file__).parent
BY_THEMSELVES = {
    "descriptors.py": "this is it",
    "importing.py": "what fails there is imported otherwise",
    "init/bare/command.py": "the descriptor of the listing itself is among them",
    "isolation.py": "a name in ps, with or without",
}
"""Who calls os.close, and why it does no harm there. Shims run in apps, without any module of ours."""


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Each close is done, and interrupted, as Linux does it; whose."""
    real, closed = os.close, []

    def interrupt(descriptor: int) -> None:
        closed.append(descriptor)
        real(descriptor)
        raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))

    monkeypatch.setattr(os, "close", interrupt)
    yield closed
    monkeypatch.undo()


@pytest.mark.parametrize("make", [lambda: os.open(os.devnull, os.O_RDONLY), socket.socket, select.epoll])
def test_whatever_is_closed_is_closed(make: Callable[[], int | socket.socket | select.epoll]) -> None:
    """A number, a socket and an epoll; twice is a bug of ours which harms nobody."""
    held = make()
    number = held if isinstance(held, int) else held.fileno()
    close(held)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    close(held)


def test_a_socket_that_says_no_is_closed() -> None:
    """As after a network that has failed: who has started a process beside it keeps the process."""

    class Interrupted(socket.socket):
        def close(self) -> None:
            super().close()
            raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))

    with Interrupted() as held:
        close(held)
        assert held.fileno() < 0


def test_what_was_read_stays_read(tmp_path: Path, interrupted: list[int]) -> None:
    """The ecosystem file, small files of others, who is whose child."""
    file = tmp_path / "file"
    file.write_bytes(b"words")
    assert read_file(file, 99) == b"words"
    assert read_regular(str(file), 99) == b"words"
    process = proctree.read(os.getpid())
    assert process is not None
    assert process.ppid == os.getppid()
    assert len(interrupted) == 3


def test_nobody_closes_by_himself() -> None:
    """One forgotten close and a start is undone, or a message lost: each goes through `descriptors.close`."""
    found = set()
    for file in RUNTIME.rglob("*.py"):
        if file.parent.name == "shim":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.close":
                found.add(str(file.relative_to(RUNTIME)))
    assert found == BY_THEMSELVES.keys()


def test_a_pipe_that_cannot_be_had_whole_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there before the helper that writes into it, so that no helper is left behind."""

    def refuse(_descriptor: int, _blocking: bool) -> None:  # noqa: FBT001 (as os.set_blocking)
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    before = os.listdir("/proc/self/fd")
    with monkeypatch.context() as patch:
        patch.setattr(os, "set_blocking", refuse)
        with pytest.raises(PermissionError):
            pipe_to_us()
    assert os.listdir("/proc/self/fd") == before
    read, write = pipe_to_us()
    assert (os.get_blocking(read), os.get_blocking(write)) == (False, True)
    close(read)
    close(write)


def test_a_child_keeps_what_it_is_to_keep() -> None:
    """And nothing else, whether the numbers follow each other or not; twice the same is once."""
    spare = [os.open("/", os.O_RDONLY) for _ in range(5)]
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        close_all_but(0, 1, 2, spare[2], write, write)
        left = sorted(int(name) for name in os.listdir("/proc/self/fd"))
        os.write(write, repr(left).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    # The listing of the folder has a descriptor of its own, the lowest that is free.
    assert {0, 1, 2, spare[2], write} == set(ast.literal_eval(os.read(read, 1000).decode())) - {3}
    for number in (*spare, read):
        os.close(number)
