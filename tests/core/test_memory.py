"""Memory limits from outside: leaks are replaced, whatever leaks and however the app serves."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import DEADLINE_S, PIDONE, Running, alive, descendants, eventually, pidone
from writing import FOREVER, ecosystem, python, shell

LEAK = """
import sys, time
print("up", flush=True)
kept = []
while True:
    kept.append(bytearray(b"x") * (5 << 20))
    time.sleep(0.1)
"""
GRANDCHILD = """
import subprocess, sys, time
middle = "import subprocess, sys; subprocess.call([sys.executable, sys.argv[1]])"
helper = subprocess.Popen([sys.executable, "-c", middle, sys.argv[1]])
print("up", flush=True)
time.sleep(1000)
"""
HOLD = """
import time
kept = bytearray(b"x") * (60 << 20)
print("up", flush=True)
time.sleep(1000)
"""
SHRINKS = """
import signal, time
kept = bytearray(b"x") * (60 << 20)
def free(number, frame):
    global kept
    kept = None
    print("freed", flush=True)
signal.signal(signal.SIGUSR2, free)
print("up", flush=True)
while True:
    time.sleep(0.05)
"""
SERVES = """
import os, select, signal, socket, threading, time
listening = socket.socket(fileno=3)
listening.setblocking(False)
kept, ended = [], []
signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
def leak():
    while True:
        kept.append(bytearray(b"x") * (5 << 20))
        time.sleep(0.1)
threading.Thread(target=leak, daemon=True).start()
print("up", flush=True)
while not ended:
    select.select([listening], [], [], 0.05)
    try:
        connection, _ = listening.accept()
    except BlockingIOError:
        continue
    connection.setblocking(True)
    connection.sendall(str(os.getpid()).encode())
    connection.close()
"""
_LIMIT = {"max_memory_restart": "100M", "ready": "log:up"}


def stop(run: Running) -> None:
    """End in order."""
    run.signal(signal.SIGTERM)
    assert run.wait() == 0


def test_a_leak_is_replaced(tmp_path: Path) -> None:
    """50 MB/s against a limit of 100 MB: each life ends soon after it crosses, and another one begins."""
    with pidone(ecosystem(tmp_path, python(tmp_path, "a", LEAK, **_LIMIT))) as run:
        run.expect(event="app.reloaded", reason="max_memory_restart", count=2)
        for told in run.find(event="instance.memory"):
            assert 95 << 20 <= told["rss_bytes"] < 250 << 20
            assert "max_memory_restart is 100 MiB" in told["message"]
        assert not run.find(event="instance.errored")
        stop(run)


def test_a_leak_in_a_grandchild_is_caught(tmp_path: Path) -> None:
    """The limit is for the whole tree, and the whole tree is replaced."""
    leak = tmp_path / "leak.py"
    leak.write_text(LEAK)
    app = python(tmp_path, "a", GRANDCHILD, args=[str(leak)], **_LIMIT)
    with pidone(ecosystem(tmp_path, app)) as run:
        main = run.expect(event="instance.start")["pid"]
        below = eventually(lambda: descendants(main)[1:], "the process below its child, which leaks")
        run.expect(event="app.reloaded", reason="max_memory_restart")
        eventually(lambda: not any(map(alive, [main, *below])), "the whole of the first tree to end")
        stop(run)


def test_only_the_main_process_counts_where_that_is_asked(tmp_path: Path) -> None:
    """PM2's way: `memory_scope = "process"` does not see the children."""
    leak = tmp_path / "leak.py"
    leak.write_text(LEAK)
    app = python(tmp_path, "a", GRANDCHILD, args=[str(leak)], memory_scope="process", **_LIMIT)
    with pidone(ecosystem(tmp_path, app)) as run:
        run.expect(event="instance.online")
        eventually(lambda: tree_rss(run.pid) > 160 << 20, "the leak to pass the limit")
        assert not run.find(event="instance.memory")
        stop(run)


