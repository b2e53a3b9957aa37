"""What an app uses is what all its processes use, wherever in the tree they are."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import harness
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidone.host.processes import (
    ProcessUsage,
    TreeSampler,
    TreeUsage,
    count_fds,
    cpu_share,
    read_all,
    read_process,
    read_pss,
    tree_memory,
    tree_pss,
)

MIB = 1 << 20
PAGE = os.sysconf("SC_PAGE_SIZE")

GRANDCHILD = """
import os, sys, time
data = bytearray(1)
if os.fork() == 0:
    if os.fork() == 0:
        data = b"x" * (40 << 20)
        os.write(1, b"up\\n")
    time.sleep(600)
time.sleep(600)
"""

SPIN = """
import os, time
if os.fork() == 0:
    end = time.process_time() + 0.3
    while time.process_time() < end: pass
    os._exit(0)
os.wait()
print("up", flush=True)
time.sleep(600)
"""

# Each line in one write: print() takes two with PYTHONUNBUFFERED, and parent and daemon write to one pipe.
DAEMON = """
import os, sys, time
if os.fork() == 0:
    if sys.argv[1] == "setsid":
        os.setsid()
    if os.fork() == 0:
        os.write(1, f"{os.getpid()}\\n".encode())
        time.sleep(600)
    time.sleep(float(sys.argv[2]))
    os._exit(0)
os.wait()
os.write(1, b"reaped\\n")
time.sleep(600)
"""

SHARED = """
import os, time
data = b"x" * (40 << 20)
for _ in range(3):
    if os.fork() == 0:
        time.sleep(600)
print("up", flush=True)
time.sleep(600)
"""


@contextmanager
def running(code: str, *args: str) -> Iterator[harness.Running]:
    """A Python program in a session of its own, all of it killed at the end."""
    with harness.Running([sys.executable, "-c", code, *args], start_new_session=True) as process:
        yield process
        orphans = harness.descendants(process.pid)
    for pid in orphans:
        with suppress(ChildProcessError):  # already waited for by its own parent
            os.waitpid(pid, 0)


def test_a_grandchild_counts() -> None:
    """Memory held two generations down belongs to the app, and the parts are what psutil finds too."""
    with running(GRANDCHILD) as process:
        process.expect_line("up")
        tree = TreeSampler().sample([process.pid])[process.pid]
        expected = [psutil.Process(pid) for pid in (process.pid, *harness.descendants(process.pid))]
        assert {each.pid for each in tree.processes} == {each.pid for each in expected}
        assert tree.root.rss < 40 * MIB < tree.rss
        assert tree.rss == pytest.approx(sum(each.memory_info().rss for each in expected), rel=0.05)
        assert tree.threads == sum(each.num_threads() for each in expected) == 3
        assert count_fds(tree) == sum(each.num_fds() for each in expected)


def test_cpu_time_of_a_finished_child_is_kept() -> None:
    """CPU seconds do not go back when a child ends: its parent has waited for it."""
    with running(SPIN) as process:
        process.expect_line("up")
        assert TreeSampler().sample([process.pid])[process.pid].cpu_s >= 0.29


@pytest.mark.parametrize("session", ["setsid", "same"])
def test_a_daemon_still_belongs_to_its_app(session: str) -> None:
    """A process whose parent is gone keeps its app: remembered from an earlier sample, or by its group."""
    # With a session of its own it can only be remembered, so its parent stays a while for the first sample.
    with running(DAEMON, session, "600" if session == "setsid" else "0") as process:
        assert process.out is not None
        said = process.out  # parent and daemon write to one pipe, in any order
        pid = int(harness.eventually(lambda: [line for line in said if line.isdigit()], "daemon")[0])
        sampler = TreeSampler()
        if session == "setsid":
            assert pid in {each.pid for each in sampler.sample([process.pid])[process.pid].descendants}
            os.kill(harness.children(process.pid)[0], signal.SIGKILL)
        process.expect_line("reaped")
        assert pid in {each.pid for each in sampler.sample([process.pid])[process.pid].descendants}
        assert pid not in harness.descendants(process.pid)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)  # the test adopted it
        assert sampler.sample([process.pid])[process.pid].descendants == ()


def test_a_vanished_root_is_left_out() -> None:
    """Processes that are gone have no usage, and those that live are not disturbed."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert list(TreeSampler().sample([done.pid, os.getpid()])) == [os.getpid()]
    assert read_process(done.pid) is None
    assert read_pss(done.pid) is None


