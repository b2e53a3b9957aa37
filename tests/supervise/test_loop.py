"""The loop before asyncio: the same calls, the same order, and nothing lost at the hand-over."""

import contextlib
import errno
import fcntl
import itertools
import logging
import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest
from harness import DEADLINE_S, PYTHON

from pidone.init.signals import Deaf
from pidone.supervise.run.loop import EarlyLoop

LONG = 60.0
"""An early time that no test waits for: whatever happens, happens before the hand-over."""


MakeLoop: TypeAlias = Callable[[float], EarlyLoop]


@pytest.fixture
def make_loop() -> Iterator[MakeLoop]:
    """Make loops with an early time; they are closed in the end."""
    with contextlib.ExitStack() as stack:
        yield lambda early_time: stack.enter_context(contextlib.closing(EarlyLoop(early_time)))


def attached(loop: EarlyLoop) -> bool:
    """Whether it is asyncio's loop by now."""
    return loop._real is not None  # nothing else tells, by design


@contextlib.contextmanager
def one_moment(loop: EarlyLoop) -> Iterator[None]:
    """All that is asked for in the block is asked for at the same time, however long that takes."""
    now = loop.time()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "time", lambda: now)
        yield


@pytest.mark.parametrize("early_time", [LONG, 0.0])
def test_callbacks_run_in_order_and_timers_by_their_time(make_loop: MakeLoop, early_time: float) -> None:
    """Before and after the hand-over, callbacks run as they were asked for and timers when they are due."""
    loop = make_loop(early_time)
    seen: list[str] = []
    with one_moment(loop):
        loop.call_later(0.02, seen.append, "late")
        loop.call_later(0.01, seen.append, "early")
        loop.call_soon(seen.append, "first")
        loop.call_soon(seen.append, "second")
        loop.call_later(0.03, loop.stop)
    loop.run_forever()
    assert seen == ["first", "second", "early", "late"]


@pytest.mark.parametrize("early_time", [LONG, 0.0])
def test_a_cancelled_timer_never_runs(make_loop: MakeLoop, early_time: float) -> None:
    """Also if it is cancelled by a callback of the same moment, or after the hand-over."""
    loop = make_loop(early_time)
    seen: list[str] = []
    with one_moment(loop):
        doomed = loop.call_later(0.01, seen.append, "doomed")
        loop.call_soon(doomed.cancel)
        loop.call_later(0.02, loop.stop)
    loop.run_forever()
    assert seen == []


@pytest.mark.parametrize("early_time", [LONG, 0.0])
def test_descriptors_wake_it(make_loop: MakeLoop, early_time: float) -> None:
    """A reader runs when there is something to read, a writer when there is room, neither once removed."""
    loop = make_loop(early_time)
    read, write = os.pipe()
    seen: list[bytes] = []

    def readable() -> None:
        seen.append(os.read(read, 100))
        assert loop.remove_reader(read)
        loop.stop()

    def writable() -> None:
        os.write(write, b"x")
        assert loop.remove_writer(write)

    loop.add_reader(read, readable)
    loop.add_writer(write, writable)
    loop.run_forever()
    assert seen == [b"x"]
    assert not loop.remove_reader(read)
    os.close(read)
    os.close(write)


def test_a_hang_up_reaches_the_reader(make_loop: MakeLoop) -> None:
    """The end of a pipe is something to read."""
    loop = make_loop(LONG)
    read, write = os.pipe()
    os.close(write)
    seen: list[bytes] = []

    def readable() -> None:
        seen.append(os.read(read, 1))
        loop.stop()

    loop.add_reader(read, readable)
    loop.run_forever()
    assert seen == [b""]
    os.close(read)


def test_one_callback_may_remove_the_next_ones_descriptor(make_loop: MakeLoop) -> None:
    """Both are readable in the same turn; the one that was removed meanwhile is not called."""
    loop = make_loop(LONG)
    pipes = [os.pipe() for _ in range(2)]
    called: list[int] = []

    def take(mine: int, other: int) -> None:
        called.append(mine)
        loop.remove_reader(other)
        loop.remove_reader(mine)
        loop.call_later(0.01, loop.stop)

    (first, _), (second, _) = pipes
    loop.add_reader(first, take, first, second)
    loop.add_reader(second, take, second, first)
    for _, write in pipes:
        os.write(write, b"x")
    loop.run_forever()
    assert len(called) == 1
    for pipe in pipes:
        for fd in pipe:
            os.close(fd)


def test_what_only_asyncio_can_do_hands_over_at_once(make_loop: MakeLoop) -> None:
    """A coroutine started in a callback runs, and so does all that was asked for before."""
    loop = make_loop(LONG)
    seen: list[str] = []

    async def work() -> None:
        seen.append("work")
        loop.call_soon(loop.stop)

    def begin() -> None:
        loop.call_soon(seen.append, "asked before")
        loop._attach().create_task(work())
        loop.call_soon(seen.append, "asked after")

    loop.call_soon(begin)
    loop.run_forever()
    assert attached(loop)
    assert sorted(seen) == ["asked after", "asked before", "work"]


def test_a_method_taken_early_works_late(make_loop: MakeLoop) -> None:
    """Whoever keeps `loop.call_later` from before the hand-over still gets a timer after it."""
    loop = make_loop(0.0)
    call_later, call_soon, add_reader, stop = loop.call_later, loop.call_soon, loop.add_reader, loop.stop
    read, write = os.pipe()
    seen: list[str] = []

    def readable() -> None:
        seen.append("read")
        loop.remove_reader(read)
        call_later(0.01, stop)

    def late() -> None:
        if not attached(loop):
            call_soon(late)
            return
        call_soon(seen.append, "soon")
        add_reader(read, readable)
        os.write(write, b"x")

    loop.call_soon(late)
    loop.run_forever()
    assert seen == ["soon", "read"]
    os.close(read)
    os.close(write)