def tree_rss(pid: int) -> int:
    """Resident bytes below a process."""
    total = 0
    for child in descendants(pid):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{child}/statm").read_text().split()[1]) * 4096
    return total


def test_a_server_is_replaced_without_a_gap(tmp_path: Path, port: int) -> None:
    """The successor is ready before the old one is told to stop; every connection is answered."""
    app = python(tmp_path, "a", SERVES, listen=[f"127.0.0.1:{port}"], **_LIMIT)
    with pidone(ecosystem(tmp_path, app)) as run:
        run.expect(event="instance.online")
        answers: set[bytes] = set()
        while len(answers) < 3:
            with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as connection:
                answers.add(connection.recv(100))
                assert b"" not in answers
        names = [r["event"] for r in run.records if r.get("event") in ("instance.online", "instance.stop")]
        assert names[:3] == ["instance.online", "instance.online", "instance.stop"]
        stop(run)


def test_the_soft_limit_asks_first(tmp_path: Path) -> None:
    """The app is sent its signal; usage before and after is told; nothing is replaced."""
    app = python(
        tmp_path,
        "a",
        SHRINKS,
        memory_soft_limit="50M",
        memory_soft_action="SIGUSR2",
        max_memory_restart="200M",
        ready="log:up",
        memory_interval="0.2s",
    )
    with pidone(ecosystem(tmp_path, app)) as run:
        run.expect_line("freed")
        told = run.expect(event="instance.memory_softened")
        assert told["before_bytes"] > 60 << 20
        assert told["after_bytes"] < 40 << 20
        assert not run.find(event="instance.memory")
        stop(run)


def test_a_soft_limit_without_a_channel_says_so(tmp_path: Path) -> None:
    """The IPC message cannot reach a program that has no IPC."""
    app = python(tmp_path, "a", HOLD, memory_soft_limit="50M", ready="log:up", memory_interval="0.2s")
    with pidone(ecosystem(tmp_path, app)) as run:
        assert "no IPC channel" in run.expect(event="instance.memory_soft")["message"]
        stop(run)


def test_a_limit_below_the_start_is_given_up(tmp_path: Path) -> None:
    """No endless recycle: it ends as a crash loop does, with the reason."""
    app = python(tmp_path, "a", HOLD, max_memory_restart="30M", ready="log:up", memory_interval="0.1s")
    with pidone(ecosystem(tmp_path, app)) as run:
        assert run.wait(60) == 75
        assert "right after its start, above its max_memory_restart of 30 MiB" in run.records[-1]["message"]
        assert len(run.find(event="instance.start")) < 8


def test_a_soft_limit_above_the_hard_one_is_refused(tmp_path: Path) -> None:
    """It would never be heard."""
    with pidone(
        ecosystem(tmp_path, shell("a", "true", max_memory_restart="50M", memory_soft_limit="60M"))
    ) as run:
        assert run.wait() == 78
        assert run.err is not None
        assert "memory_soft_limit (60M) is above max_memory_restart (50M)" in run.err.text()


def test_a_limit_above_the_container_is_told(tmp_path: Path) -> None:
    """The kernel would be first."""
    with pidone(ecosystem(tmp_path, shell("a", FOREVER, max_memory_restart="4000G"))) as run:
        assert "above what the container has" in run.expect(event="config.warning")["message"]
        stop(run)


@pytest.mark.parametrize("interval", [0, "10ms"])
def test_an_interval_that_leaves_no_time_is_refused(tmp_path: Path, interval: object) -> None:
    """Measuring without a pause would take a whole CPU."""
    with pidone(
        ecosystem(tmp_path, shell("a", "true", max_memory_restart="50M", memory_interval=interval))
    ) as run:
        assert run.wait() == 78
        assert run.err is not None
        assert "memory_interval must be 50ms or more" in run.err.text()


# -- a container's limit (cgroup v1, where the tests may make one) ------------------------------------------