def test_processes_that_vanish_while_sampled_are_ignored() -> None:
    """Sampling a fork storm never raises, and the root is there each time."""
    storm = "trap 'wait; exit 0' TERM; echo up; while :; do /bin/true & /bin/true; wait; done"
    with harness.Running(["sh", "-c", storm], start_new_session=True) as process:
        process.expect_line("up")
        sampler = TreeSampler()
        for _ in range(300):
            tree = sampler.sample([process.pid])[process.pid]
            tree_pss(tree)
            count_fds(tree)
        process.signal(signal.SIGTERM)
        assert process.wait() == 0


def test_shared_pages_are_not_charged_twice() -> None:
    """Forked workers that share 40 MiB sum up to four times that by RSS and once by PSS."""
    with running(SHARED) as process:
        process.expect_line("up")
        tree = TreeSampler().sample([process.pid])[process.pid]
        assert tree.rss > 160 * MIB
        assert tree_pss(tree) < 80 * MIB
        assert tree_memory(tree, threshold=100 * MIB) < 80 * MIB
        assert tree_memory(tree, threshold=None) == tree.rss


def test_two_apps_in_one_pass_and_one_inside_the_other() -> None:
    """A process belongs to the nearest root above it."""
    with running(GRANDCHILD) as process:
        process.expect_line("up")
        inner = harness.children(process.pid)[0]
        trees = TreeSampler().sample([process.pid, inner])
        assert trees[process.pid].descendants == ()
        assert len(trees[inner].descendants) == 1


def proc_tree(root: Path, processes: Mapping[int, str]) -> Path:
    """A /proc with these stat files."""
    for pid, text in processes.items():
        (root / str(pid)).mkdir()
        (root / str(pid) / "stat").write_text(text)
    return root


def stat(pid: int, name: str, ppid: int, *, session: int = 1, rss_pages: int = 10, started: int = 5) -> str:
    """One /proc/PID/stat as of Linux 6."""
    return (
        f"{pid} ({name}) S {ppid} {pid} {session} 0 -1 4194560 1 2 0 0 100 50 25 25 20 0 3 0 {started} 99 "
        f"{rss_pages} 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0"
    )


def test_fields_of_stat(tmp_path: Path) -> None:
    """Parentheses and spaces in a command name shift nothing."""
    processes = read_all(proc_tree(tmp_path, {7: stat(7, "a) R 1 (b", 3, session=6, started=12)}))
    ticks = os.sysconf("SC_CLK_TCK")
    assert processes == {
        7: ProcessUsage(
            pid=7, ppid=3, pgrp=7, session=6, started_ticks=12, rss=10 * PAGE, cpu_s=200 / ticks, threads=3
        )
    }


def test_a_circle_of_parents_ends(tmp_path: Path) -> None:
    """Reused pids can make a circle in one pass; it belongs to nobody and hangs nothing."""
    proc = proc_tree(tmp_path, {8: stat(8, "x", 9), 9: stat(9, "y", 8), 5: stat(5, "z", 1)})
    assert TreeSampler(proc=proc).sample([5])[5].descendants == ()


def test_a_reused_pid_is_another_process(tmp_path: Path) -> None:
    """Memory of who belonged where is by pid and start time."""
    proc = proc_tree(tmp_path, {5: stat(5, "app", 1), 9: stat(9, "child", 5)})
    sampler = TreeSampler(proc=proc)
    assert len(sampler.sample([5])[5].descendants) == 1
    (proc / "9/stat").write_text(stat(9, "stranger", 1, started=77))
    assert sampler.sample([5])[5].descendants == ()


@given(st.binary(max_size=60))
def test_nonsense_in_stat_is_ignored(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """No content of a stat file raises."""
    root = tmp_path_factory.mktemp("proc")
    (root / "4").mkdir()
    (root / "4" / "stat").write_bytes(content)
    assert read_all(root).keys() <= {4}


def test_no_proc_at_all(tmp_path: Path) -> None:
    """Without /proc there are no processes."""
    assert read_all(tmp_path / "nowhere") == {}


def usage(cpu_s: float, at: float, started: int = 1) -> TreeUsage:
    """A tree of one process."""
    process = ProcessUsage(
        pid=1, ppid=0, pgrp=1, session=1, started_ticks=started, rss=1, cpu_s=cpu_s, threads=1
    )
    return TreeUsage(process, (), at)


@pytest.mark.parametrize(
    ("before", "now", "share"),
    [
        (usage(1.0, 10), usage(2.0, 12), 0.5),
        (usage(1.0, 10), usage(5.0, 12), 2.0),
        (usage(3.0, 10), usage(2.0, 12), 0.0),
        (usage(1.0, 10, started=1), usage(2.0, 12, started=2), None),
        (usage(1.0, 10), usage(2.0, 10), None),
        (None, usage(2.0, 10), None),
    ],
)
def test_cpu_share(before: TreeUsage | None, now: TreeUsage, share: float | None) -> None:
    """CPUs used between two samples of the same process; never negative."""
    assert cpu_share(before, now) == share
