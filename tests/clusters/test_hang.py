"""Workers whose event loop stands still, though they live and their port is open."""

import os
import signal
import urllib.request
from pathlib import Path

import pytest
from clusters.site import get, node_app, python_app, running
from harness import eventually, state

from pidone.cli.trial import sockets

ASGI = """
import asyncio, os, time
def stands_still():
    time.sleep(600)
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % os.getpid()})
    if scope["path"] == "/hang":
        asyncio.get_running_loop().call_later(0.1, stands_still)
"""


@pytest.mark.parametrize(
    ("path", "doing"), [("wait", "waits in the kernel"), ("loop", "computes without an end")]
)
def test_a_worker_that_hangs_is_replaced(tmp_path: Path, node: str, port: int, path: str, doing: str) -> None:
    """Told with what the kernel sees of it, and its stack; the next one serves before it is killed."""
    app = node_app(node, port, script="hangs.cjs", instances=2, hang_timeout="1200ms", kill_timeout="1s")
    with running(tmp_path, app) as site:
        victim = int(get(port, f"/{path}"))
        record = site.run.expect(event="instance.hung")
        assert "has not turned for 1.2 s" in record["message"]
        assert doing in record["message"]
        assert ("at busy" if path == "loop" else "at /wait ") in record["stack"]
        assert "hangs.cjs:" in record["stack"]
        assert "emit" not in record["stack"]
        assert {each.port for each in sockets.of([victim]) if each.listens} <= {port}
        site.run.expect(event="instance.online", count=3)
        site.run.expect(event="instance.exit", pid=victim)
        assert site.count("instance.hung") == 1
        assert int(get(port, "/")) in site.pids()


def test_a_python_worker_that_hangs_is_replaced(tmp_path: Path, port: int) -> None:
    """The event has the stack of each of its threads; the next one serves before it is killed."""
    pytest.importorskip("uvicorn")
    (tmp_path / "app.py").write_text(ASGI)
    args = ("-m", "uvicorn", "--port", str(port), "app:app")
    keys = {"cwd": str(tmp_path), "exec_mode": "cluster", "hang_timeout": "1200ms", "kill_timeout": "1s"}
    with running(tmp_path, python_app(*args, port=port, **keys)) as site:
        victim = int(get(port, "/hang"))
        record = site.run.expect(event="instance.hung")
        assert "no progress for 1.2 s" in record["message"]
        assert "in stands_still" in record["stack"]
        site.run.expect(event="instance.online", count=3)
        site.run.expect(event="instance.exit", pid=victim)
        assert site.count("instance.hung") == 1
        assert int(get(port, "/")) in site.pids()


def test_what_only_looks_like_it_is_left_alone(tmp_path: Path, node: str, port: int) -> None:
    """A worker that somebody stopped, one that works in long steps, and a runtime that was stopped itself."""
    app = node_app(node, port, script="hangs.cjs", instances=2, hang_timeout="1200ms")
    with running(tmp_path, app) as site:
        first = int(get(port, "/work"))
        second = next(pid for pid in site.pids() if pid != first)
        os.kill(second, signal.SIGSTOP)
        eventually(lambda: state(second) == "T", "it to stand still")
        answered = [0.0]

        def asked_for_long_enough() -> bool:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
                answer.read()
            answered[0] += 1
            return answered[0] >= 12  # 400 ms each, by the one that works

        eventually(asked_for_long_enough, "four times its patience")
        os.kill(second, signal.SIGCONT)
        site.run.signal(signal.SIGSTOP)
        eventually(lambda: state(site.run.process.pid) == "T", "the runtime to stand still")
        for _ in range(6):
            get(port, "/")
        site.run.signal(signal.SIGCONT)
        site.reload()
        assert site.count("instance.hung") == 0


@pytest.mark.parametrize(
    "keys", [{"hang_timeout": 0}, {"node_args": ["--inspect=0"], "hang_timeout": "600ms"}]
)
def test_nobody_asks_where_it_is_off(tmp_path: Path, node: str, port: int, keys: "dict[str, object]") -> None:
    """By the key, and in a program that is started to be debugged."""
    with running(tmp_path, node_app(node, port, script="hangs.cjs", instances=2, **keys)) as site:
        hung = int(get(port, "/wait"))
        for _ in range(50):
            get(port, "/")
        assert hung in site.pids()
        assert site.count("instance.hung") == 0
        os.kill(hung, signal.SIGKILL)
