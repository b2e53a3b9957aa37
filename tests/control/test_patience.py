"""Whom a listener hangs up on: who is slow himself, and not whom a slow runtime has kept waiting."""

import asyncio
import errno
import json
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Never, cast

import pytest

from pidone.control.http.connection import REQUEST_TIME
from pidone.control.http.listener import Listener
from pidone.control.http.messages import Request, Response


class TurnedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock is turned by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        super().__init__()

    def time(self) -> float:
        return self.now

    def turn(self, seconds: float) -> None:
        """The clock goes on at one stroke, and what is due is done."""
        self.now += seconds
        for _ in range(5):
            self.call_soon(self.stop)
            self.run_forever()


class Served:
    """A listener on a unix socket."""

    def __init__(self, folder: Path) -> None:
        self.loop = TurnedLoop()
        self.path = str(folder / "s")
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(self.path)
        sock.listen()
        sock.setblocking(False)
        nothing = cast("Callable[..., Any]", lambda *_: None)
        self.listener = Listener(sock, loop=self.loop, handle=nothing, on_bug=nothing, on_full=nothing)
        self.listener.open()

    def client(self) -> socket.socket:
        """One that is taken in, and says the half of a request."""
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.path)
        client.sendall(b"GET /livez HTTP/1.1\r\n")
        self.loop.turn(0)
        client.setblocking(False)
        return client


def is_hung_up_on(client: socket.socket) -> bool:
    """Whether the other end is closed."""
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(("step", "is_gone"), [(1.0, True), (60.0, False)])
def test_lost_time_is_nobodys_fault(tmp_path: Path, step: float, *, is_gone: bool) -> None:
    """Seconds that pass one by one count; a minute in which the runtime did not run at all does not."""
    served = Served(tmp_path)
    client = served.client()
    served.loop.turn(0.9)
    for _ in range(int(REQUEST_TIME) + 2 if is_gone else 1):
        served.loop.turn(step)
    try:
        assert is_hung_up_on(client) is is_gone
    finally:
        client.close()
        served.listener.close()
        served.loop.turn(0)
        served.loop.close()


def test_a_late_turn_does_not_pardon_for_ever(tmp_path: Path) -> None:
    """After it the client has what was left of its time."""
    served = Served(tmp_path)
    client = served.client()
    served.loop.turn(60.0)
    for _ in range(int(REQUEST_TIME) + 2):
        served.loop.turn(1.0)
    try:
        assert is_hung_up_on(client)
    finally:
        client.close()
        served.listener.close()
        served.loop.turn(0)
        served.loop.close()


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (
            OSError(errno.EMFILE, "Too many open files", "/some/module.py"),
            503,
            "refuses: Too many open files",
        ),
        (MemoryError(), 503, "refuses: MemoryError"),
        (KeyError("x"), 500, "a bug in pidone; its log says more"),
    ],
    ids=["descriptors", "memory", "bug"],
)
def test_a_request_for_which_there_are_no_means(error: Exception, status: int, words: str) -> None:
    """That is no bug of ours, and says so; which module could not be read is nobody's business."""

    def handle(_request: object) -> Never:
        raise error

    told: list[Exception] = []
    loop, nothing = TurnedLoop(), cast("Callable[..., Any]", lambda *_: None)
    with socket.socket(socket.AF_UNIX) as sock, closing(loop):
        listener = Listener(sock, loop=loop, handle=handle, on_bug=told.append, on_full=nothing)
        answer = listener.answer(cast("Request", None))
    assert isinstance(answer, Response)
    assert answer.status == status
    assert json.loads(answer.body)["error"].endswith(words)
    assert told == [error]
