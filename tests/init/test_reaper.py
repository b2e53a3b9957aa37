"""The reaper, over real children."""

import itertools
import os
import signal

import harness

from pidone.init.reaper import TURN_S, ExitStatus, Reaper


def child(code: int = 0, *, by: int | None = None) -> int:
    """A child that ends at once."""
    pid = os.fork()
    if pid == 0:
        if by is not None:
            os.kill(os.getpid(), by)
        os._exit(code)
    return pid


def all_dead(*pids: int) -> bool:
    return all(harness.state(pid) in ("Z", "") for pid in pids)


def test_the_owner_hears_code_or_signal() -> None:
    """Exit codes and deaths by signal are told apart."""
    reaper = Reaper()
    heard: dict[str, ExitStatus] = {}
    a, b = child(7), child(by=signal.SIGKILL)
    reaper.watch(a, lambda status: heard.__setitem__("a", status))
    reaper.watch(b, lambda status: heard.__setitem__("b", status))
    harness.eventually(lambda: all_dead(a, b))
    reaper.reap()
    assert heard == {"a": ExitStatus(code=7), "b": ExitStatus(signal=signal.SIGKILL)}
    assert (heard["a"].shell_code, heard["b"].shell_code) == (7, 137)
    assert not reaper.owns(a)


def test_orphans_are_buried_and_counted() -> None:
    """A child nobody watches is reaped all the same."""
    buried: list[int] = []
    reaper = Reaper(buried.append)
    pid = child()
    harness.eventually(lambda: all_dead(pid))
    reaper.reap()
    assert (buried, reaper.orphans) == ([pid], 1)
    assert harness.state(pid) == ""


def test_a_burst_is_reaped_in_turns() -> None:
    """More zombies than one turn has time for: the caller is asked to come back, and none is lost."""
    clock = itertools.count(step=TURN_S / 100)
    reaper = Reaper(now=lambda: next(clock))
    pids = [child() for _ in range(300)]
    harness.eventually(lambda: all_dead(*pids))
    assert reaper.reap()
    assert 0 < reaper.orphans <= 100
    while reaper.reap():
        pass
    assert reaper.orphans == len(pids)


def test_children_that_end_as_fast_as_they_are_restarted() -> None:
    """An owner that starts the next one at once does not keep the caller for ever."""
    clock = itertools.count(step=TURN_S / 10)
    reaper = Reaper(now=lambda: next(clock))
    lives = 0
    is_wanted = True

    def start(_: ExitStatus | None = None) -> None:
        nonlocal lives
        if is_wanted:
            lives += 1
            pid = child()
            reaper.watch(pid, start)
            harness.eventually(lambda: all_dead(pid))

    start()
    assert reaper.reap()
    assert 1 < lives <= 11
    is_wanted = False
    reaper.reap()


def test_a_stop_that_cannot_be_heard_of_reaches_nobody_else() -> None:
    """What hears that a helper was stopped may fail as an owner may: the next child is buried."""

    def fail() -> None:
        raise OSError

    reaper = Reaper()
    failures: list[Exception] = []
    reaper.on_failure = failures.append
    stopped = os.fork()
    if stopped == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    try:
        reaper.watch(stopped, lambda _: None, on_stop=fail)
        harness.eventually(lambda: harness.state(stopped) == "T")
        orphan = child()
        harness.eventually(lambda: all_dead(orphan))
        assert not reaper.reap()
        assert len(failures) == 1
        assert harness.state(orphan) == ""
    finally:
        os.kill(stopped, signal.SIGKILL)
        os.waitpid(stopped, 0)


def test_nothing_to_reap_is_fine() -> None:
    """With no child at all, and with one that lives."""
    reaper = Reaper()
    assert not reaper.reap()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(read, 1)
        os._exit(0)
    assert not reaper.reap()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(read)
    os.close(write)
