"""Reading in a child: nothing blocks, nothing is left, whoever reaps; whatever happens is told."""

import contextlib
import os
import resource
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import children

from pidone.errors import ConfigError, UsageError
from pidone.supervise.run import loading
from pidone.supervise.run.loading import Interrupted, Loading, in_child


def descriptors() -> list[str]:
    """The open descriptors of this process."""
    return sorted(entry.name for entry in Path("/proc/self/fd").iterdir())


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No process and no descriptor outlives a reading."""
    before, others = descriptors(), set(children(os.getpid()))  # of another test of this worker
    yield
    assert set(children(os.getpid())) <= others
    assert descriptors() == before


def spin() -> None:
    """Compute for ever."""
    while True:
        pass


def _after(seconds: float) -> Callable[[], str]:
    def work() -> str:
        time.sleep(seconds)
        return "done"

    return work


def test_what_is_returned_and_raised_arrives() -> None:
    """A child hands over values and the errors that are meant for the user."""
    assert in_child(lambda: {"a": (1, Path("/x"))}) == {"a": (1, Path("/x"))}

    def wrong() -> None:
        raise UsageError("no such option")

    with pytest.raises(UsageError, match="no such option"):
        in_child(wrong)


def test_a_bug_is_one_line() -> None:
    """Whatever else is raised is told with its place, as one error."""
    with pytest.raises(ConfigError, match=r"internal error: ZeroDivisionError: .*test_loading\.py:"):
        in_child(lambda: 1 // 0)


def test_an_answer_that_arrives_in_pieces_is_collected_beside_other_things() -> None:
    """A loop waits for the descriptor and turns meanwhile."""
    reading = Loading(lambda: "x" * 10_000_000)
    os.set_blocking(reading.fd, False)
    turns = 0
    deadline = time.monotonic() + 20
    while not reading.collect():
        turns += 1
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.waitpid(reading.pid, 0)
    assert reading.outcome() == "x" * 10_000_000
    assert turns


def test_somebody_else_may_reap_the_child() -> None:
    """With a reaper that takes every child, a reading needs no exit status."""

    def reaper(*_: object) -> None:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0] > 0:
                pass

    before = signal.signal(signal.SIGCHLD, reaper)
    try:
        assert [in_child(lambda: 7) for _ in range(20)] == [7] * 20
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_the_kernel_may_reap_the_child() -> None:
    """So it is with SIGCHLD ignored."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert in_child(lambda: 7) == 7
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_endless_computing_is_ended_by_cpu_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel ends what computes too long, and the error says what the limit is."""
    monkeypatch.setattr(loading, "CPU_LIMIT_S", 1)
    with pytest.raises(ConfigError, match="takes longer than 1 s of CPU time"):
        in_child(spin)


def test_little_of_a_cpu_is_no_reason_to_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is slow but computes little is waited for, up to the wall clock's limit."""
    monkeypatch.setattr(loading, "CPU_LIMIT_S", 1)
    monkeypatch.setattr(loading, "WALL_LIMIT_S", 30.0)
    assert in_child(_after(1.5)) == "done"


def test_endless_waiting_is_ended_by_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system or a pipe that hangs does not hang the reader for ever."""
    monkeypatch.setattr(loading, "WALL_LIMIT_S", 0.3)
    with pytest.raises(ConfigError, match="takes longer than"):
        in_child(lambda: time.sleep(600))


def test_too_much_memory_is_an_error() -> None:
    """Memory has a limit of its own."""
    with pytest.raises(ConfigError, match="more memory"):
        in_child(lambda: bytearray(loading.MEMORY_LIMIT_BYTES))


def test_a_child_that_is_killed_is_an_error() -> None:
    """So is an end that nobody can explain."""
    reading = Loading(spin)
    os.kill(reading.pid, signal.SIGKILL)
    with pytest.raises(ConfigError):
        reading.wait()


def test_a_stop_is_heard_while_a_reading_hangs() -> None:
    """Who is asked to stop does not wait for a reading that goes on."""
    began = time.monotonic()
    with pytest.raises(Interrupted):
        Loading(lambda: time.sleep(600)).wait(lambda: True)
    assert time.monotonic() - began < 10


def test_a_reading_that_is_nearly_done_outlives_a_stop() -> None:
    """A stop that arrives meanwhile is for those who know what was read."""
    assert Loading(_after(0.2)).wait(lambda: True) == "done"


def test_an_interrupt_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the child too; it comes while that is waited for."""
    monkeypatch.setattr(select, "select", lambda *_: signal.raise_signal(signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            in_child(lambda: time.sleep(600))
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_child_has_default_signals_and_few_descriptors() -> None:
    """A TERM ends it and runs no handler of ours; it holds no port of ours; it can write nothing."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    kept = os.open("/dev/null", os.O_RDONLY)
    try:
        handler, names, sizes, mask = in_child(_look_around)
    finally:
        os.close(kept)
        signal.signal(signal.SIGTERM, before)
    assert handler == signal.SIG_DFL
    assert len(names) <= 5  # the standard ones, the pipe, the folder that was listed
    assert sizes == 0
    assert mask == set()


def _look_around() -> tuple[object, list[str], int, set[int]]:
    return (
        signal.getsignal(signal.SIGTERM),
        descriptors(),
        resource.getrlimit(resource.RLIMIT_FSIZE)[0],
        set(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    )


def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """When fork fails, the error says so and no descriptor is left."""

    def fail() -> int:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fail)
    with pytest.raises(ConfigError, match="no process can be started: Resource temporarily unavailable"):
        in_child(spin)
