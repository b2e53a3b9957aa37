"""A pipe where the runtime expects a file of an app's or of a person's: nobody may wait at it for ever."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from control.operated import operated
from harness import DEADLINE_S, PIDONE

from pidone.control.pm2 import lists
from pidone.init.failure import explain
from pidone.regular import shebang

APP = """
[[apps]]
name = "api"
script = "{folder}/app.sh"
interpreter = "none"
instances = 1
restart_delay = 0
"""


class WaitsError(Exception):
    """Nobody may catch it but pytest."""


@contextlib.contextmanager
def not_for_ever() -> Iterator[None]:
    """What waits at a pipe is interrupted."""

    def too_long(number: int, frame: object) -> None:
        raise WaitsError(number, frame)

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(20)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=["fifo", "zeros", "folder", "socket-less link"])
def in_place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What somebody has put where a file was."""
    path = tmp_path / "in-place"
    match request.param:
        case "fifo":
            os.mkfifo(path)
        case "zeros":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case _:
            path.symlink_to("nowhere")
    return path


def test_the_version_of_an_app(in_place: Path) -> None:
    """Its folder is its own: PM2's list asks for a package.json there."""
    in_place.rename(in_place.with_name("package.json"))
    app = {"name": "a", "namespace": "default", "script": "./a.js", "cwd": str(in_place.parent)}
    with not_for_ever():
        assert lists.version_of(app) == "N/A"


def test_a_package_json_that_is_nested_too_deep(tmp_path: Path) -> None:
    """It has no version, and is no bug of ours."""
    (tmp_path / "package.json").write_text("[" * 60_000)
    assert lists.version_of({"script": "./a.js", "cwd": str(tmp_path)}) == "N/A"


def test_the_first_line_of_a_program(in_place: Path) -> None:
    """Looked at before each start, in process 1."""
    with not_for_ever():
        assert shebang(str(in_place)) == []


def test_why_a_program_could_not_be_executed(in_place: Path) -> None:
    """The same for the message."""
    with not_for_ever():
        assert explain(str(in_place), FileNotFoundError(2, "no")) == "no"


def test_a_program_that_became_a_pipe_freezes_nobody(tmp_path: Path) -> None:
    """An app may own its script: the next start fails, and the runtime answers and stops as ever."""
    script = tmp_path / "app.sh"
    script.write_text("#!/bin/sh\nexec sleep 1000\n")
    script.chmod(0o755)
    with operated(tmp_path, APP.format(folder=tmp_path)) as it:
        pid = it.app("api")["instances"][0]["pid"]
        script.unlink()
        os.mkfifo(script)
        script.chmod(0o755)
        os.kill(pid, signal.SIGKILL)
        it.run.expect(event="instance.spawn_failed")
        assert it.ask("/livez").status == 200
        it.run.signal(signal.SIGTERM)
        assert it.run.wait() in (0, 126)


@pytest.mark.parametrize("kind", ["fifo", "zeros"])
def test_a_token_file_that_is_none(tmp_path: Path, kind: str) -> None:
    """Told with the key, and 78; process 1 is not deaf meanwhile."""
    path = tmp_path / "token"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    (tmp_path / "e.toml").write_text('[[apps]]\nscript = "/bin/sleep"\nargs = "1000"\n')
    words = ["--admin", "127.0.0.1:0", "--admin-token-file", str(path), "--socket", str(tmp_path / "s")]
    process = subprocess.Popen(
        [PIDONE, *words, str(tmp_path / "e.toml")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = process.communicate(timeout=DEADLINE_S)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 78
    assert "admin_token_file" in said
