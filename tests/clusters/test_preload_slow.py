"""A fork of a zygote that takes long (`preload`): who waits for it, and who does not."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters.load import Load
from clusters.site import UNHURRIED, Site, merged, python_app, running
from clusters.starving import busy, feed, starves
from harness import command_of, descendants, eventually, pidone

APP = """
import os, signal, time

BY = os.getpid()

def wait():
    open("begun", "w").close()
    while os.path.exists("wait"):
        time.sleep(0.01)

os.register_at_fork(PLACE)

def main():
    print("forked by", BY, flush=True)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while True:
        time.sleep(0.05)

if __name__ == "__main__":
    main()
"""
PLACES = {
    "before": "before=lambda: wait()",
    "parent": "after_in_parent=lambda: wait()",
    "worker": "after_in_child=lambda: wait()",
}
LONGER_S = 3.5
"""Than anybody would wait on the loop, or by the clock."""
OTHER = {"name": "other", "script": "/bin/sleep", "args": "1000", "interpreter": "none", "instances": 1}
CPU = min(os.sched_getaffinity(0))


def app_of(folder: Path, place: str, **keys: Any) -> dict[str, Any]:
    """One worker whose forks wait for as long as there is a file `wait`."""
    (folder / "site_app.py").write_text(APP.replace("PLACE", place))
    given = {"cwd": str(folder), "preload": "site_app:main", "ready_delay": 0, "instances": 1}
    args = {"script": sys.executable, "interpreter": "none", "args": ["-m", "site_app"], "env": {}}
    return merged({"name": "web", **args, **UNHURRIED, **given}, keys)


def begun(site: Site, slot: int = 0) -> int:
    """The last worker of this slot, once it has said who has forked it: the zygote."""
    pid: int = site.run.find(event="instance.start", app="web", instance=slot)[-1]["pid"]
    zygote = site.run.find(event="preload.ready")[0]["pid"]
    site.run.expect(message=f"forked by {zygote}", pid=pid)
    return pid


@contextlib.contextmanager
def crashed(site: Site, folder: Path, slot: int = 0) -> Iterator[None]:
    """This worker has ended, and the fork of the next one waits."""
    worker = begun(site, slot)
    (folder / "begun").unlink()
    (folder / "wait").touch()
    os.kill(worker, signal.SIGKILL)
    eventually((folder / "begun").exists, "the fork")
    yield
    (folder / "wait").unlink()


def command(*words: str) -> None:
    """One that has to be answered."""
    with pidone(*words) as run:
        assert run.wait() == 0


def of_the_app(site: Site) -> list[int]:
    """The zygote, workers, and what is on its way to be one."""
    return [pid for pid in descendants(site.run.pid) if "site_app" in command_of(pid)]


@pytest.mark.parametrize("place", PLACES)
def test_a_slow_fork_holds_nobody_and_is_no_failure(tmp_path: Path, place: str) -> None:
    """Others are started and commands answered meanwhile, and then it is forked."""
    with running(tmp_path, app_of(tmp_path, PLACES[place]), OTHER) as site:
        with crashed(site, tmp_path):
            ends = time.monotonic() + LONGER_S
            while time.monotonic() < ends:
                command("restart", "other")
                command("ls")
            assert site.count("preload.failed") == site.count("preload.exit") == 0
            assert not site.pids()
        site.run.expect(event="instance.online", app="web", count=2)
        begun(site)
        assert site.count("preload.failed") == site.count("runtime.error") == 0


def test_a_stop_while_a_fork_waits(tmp_path: Path) -> None:
    """Nobody waits for it, and neither it nor its zygote is left behind."""
    with running(tmp_path, app_of(tmp_path, PLACES["worker"]), OTHER) as site, crashed(site, tmp_path):
        eventually(lambda: len(of_the_app(site)) == 2, "the end of the process between")
        command("stop", "web")
        eventually(lambda: not of_the_app(site), "the end of both")
        assert site.count("runtime.error") == 0


def test_a_fork_that_nobody_needs_ends_by_itself(tmp_path: Path) -> None:
    """Its zygote has other workers, and goes on."""
    with running(tmp_path, app_of(tmp_path, PLACES["worker"], instances=2)) as site:
        with crashed(site, tmp_path, slot=1):
            command("scale", "web", "1")
        eventually(lambda: len(of_the_app(site)) == 2, "its end")
        assert site.count("preload.end") == site.count("preload.exit") == 0


@pytest.mark.parametrize("place", PLACES)
def test_a_fork_that_nobody_needs_does_not_hang_in_its_hook(tmp_path: Path, place: str) -> None:
    """It hears nothing there, and ends all the same; its zygote goes on and forks others."""
    with running(tmp_path, app_of(tmp_path, PLACES[place], instances=2)) as site:
        with crashed(site, tmp_path, slot=1):
            command("scale", "web", "1")
            eventually(lambda: len(of_the_app(site)) == 2, "its end")
        command("scale", "web", "2")
        site.run.expect(event="instance.online", app="web", instance=1, count=2)
        begun(site, slot=1)
        assert site.count("preload.failed") == site.count("preload.exit") == 0


def test_a_fork_that_waits_for_a_processor_is_not_late(tmp_path: Path) -> None:
    """However long that takes: the time it has is its own."""
    place = f"after_in_child=lambda: os.path.exists('wait') and exec({starves(CPU)!r})"
    times = {"listen_timeout": "2s", "reload_timeout": "2s"}
    with running(tmp_path, app_of(tmp_path, place, **times)) as site, busy(CPU):
        (tmp_path / "wait").touch()
        os.kill(site.pids()[0], signal.SIGKILL)

        def starved() -> list[int]:
            with contextlib.suppress(ProcessLookupError):
                return [pid for pid in of_the_app(site) if os.sched_getscheduler(pid) == os.SCHED_IDLE]
            return []

        [pid] = eventually(starved, "the fork")
        time.sleep(LONGER_S)
        assert site.count("preload.failed") == 0
        feed(pid)
        assert site.run.expect(event="instance.start", count=2)["pid"] == pid


def test_what_a_worker_cannot_become_is_told(tmp_path: Path) -> None:
    """As of a program that cannot be started; its zygote has done nothing wrong."""
    (tmp_path / "folder").mkdir()
    app = app_of(tmp_path, PLACES["worker"], cwd=str(tmp_path / "folder"), ready_delay="1s")
    (tmp_path / "site_app.py").rename(tmp_path / "folder" / "site_app.py")
    with running(tmp_path, app) as site:
        worker = begun(site)
        (tmp_path / "folder").rename(tmp_path / "elsewhere")
        os.kill(worker, signal.SIGKILL)
        told = site.run.expect(event="instance.spawn_failed")
        assert told["message"] == f"cwd: {tmp_path}/folder: No such file or directory"
        assert "code 127" in site.run.expect(event="instance.exit", count=2)["message"]
        (tmp_path / "elsewhere").rename(tmp_path / "folder")
        zygote = site.run.find(event="preload.ready")[0]["pid"]
        site.run.expect(message=f"forked by {zygote}", count=2)  # the first one and this
        assert site.count("preload.failed") == 0


def test_a_reload_fails_nobody(tmp_path: Path, port: int) -> None:
    """Under load, and although each fork takes its time."""
    pytest.importorskip("uvicorn")
    (tmp_path / "site_app.py").write_text("""
import os, time
os.register_at_fork(after_in_child=lambda: time.sleep(0.5))
async def asgi(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
""")
    words = f"-m uvicorn --no-access-log --port {port} site_app:asgi".split()
    app = python_app(*words, port=port, cwd=str(tmp_path), exec_mode="cluster", preload=True)
    with running(tmp_path, app) as site, Load(port, keep_alive=True) as load:
        load.more(100)
        for _ in range(2):
            site.reload()
            load.more(100)
        assert load.finish() == []
        assert site.count("preload.ready") == 3
        assert site.count("preload.failed") == 0
