"""A probe that was answered in time has not failed, although the runtime was away when the answer came."""

import asyncio
import errno
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from pidone.ecosystem.spec import AppSpec, Probe
from pidone.init.reaper import Reaper
from pidone.listen.readiness.probes import NotLooked, check_of, look, until_failed
from pidone.supervise.deadline import DeadlineClock
from pidone.supervise.process.commands import Commands

TIMEOUT = 1.0
POLL = 0.001


class Server:
    """It answers one request, as soon as it may."""

    def __init__(self, server: socket.socket) -> None:
        self.probe = Probe(http=f"http://127.0.0.1:{server.getsockname()[1]}/")
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        self.answered = threading.Event()
        self._socket = server

    def serve(self) -> None:
        client, _ = self._socket.accept()
        with closing(client):
            client.recv(4096)
            self.asked.set()
            self.may_answer.wait()
            client.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            self.answered.set()


@contextmanager
def server() -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        it = Server(listening)
        thread = threading.Thread(target=it.serve, daemon=True)
        thread.start()
        yield it
        thread.join()


def looked(
    probe: Probe, is_time_to_stop: Callable[[], bool], meanwhile: Callable[[], object], *, turns: int = 0
) -> str:
    """Look once. From a moment on, the loop stands still until the time for an answer is over.

    `meanwhile` happens then, or so many turns later.
    """
    reaper = Reaper()
    check = check_of(probe, AppSpec(name="app", argv=("app",)), None, Commands(reaper, {}).run)

    async def run() -> str:
        loop = asyncio.get_running_loop()

        def stand_still() -> None:
            if not is_time_to_stop():
                loop.call_later(POLL, stand_still)
                return
            go_on(turns)
            time.sleep(1.5 * TIMEOUT)

        def go_on(left: int) -> None:
            if left:
                loop.call_soon(go_on, left - 1)
            else:
                meanwhile()

        loop.call_soon(stand_still)
        deadlines = DeadlineClock(loop, reaper.reap)
        return await look(check, TIMEOUT, deadlines)

    return asyncio.run(run())


def test_an_answer_counts_that_came_while_nobody_ran() -> None:
    """The runtime was stopped, or had no CPU, before it could read it."""

    def answer() -> None:
        it.may_answer.set()
        it.answered.wait()

    with server() as it:
        assert looked(it.probe, it.asked.is_set, answer) == ""


def test_who_could_not_be_asked_has_not_failed() -> None:
    """The time was up before the request was sent."""
    with server() as it:
        assert looked(it.probe, lambda: True, it.may_answer.set, turns=5) == ""


def test_a_command_counts_that_ended_while_nobody_ran() -> None:
    """It ended well, and nobody had buried it yet."""

    def wait_for_its_end() -> None:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)

    assert looked(Probe(exec=("true",)), lambda: True, wait_for_its_end) == ""


def test_no_answer_is_one() -> None:
    """Whoever is not there does not gain by it for long."""
    with server() as it:
        assert looked(it.probe, lambda: True, lambda: None) == f"no answer within {TIMEOUT:g} s"
        it.may_answer.set()


def test_a_look_for_which_there_are_no_means_convicts_nobody() -> None:
    """It counts neither as a failure nor as a success: the app may be well."""
    lacking = [OSError(errno.EMFILE, "pipes"), OSError(errno.EAGAIN, "fork")]
    answers: list[OSError | str] = ["bad", *lacking * 3, "", "bad", lacking[0], "bad"]
    counted: list[int] = []

    async def check() -> str:
        answer = answers[len(counted)]
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def watch() -> None:
        probe, clock = (
            Probe(http="/", interval=0.001, failures=2),
            DeadlineClock(asyncio.get_running_loop(), Reaper().reap),
        )
        failed: list[str] = []
        await until_failed(
            probe, check, failed.append, lambda _what, _why, count: counted.append(count), clock
        )
        assert len(failed) == 1

    asyncio.run(watch())
    assert counted == [1, *[1] * 6, 0, 1, 1, 2]


def test_a_command_for_which_there_are_no_means_has_not_failed() -> None:
    """As of an exec probe: no process can be had for it."""
    app, reaper = AppSpec(name="app", argv=("app",), cwd="/"), Reaper()

    async def run() -> str:
        check = check_of(Probe(exec=("/bin/true",)), app, None, Commands(reaper, {}).attempt)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            return await look(check, TIMEOUT, DeadlineClock(asyncio.get_running_loop(), Reaper().reap))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert isinstance(asyncio.run(run()), NotLooked)
