"""Log files on a file system that does not answer any more: nobody waits, and their app alone loses."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from faults import silent
from faults.beside_silent import SLEEPING, Beside
from harness import Running, children, eventually, opened

pytestmark = pytest.mark.usefixtures("root")

TALK = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.02; done"
"""Says something again and again; ends by SIGTERM."""


def talking(name: str, **keys: Any) -> dict[str, Any]:
    return {"name": name, "script": "/bin/sh", "args": ["-c", TALK], "interpreter": "none", **keys}


def said(run: Running, name: str) -> int:
    """How many lines of an app there are."""
    return sum(1 for record in run.records if record.get("app") == name and "stream" in record)


def goes_on(run: Running, *names: str) -> None:
    """Lines of all these come that were not there before."""
    before = {name: said(run, name) for name in names}
    for name in names:
        eventually(lambda name=name: said(run, name) > before[name] + 10, f"more lines of {name}")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("requests", "keys"),
    [
        ((), {}),
        ((silent.WRITE,), {}),
        ((silent.RENAME, silent.RENAME2), {"log_max_size": "200"}),
        ((silent.CREATE,), {"log_max_size": "200", "log_retain": "2"}),
        ((silent.WRITE,), {"pid1": True}),
        ((silent.WRITE,), {"deaf": True}),
    ],
    ids=["all", "write", "rename", "create", "as process 1", "beyond SIGKILL"],
)
def test_a_log_file_that_falls_silent_holds_nobody(
    tmp_path: Path, requests: tuple[int, ...], keys: dict[str, Any]
) -> None:
    """In the middle of writing, or when it is put aside: lines go on to stdout, commands are answered."""
    is_deaf = keys.pop("deaf", False)
    it = Beside(tmp_path, pid1=keys.pop("pid1", False))
    apps = [talking("other"), talking("remote", log_file=str(it.point / "logs/x.log"), **keys)]
    with it.started(apps) as run:
        run.expect(event="control.listening")
        goes_on(run, "other", "remote")
        it.fall_silent(*requests, deaf=is_deaf)
        told = run.expect(event="log.file_failed", app="remote")
        assert "does not answer" in told["message"]
        assert told["path"] == str(it.point / "logs/x.log")
        goes_on(run, "other", "remote")
        it.command("ls")
        it.command("restart", "remote")
        goes_on(run, "other", "remote")
        assert it.stop(is_deaf=is_deaf) == 0
        for name in ("other", "remote"):
            assert "SIGTERM" in run.find(event="instance.exit", app=name)[-1]["message"]
        assert "missing at its end" in run.find(event="log.file_failed")[-1]["message"]
        assert not run.find(event="runtime.error")


def test_one_that_never_answers_is_no_start_held(tmp_path: Path) -> None:
    """It is silent before the file is opened for the first time."""
    it = Beside(tmp_path)
    it.flag.touch()
    apps = [talking("remote", log_file=str(it.point / "x.log")), {"name": "other", **SLEEPING}]
    with it.started(apps) as run:
        run.expect(event="instance.online", app="other")
        goes_on(run, "remote")
        run.expect(event="log.file_failed", app="remote")
        assert it.stop() == 0


def test_one_that_falls_silent_at_the_end_is_waited_for_a_moment(tmp_path: Path) -> None:
    """What is not written is told with its number."""
    it = Beside(tmp_path)
    app = talking("remote", log_file=str(it.point / "x.log"))
    app["args"] = ["-c", f"trap 'echo bye; exit 0' TERM; {TALK}"]
    with it.started([app]) as run:
        goes_on(run, "remote")
        it.fall_silent(silent.WRITE)
        assert it.stop() == 0
        told = run.find(event="log.file_failed")[-1]
        assert "lines are missing at its end" in told["message"]
        assert run.records.index(told) > run.records.index(run.find(event="instance.exit")[0])


def test_reopen_begins_anew_and_the_gap_is_told(tmp_path: Path) -> None:
    """As when the file system is mounted again: who hangs there is left alone, and another one writes."""
    it = Beside(tmp_path)
    with it.started([talking("remote", log_file=str(it.point / "x.log"))]) as run:
        run.expect(event="control.listening")
        goes_on(run, "remote")
        it.fall_silent(silent.WRITE)
        run.expect(event="log.file_failed", app="remote")
        it.flag.unlink()
        it.command("reopen")
        told = run.expect(event="log.file_restored", app="remote")
        assert told["lines"] > 0
        assert it.stop() == 0


def test_a_flood_is_written_whole_while_it_answers_and_is_bounded_when_not(tmp_path: Path) -> None:
    """A full queue leaves the pipe unread for the moment; then lines are missing in the file alone."""
    it = Beside(tmp_path)
    lines, width = 6000, 1000
    flood = f"import sys; [print('x' * {width}) for _ in range({lines})]; sys.stdout.flush()"
    script = tmp_path / "flood.py"
    script.write_text(flood + "\nimport time; time.sleep(1000)")
    flooding = {"script": str(script), "interpreter": "python3", "autorestart": False}
    apps = [
        {"name": "heard", "out_file": str(it.point / "heard.log"), **flooding},
        {"name": "unheard", "out_file": str(it.point / "unheard.log"), "autostart": False, **flooding},
    ]
    with it.started([*apps, {"name": "other", **SLEEPING}]) as run:
        run.expect(event="control.listening")
        eventually(lambda: said(run, "heard") == lines, "all lines of a flood")
        inside = f"/proc/{it.runtime}/root{it.point}/heard.log"
        eventually(lambda: os.stat(inside).st_size == lines * (width + 1), "all of them in the file")
        assert not run.find(event="log.dropped")
        it.fall_silent()
        it.command("start", "unheard")
        eventually(lambda: said(run, "unheard") == lines, "all lines of the other one")
        assert it.stop() == 0
        told = run.find(event="log.file_failed", app="unheard")
        assert f"{lines} lines are missing" in told[-1]["message"]


def test_a_writer_that_is_killed_is_replaced(tmp_path: Path) -> None:
    """Nobody but the file misses it."""
    it = Beside(tmp_path)
    with it.started([talking("remote", log_file=str(it.point / "x.log"))]) as run:
        run.expect(event="control.listening")
        goes_on(run, "remote")
        (writer,) = (
            pid for pid in children(it.runtime) if any(name.endswith("/x.log") for name in opened(pid))
        )
        os.kill(writer, signal.SIGKILL)
        run.expect(event="log.file_failed", app="remote")
        it.command("reopen")
        run.expect(event="log.file_restored", app="remote")
        goes_on(run, "remote")
        assert it.stop() == 0
