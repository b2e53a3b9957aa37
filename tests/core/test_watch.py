"""`watch` from outside: changed files replace the instances, broken code does not."""

import os
import shutil
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from harness import DEADLINE_S, PIDONE, Running, children, command_of, eventually, pidone
from writing import FOREVER, ecosystem, python, shell

SERVES = """
import select, signal, socket, sys
listening, ended = socket.socket(fileno=3), []
listening.setblocking(False)
signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
print("VERSION", flush=True)
while not ended:
    select.select([listening], [], [], 0.05)
    try:
        connection, _ = listening.accept()
    except BlockingIOError:
        continue
    connection.sendall(b"VERSION")
    connection.close()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with nothing but the app's files."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def watched(run: Running) -> int:
    """Wait until the helper watches; its pid."""
    return eventually(
        lambda: [pid for pid in children(run.pid) if "pidone.supervise.watching.changes" in command_of(pid)],
        "the helper",
    )[0]


def change_until(run: Running, path: Path, text: str, **expected: Any) -> None:
    """Write until it is noticed: when the helper begins to watch cannot be seen from outside."""

    def noticed() -> bool:
        path.write_text(text)
        try:
            run.expect(timeout=1.0, **expected)
        except AssertionError:
            return False
        return True

    eventually(noticed, f"a change of {path.name} to be noticed")


def test_a_change_replaces_the_instance(tmp_path: Path, project: Path) -> None:
    """The new code runs, and the event names the file."""
    app = python(project, "a", "import time; print('one', flush=True); time.sleep(1000)", cwd=str(project))
    with pidone(ecosystem(tmp_path, app | {"watch": True})) as run:
        run.expect_line("one")
        watched(run)
        change_until(
            run, project / "a.py", "import time; print('two'); time.sleep(1000)", event="app.files_changed"
        )
        assert run.find(event="app.files_changed")[0]["message"] == "a.py"
        run.expect(event="app.reload", reason="watch")
        run.expect(event="instance.start", count=2)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_a_file_that_is_written_without_end_hides_no_change(tmp_path: Path, project: Path) -> None:
    """An app that logs beside its code gives no quiet moment: the wait for one is bounded."""
    app = shell("a", "while :; do echo x >>log; sleep 0.02; done", cwd=str(project), watch=True)
    file = ecosystem(tmp_path, app)
    with pidone(file) as run:
        watched(run)
        assert "log" in run.expect(event="app.files_changed")["message"].split(", ")
        run.expect(event="app.reload", reason="watch")
        run.signal(signal.SIGTERM)
        run.wait()


def test_what_is_ignored_changes_nothing(tmp_path: Path, project: Path) -> None:
    """Dot files, node_modules, and what `ignore_watch` names."""
    (project / "logs").mkdir()
    (project / "node_modules").mkdir()
    app = shell(
        "a", "echo up; " + FOREVER, cwd=str(project), watch=["."], ignore_watch=["logs", "*.tmp", "\\.cache"]
    )
    with pidone(ecosystem(tmp_path, app)) as run:
        run.expect_line("up")
        watched(run)
        change_until(run, project / "noticed", "1", event="app.files_changed", message="noticed")
        for name in ("logs/x", "node_modules/x", ".hidden", "deep.tmp", "also.pyc"):
            (project / name).write_text("1")
        change_until(run, project / "later", "1", event="app.files_changed", message="later")
        named = {name for r in run.find(event="app.files_changed") for name in r["message"].split(", ")}
        assert named == {"noticed", "later"}
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_options_of_chokidar_are_followed(tmp_path: Path, project: Path) -> None:
    """Its patterns, its depth, and polling where the kernel tells nothing."""
    (project / "deep" / "er").mkdir(parents=True)
    options = {
        "ignored": ["**/*.{log,tmp}", {"regexp": "secret"}],
        "depth": 1,
        "usePolling": True,
        "interval": 50,
    }
    app = shell("a", "echo up; " + FOREVER, cwd=str(project), watch=True, watch_options=options)
    with pidone(ecosystem(tmp_path, app)) as run:
        run.expect_line("up")
        watched(run)
        change_until(run, project / "noticed", "1", event="app.files_changed", message="noticed")
        for name in ("a.log", "deep/b.tmp", "my-secret.txt", "deep/er/c"):
            (project / name).write_text("1")
        change_until(run, project / "deep" / "later", "1", event="app.files_changed", message="deep/later")
        named = {name for r in run.find(event="app.files_changed") for name in r["message"].split(", ")}
        assert named == {"noticed", "deep/later"}
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def changes(run: Running) -> int:
    """How many have been told."""
    return len(run.find(event="app.files_changed"))


def one_more_than(before: int, run: Running) -> None:
    """Wait for another one."""
    eventually(lambda: changes(run) > before, "the change to be noticed")


def test_editors_put_another_file_in_the_place_of_the_old_one(tmp_path: Path, project: Path) -> None:
    """Each save counts, also where the file alone is watched."""
    code = project / "a.conf"
    app = shell("a", "echo up; " + FOREVER, cwd=str(project), watch=["a.conf"])
    with pidone(ecosystem(tmp_path, app)) as run:
        run.expect_line("up")
        watched(run)
        change_until(run, code, "1", event="app.files_changed", message="a.conf")
        for _ in range(3):
            before = changes(run)
            (project / "other").write_text("2")
            (project / "other").rename(code)
            one_more_than(before, run)
        assert {r["message"] for r in run.find(event="app.files_changed")} == {"a.conf"}
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_a_folder_that_is_built_anew_stays_watched(tmp_path: Path, project: Path) -> None:
    """`rm -r dist` and another `dist`, as build tools do it, with folders in it that nobody knew."""
    app = shell("a", "echo up; " + FOREVER, cwd=str(project), watch=["dist", "other"])
    with pidone(ecosystem(tmp_path, app)) as run:
        run.expect_line("up")
        watched(run)
        change_until(run, project / "other", "1", event="app.files_changed", message="other")
        for name in ("one", "two"):
            before = changes(run)
            (project / "dist" / name / "deep").mkdir(parents=True)
            one_more_than(before, run)
            file = project / "dist" / name / "deep" / "file"
            change_until(run, file, "1", event="app.files_changed", message=f"dist/{name}/deep/file")
            shutil.rmtree(project / "dist")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


@pytest.mark.parametrize(
    ("limit", "name"), [("watches", "max_user_watches"), ("instances", "max_user_instances")]
)
def test_the_limits_of_inotify(tmp_path: Path, project: Path, limit: str, name: str) -> None:
    """The app runs unwatched, and the message names the setting and what else helps."""
    for number in range(10):
        (project / f"folder-{number}").mkdir()
    most = {"watches": 5, "instances": 0}[limit]
    lower = f"echo {most} >/proc/sys/user/max_inotify_{limit} && exec {PIDONE} $0"
    file = ecosystem(tmp_path, shell("a", "echo up; " + FOREVER, cwd=str(project), watch=True))
    with Running(["unshare", "--user", "--map-root-user", "sh", "-c", lower, file]) as run:
        told = run.expect(event="watch.failed")["message"]
        assert f"fs.inotify.{name}" in told
        assert "watch_polling" in told
        run.expect_line("up")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_what_is_ignored_takes_nothing_of_the_limit(tmp_path: Path, project: Path) -> None:
    """A large node_modules needs no more watches than a small one."""
    for number in range(10):
        (project / "node_modules" / f"package-{number}").mkdir(parents=True)
    lower = f"echo 5 >/proc/sys/user/max_inotify_watches && exec {PIDONE} $0"
    file = ecosystem(tmp_path, shell("a", "echo up; " + FOREVER, cwd=str(project), watch=True))
    with Running(["unshare", "--user", "--map-root-user", "sh", "-c", lower, file]) as run:
        run.expect_line("up")
        watched(run)
        change_until(run, project / "x", "1", event="app.files_changed", message="x")
        assert not run.find(event="watch.failed")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_a_folder_that_may_not_be_read_is_left_out(tmp_path: Path, project: Path, root: None) -> None:
    """A database's beside the code, say: the others are watched."""
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    (project / "data").mkdir()
    os.chown(project / "data", 65534, 65534)
    (project / "data").chmod(0o700)
    file = ecosystem(tmp_path, shell("a", "echo up; " + FOREVER, cwd=str(project), watch=True))
    powers = "--bounding-set=-dac_override,-dac_read_search"
    with Running(["setpriv", powers, "--", PIDONE, file]) as run:
        run.expect_line("up")
        watched(run)
        change_until(run, project / "x", "1", event="app.files_changed", message="x")
        assert not run.find(event="watch.failed")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_broken_code_takes_no_service_down(tmp_path: Path, project: Path, port: int) -> None:
    """The old instance serves until the code works again."""

    def answer() -> str:
        with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as connection:
            return connection.recv(100).decode()

    app = python(
        project,
        "a",
        SERVES.replace("VERSION", "one"),
        cwd=str(project),
        watch=True,
        listen=[f"127.0.0.1:{port}"],
        ready="log:(one|two)",
    )
    with pidone(ecosystem(tmp_path, app)) as run:
        run.expect(event="instance.online")
        assert answer() == "one"
        watched(run)
        change_until(run, project / "a.py", "raise SystemExit('broken')", event="app.reload_failed")
        assert answer() == "one"
        change_until(run, project / "a.py", SERVES.replace("VERSION", "two"), event="app.reloaded")
        assert answer() == "two"
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_a_crashed_app_waits_for_the_next_change(tmp_path: Path, project: Path) -> None:
    """A mistake does not end the container of somebody who is about to correct it."""
    app = python(project, "a", "raise SystemExit(1)", cwd=str(project), max_restarts=1)
    with pidone(ecosystem(tmp_path, app | {"watch": True})) as run:
        run.expect(event="instance.errored")
        watched(run)
        change_until(
            run,
            project / "a.py",
            "import time; print('works', flush=True); time.sleep(1000)",
            message="works",
        )
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_a_helper_that_dies_is_replaced(tmp_path: Path, project: Path) -> None:
    """Watching goes on."""
    with pidone(ecosystem(tmp_path, shell("a", FOREVER, cwd=str(project), watch=True))) as run:
        first = watched(run)
        os.kill(first, signal.SIGKILL)
        run.expect(event="watch.failed")
        eventually(lambda: watched(run) != first, "another helper")
        change_until(run, project / "x", "1", event="app.files_changed")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_a_path_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The app runs unwatched."""
    with pidone(ecosystem(tmp_path, shell("a", "echo up; " + FOREVER, watch=["/nowhere/src"]))) as run:
        assert "/nowhere/src" in run.expect(event="watch.failed")["message"]
        run.expect_line("up")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_nothing_is_watched_without_the_key(tmp_path: Path) -> None:
    """No helper process in production."""
    app = shell("a", "echo up; exec sleep 1000", die_with_runtime=False)  # else that one's guard is there
    with pidone(ecosystem(tmp_path, app)) as run:
        run.expect(event="instance.online")
        run.expect(message="up")
        eventually(lambda: [command_of(pid) for pid in children(run.pid)] == ["sleep 1000"], "it alone")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