def test_an_error_in_a_callback_is_reported_and_the_loop_goes_on(
    make_loop: MakeLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """As in asyncio: one broken callback does not end the process."""
    loop = make_loop(LONG)
    seen: list[str] = []
    loop.call_soon(lambda: 1 / 0)
    loop.call_soon(seen.append, "next")
    loop.call_soon(loop.stop)
    with caplog.at_level(logging.ERROR):
        loop.run_forever()
    assert seen == ["next"]
    assert "ZeroDivisionError" in caplog.text


def test_asyncio_is_imported_only_after_a_moment() -> None:
    """A loop that is stopped early never imports it; one that goes on does, without ssl."""
    code = """
        import sys
        from pidone.supervise.run.loop import EarlyLoop
        for early_time in (60, 0):
            loop = EarlyLoop(early_time)
            def look():
                done = early_time or "asyncio" in sys.modules
                loop.stop() if done else loop.call_later(0.01, look)
            loop.call_later(0.01, look)
            loop.run_forever()
            print("asyncio" in sys.modules, "ssl" in sys.modules)
    """
    shown = subprocess.run([PYTHON, "-c", textwrap.dedent(code)], capture_output=True, check=True, text=True)
    assert shown.stdout.split() == ["False", "False", "True", "False"], sys.executable


def test_a_loop_that_cannot_be_had_yet_is_asked_for_again(
    make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a descriptor for epoll, readers and timers go on as before; later the real loop takes over."""
    monkeypatch.setattr("pidone.supervise.run.loop.TRY_AGAIN_S", 0.05)
    loop = make_loop(0.0)
    read, write = os.pipe()
    heard: list[bytes] = []
    held: list[int] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def hear() -> None:
        heard.append(os.read(read, 9))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in held:
            os.close(fd)
        loop.call_later(0.2, loop.stop)

    def write_once_told() -> None:
        if "cannot be had yet" in caplog.text:
            os.write(write, b"late")
        else:
            loop.call_later(0.01, write_once_told)

    loop.add_reader(read, hear)
    loop.call_later(0.01, write_once_told)
    loop.call_later(DEADLINE_S, loop.stop)  # nobody tells
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        loop.run_forever()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert heard == [b"late"]
    assert attached(loop)
    assert "the event loop cannot be had yet" in caplog.text
    loop.remove_reader(read)
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("least", [0, 1020, 1024])
def test_a_limit_of_descriptors_that_is_lowered_below_what_is_waited_for(
    make_loop: MakeLoop, least: int
) -> None:
    """poll(2) refuses to look at more than the limit (EINVAL), and select(2) at numbers from 1024 on."""
    loop = make_loop(LONG)
    pipes = [(above(least, read), above(least, write)) for read, write in (os.pipe() for _ in range(4))]
    heard: list[bytes] = []

    def hear(fd: int) -> None:
        heard.append(os.read(fd, 9))
        if len(heard) == len(pipes):
            loop.stop()

    def speak(fd: int) -> None:
        loop.remove_writer(fd)
        os.write(fd, b"x")

    for read, write in pipes:
        loop.add_reader(read, hear, read)
        loop.add_writer(write, speak, write)
    loop.call_later(DEADLINE_S, loop.stop)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        loop.run_forever()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in itertools.chain(*pipes):
            os.close(fd)
    assert heard == [b"x"] * len(pipes)


def above(least: int, fd: int) -> int:
    """The same descriptor by a number that is no lower."""
    if fd >= least:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, least)
    except OSError as error:
        pytest.skip(f"no such number here: {error.strerror}")
    finally:
        os.close(fd)


def test_a_wait_that_is_broken_off_is_not_taken_for_a_limit(make_loop: MakeLoop) -> None:
    """The kernel has refused to tell of a signal, with the very errno of poll(2): nobody may sleep on."""

    def break_off(*_: object) -> None:
        raise Deaf(errno.EINVAL, "refused")

    loop = make_loop(LONG)
    loop.call_later(DEADLINE_S, loop.stop)
    before = signal.signal(signal.SIGALRM, break_off)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(Deaf):
            loop.run_forever()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_asyncio_is_imported_in_several_turns() -> None:
    """Its largest parts come one by one, and what is due has its turn between them."""
    code = """
        import sys
        from pidone.supervise.run.loop import PARTS, EarlyLoop
        before = set(sys.modules)
        loop, seen = EarlyLoop(0.0, 0.0), []
        def look():
            seen.append(["asyncio" in sys.modules, *(part in sys.modules for part in PARTS)])
            loop.stop() if seen[-1][0] else loop.call_soon(look)
        loop.call_soon(look)
        loop.run_forever()
        assert not before & {*PARTS, "asyncio"}
        assert all(sum(after) - sum(now) <= 2 for now, after in zip(seen[:-2], seen[1:-1])), seen
        print([True in now for now in seen].count(False), seen[-2])
    """
    done = subprocess.run(
        [PYTHON, "-I", "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1 [False, True, True]\n"


def test_asyncio_is_not_imported_while_there_is_something_to_do(make_loop: MakeLoop) -> None:
    """Of a hundred apps some start after the early time: they do not wait for imports."""
    loop = make_loop(0.0)
    seen: list[bool] = []

    def look(left: int) -> None:
        seen.append(attached(loop))
        if left:
            loop.call_soon(look, left - 1)
        else:
            loop.call_later(0.001, loop.stop)

    loop.call_soon(look, 20)
    loop.run_forever()
    assert seen == [False] * 21
