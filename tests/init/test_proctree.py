"""The process tree, read while real processes come and go."""

import errno
import io
import os
import signal
from collections.abc import Callable

import pytest
from harness import Running, alive, eventually
from hypothesis import given
from hypothesis import strategies as st

from pidone.init import proctree
from pidone.init.proctree import ProcessInfo

TREE = "sh -c 'sleep 60 & setsid sleep 60 & wait' & wait"


def grown(root: int) -> list[int]:
    """The four descendants of the shell that runs TREE, once they are there and in place."""
    return eventually(
        lambda: (
            found
            if len(found := proctree.descendants(root)) == 3
            and len({process.session for pid in found if (process := proctree.read(pid))}) == 2
            else None
        ),
        "the tree to grow",
    )


@pytest.mark.parametrize("source", [lambda: None, proctree.snapshot])
def test_descendants_are_found_wherever_they_moved(
    source: Callable[[], dict[int, ProcessInfo] | None],
) -> None:
    """Parents come before children, and a new session does not hide a descendant."""
    with Running(["sh", "-c", TREE]) as shell:
        grown(shell.pid)
        found = proctree.descendants(shell.pid, source())
        assert len(found) == 3
        assert proctree.children(shell.pid) == found[:1]
        assert sorted(proctree.children(found[0])) == sorted(found[1:])


def test_members_of_a_group_and_of_a_session() -> None:
    """A group and a session are listed from one snapshot, without those who left."""
    with Running(["sh", "-c", TREE], start_new_session=True) as shell:
        everyone = {shell.pid, *grown(shell.pid)}
        processes = proctree.snapshot()
        escapee = next(pid for pid in everyone if processes[pid].session != shell.pid)
        assert set(proctree.members(processes, session=shell.pid)) == everyone - {escapee}
        assert set(proctree.members(pgrp=shell.pid)) == everyone - {escapee}
        assert proctree.members(processes, session=escapee) == [escapee]
        assert proctree.members(processes, session=shell.pid, pgrp=escapee) == []


def test_a_kernel_without_the_children_file_is_served_by_a_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc/PID/task/TID/children does not exist, parents are compared instead."""
    real_exists = os.path.exists
    monkeypatch.setattr(proctree, "open", _without_children_files, raising=False)
    monkeypatch.setattr(os.path, "exists", lambda path: "children" not in str(path) and real_exists(path))
    with Running(["sh", "-c", TREE]) as shell:
        assert len(grown(shell.pid)) == 3


def _without_children_files(path: str, *args: object, **kwargs: object) -> object:
    if path.endswith("/children"):
        raise FileNotFoundError(path)
    return io.open(path, *args, **kwargs)  # type: ignore[call-overload] # noqa: UP020 - stands in for it


def test_a_process_that_is_gone_is_nothing_special() -> None:
    """A pid without a process has no entry, no children, no descendants, and cannot be signalled."""
    with Running(["sleep", "60"]) as sleeper:
        process = proctree.read(sleeper.pid)
        assert process is not None
    assert proctree.read(sleeper.pid) is None
    assert proctree.children(sleeper.pid) == []
    assert proctree.descendants(sleeper.pid) == []
    assert process.send(signal.SIGTERM) is False


def test_a_signal_reaches_the_process_it_was_meant_for() -> None:
    """`send` ends the very process of the snapshot."""
    with Running(["sleep", "60"]) as sleeper:
        process = eventually(lambda: proctree.read(sleeper.pid))
        assert process.send(signal.SIGTERM) is True
        assert sleeper.wait() == 128 + signal.SIGTERM


def test_without_pidfds_signals_are_sent_by_pid(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a kernel or in a sandbox without pidfd_open(2) the start time is still compared."""
    monkeypatch.setattr(os, "pidfd_open", _not_implemented)
    with Running(["sleep", "60"]) as sleeper:
        process = eventually(lambda: proctree.read(sleeper.pid))
        process.start_ticks -= 1
        assert process.send(signal.SIGKILL) is False
        process.start_ticks += 1
        assert process.send(signal.SIGTERM) is True
        assert sleeper.wait() == 128 + signal.SIGTERM


def _not_implemented(*_: object) -> int:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def test_a_reused_pid_is_not_hit() -> None:
    """A process with the same pid but another start time is left alone."""
    with Running(["sleep", "60"]) as sleeper:
        process = eventually(lambda: proctree.read(sleeper.pid))
        process.start_ticks -= 1
        assert process.send(signal.SIGKILL) is False
        assert alive(sleeper.pid)


def test_a_name_may_hold_anything() -> None:
    """Parentheses, blanks and newlines in a program's name do not shift the fields."""
    code = "import os; open('/proc/self/comm', 'w').write('a) R 1 2\\n(b'); print(os.getpid()); input()"
    with Running(["python3", "-uc", code], stdin=-1) as odd:
        pid = int(odd.expect_line(""))
        process = proctree.read(pid)
        assert process is not None
        assert (process.pid, process.ppid, process.pgrp) == (pid, os.getpid(), os.getpgrp())
        assert not process.is_dead
        assert odd.process.stdin is not None
        odd.process.stdin.close()
        eventually(lambda: process if (now := proctree.read(pid)) and now.is_dead else None, "a zombie")
        assert odd.wait() != 0


@given(
    name=st.binary(max_size=15).filter(lambda name: b"\0" not in name),
    numbers=st.lists(st.integers(-1, 2**31), min_size=48, max_size=48),
    pid=st.integers(1, 2**22),
)
def test_parsing_survives_any_name(name: bytes, numbers: list[int], pid: int) -> None:
    """Whatever the name, the numbers after it are read from their places."""
    line = b"%d (%b) S %b\n" % (pid, name, b" ".join(b"%d" % number for number in numbers))
    process = proctree.parse_stat(line)
    assert (process.pid, process.state) == (pid, "S")
    assert [process.ppid, process.pgrp, process.session, process.start_ticks] == [*numbers[:3], numbers[18]]