@pytest.fixture
def small_box(root: None) -> Iterator[Path]:
    """A memory group with a limit of 160 MiB."""
    own = next(
        (
            line.split(":", 2)[2]
            for line in Path("/proc/self/cgroup").read_text().splitlines()
            if ":memory:" in line
        ),
        None,
    )
    parent = Path(f"/sys/fs/cgroup/memory{own}")
    if own is None or not os.access(parent / "cgroup.procs", os.W_OK):
        pytest.skip("needs a writable memory cgroup, version 1")
    folder = parent / f"pidone-test-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / "memory.limit_in_bytes").write_text(str(160 << 20))
        yield folder
    finally:
        eventually(lambda: not (folder / "cgroup.procs").read_text(), "the group to be empty")
        folder.rmdir()


def boxed(folder: Path, file: str) -> Running:
    """Run pidone inside the group."""
    enter = f'echo $$ > {folder}/cgroup.procs && exec "$0" "$1"'
    return Running(["sh", "-c", enter, PIDONE, file])


def test_an_oom_kill_is_recognised(tmp_path: Path, small_box: Path) -> None:
    """The kernel was faster than anybody: the reason of the exit says so."""
    with boxed(small_box, ecosystem(tmp_path, python(tmp_path, "a", LEAK, ready="log:up"))) as run:
        told = run.expect(event="instance.exit", signal="SIGKILL")
        assert "OOM killer" in told["reason"]
        assert "160 MiB" in told["reason"]
        stop(run)


def test_an_ordinary_sigkill_is_not_called_oom(tmp_path: Path, small_box: Path) -> None:
    """Somebody else's SIGKILL is only that."""
    with boxed(
        small_box, ecosystem(tmp_path, shell("a", "sleep 1; kill -KILL $$", autorestart=False))
    ) as run:
        assert run.wait() == 137
        assert "OOM" not in run.find(event="instance.exit")[0]["reason"]


def test_an_oom_kill_of_a_helper_is_told(tmp_path: Path, small_box: Path) -> None:
    """The main process lives on: no exit would tell."""
    parent = f"""
import subprocess, sys, time
print("up", flush=True)
subprocess.call([sys.executable, "-c", {LEAK!r}])
time.sleep(1000)
"""
    app = python(tmp_path, "a", parent, ready="log:up", max_memory_restart="4G", memory_interval="0.2s")
    with boxed(small_box, ecosystem(tmp_path, app)) as run:
        assert run.expect(event="runtime.oom")["processes"] == 1
        stop(run)


def test_a_share_of_the_container(tmp_path: Path, small_box: Path) -> None:
    """`"50%"` of 160 MiB."""
    app = python(tmp_path, "a", LEAK, ready="log:up", max_memory_restart="50%")
    with boxed(small_box, ecosystem(tmp_path, app)) as run:
        assert run.expect(event="instance.memory")["limit_bytes"] == 80 << 20
        stop(run)


def test_the_guard_is_faster_than_the_kernel(tmp_path: Path, small_box: Path) -> None:
    """The largest instance is replaced before the container is full."""
    slow: dict[str, Any] = {"ready": "log:up"}
    apps = [
        python(tmp_path, "leaks", LEAK.replace("0.1", "0.4"), **slow),
        python(tmp_path, "quiet", "import time; print('up', flush=True); time.sleep(1000)", **slow),
    ]
    with boxed(small_box, ecosystem(tmp_path, *apps, runtime={"memory_guard": "60%"})) as run:
        told = run.expect(event="instance.memory")
        assert told["app"] == "leaks"
        assert "memory_guard is 96 MiB" in told["message"]
        run.expect(event="instance.start", app="leaks", count=2)
        assert not run.find(signal="SIGKILL")
        stop(run)


def test_a_guard_above_the_container_is_told(tmp_path: Path, small_box: Path) -> None:
    """It would come too late."""
    file = ecosystem(tmp_path, shell("a", FOREVER), runtime={"memory_guard": "200M"})
    with boxed(small_box, file) as run:
        told = run.expect(event="config.warning")["message"]
        assert told == (
            "memory_guard (200 MiB) is not below the container's limit (160 MiB): the kernel kills first"
        )
        stop(run)
