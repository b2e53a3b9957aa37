"""A container that gets more or fewer CPUs, or less memory, while it runs: a real group of version 1."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import PIDONE, Running, eventually
from writing import FOREVER, ecosystem, python, shell

CPU = Path("/sys/fs/cgroup/cpu")
MEMORY = Path("/sys/fs/cgroup/memory")
PERIOD = 100_000


@contextlib.contextmanager
def group(hierarchy: Path) -> Iterator[Path]:
    """A group of our own, empty again in the end."""
    folder = hierarchy / f"pidone-resize-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"needs a writable version 1 hierarchy: {error}")
    try:
        yield folder
    finally:
        eventually(lambda: not (folder / "cgroup.procs").read_text(), "the group to be empty")
        folder.rmdir()


@pytest.fixture
def cpus(root: None) -> Iterator[Path]:
    """The file of a quota, of one CPU at first, where two can be had."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two CPUs")
    with group(CPU) as folder:
        quota = folder / "cpu.cfs_quota_us"
        quota.write_text(str(PERIOD))
        yield quota


def inside(folder: Path, file: str, **more: str) -> Running:
    """Run pidone as a member of the group."""
    enter = f'echo $$ > {folder}/cgroup.procs && exec "$0" "$1"'
    return Running(["sh", "-c", enter, PIDONE, file], env=more)


def test_max_follows_the_quota_up_and_down(tmp_path: Path, cpus: Path) -> None:
    """More CPUs start more instances beside those that serve; fewer stop the newest; never below one."""
    file = ecosystem(tmp_path, shell("a", FOREVER, instances="max", ready_delay="10ms"))
    with inside(cpus.parent, file) as run:
        assert run.expect(event="runtime.start")["cpus"] == 1
        run.expect(event="instance.online")
        for count, quota in ((2, 2 * PERIOD), (1, PERIOD // 10), (2, -1)):
            before = len(run.find(event="app.scale"))
            cpus.write_text(str(quota))
            told = run.expect(event="app.scale", count=before + 1)
            assert (told["instances"], told["previous"]) == (count, 3 - count)
            assert f"may use {count} CPUs instead of {3 - count}" in told["message"]
            what = "instance.online" if count == 2 else "instance.exit"
            run.expect(event=what, instance=1, count=1 + before // 2)
        assert len(run.find(event="host.resize", resource="cpus")) == 3
        assert not run.find(event="instance.exit", instance=0)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_what_is_pinned_fixed_or_scaled_by_hand_stays(tmp_path: Path, cpus: Path) -> None:
    """Only `max` follows, and only where nobody has said otherwise, also when the file is read again."""
    quick = {"ready_delay": "10ms"}
    file = ecosystem(
        tmp_path,
        shell("pinned", FOREVER, instances="max", max_follows=False, **quick),
        shell("fixed", FOREVER, instances=3, **quick),
        shell("follows", FOREVER, instances=0, **quick),
    )
    with inside(cpus.parent, file) as run:
        run.expect(event="instance.online", app="follows")
        cpus.write_text(str(2 * PERIOD))
        run.expect(event="instance.online", app="follows", instance=1)
        run.signal(signal.SIGHUP)
        assert run.expect(event="config.reload")["unchanged"] == 3
        assert {told["app"] for told in run.find(event="app.scale")} == {"follows"}
        assert not run.find(event="instance.start", app="pinned", instance=1)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_where_nothing_can_be_watched_the_samples_do(tmp_path: Path, cpus: Path) -> None:
    """inotify's instances may be used up; the limits are looked at beside the memory samples then."""
    file = ecosystem(
        tmp_path, shell("a", FOREVER, instances="max", max_memory_restart="1G", ready_delay="10ms")
    )
    # This limit is that of the namespace of users, which is our own: nobody else goes without.
    enter = (
        f'echo $$ > {cpus.parent}/cgroup.procs; echo 0 > /proc/sys/user/max_inotify_instances; exec "$0" "$1"'
    )
    with Running(["unshare", "--user", "--map-root-user", "sh", "-c", enter, PIDONE, file]) as run:
        run.expect(event="instance.online")
        assert "beside memory samples only" in run.expect(event="config.notice")["message"]
        cpus.write_text(str(2 * PERIOD))
        run.expect(event="instance.online", instance=1)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


GROWS = """
import time
print("up", flush=True)
time.sleep(1.2)  # longer than min_uptime
kept = []
while True:
    kept.append(bytearray(b"x") * (20 << 20))
    time.sleep(0.02)
"""


def test_a_share_of_the_memory_follows(tmp_path: Path, root: None) -> None:
    """An event says why, and what makes no sense any more is told."""
    keys = {"max_memory_restart": "80%", "memory_soft_limit": "100M", "memory_interval": "0.1s"}
    with group(MEMORY) as folder:
        limit = folder / "memory.limit_in_bytes"
        limit.write_text(str(400 << 20))
        file = ecosystem(tmp_path, shell("a", FOREVER, ready_delay="10ms", **keys))
        with inside(folder, file) as run:
            run.expect(event="instance.online")
            assert not run.find(event="config.warning")
            run.expect(event="control.listening")  # the first sample has been taken by then, or comes now
            limit.write_text(str(120 << 20))
            told = run.expect(event="host.resize", resource="memory")
            assert (told["previous"], told["now"]) == (400 << 20, 120 << 20)
            assert "120 MiB of memory instead of 400 MiB" in told["message"]
            warned = run.expect(event="config.warning", app="a")["message"]
            assert "is not below max_memory_restart (96 MiB)" in warned
            run.signal(signal.SIGTERM)
            assert run.wait() == 0


def test_kills_for_want_of_memory_come_slower_and_slower(tmp_path: Path, root: None) -> None:
    """Each time after min_uptime, so max_restarts does not count: 1 s, 2 s, 4 s; told once."""
    with group(MEMORY) as folder:
        (folder / "memory.limit_in_bytes").write_text(str(100 << 20))
        with inside(folder, ecosystem(tmp_path, python(tmp_path, "a", GROWS, ready="log:up"))) as run:
            run.expect(event="instance.backoff", count=2)
            assert [told["delay_s"] for told in run.find(event="instance.backoff")][:2] == [1, 2]
            (told,) = run.find(event="instance.flapping")
            assert "OOM killer" in told["message"]
            assert "restarts wait longer and longer" in told["message"]
            run.signal(signal.SIGTERM)
            assert run.wait() == 0
