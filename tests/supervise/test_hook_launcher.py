"""Hooks as real processes: found as by a shell, in the app's folder, logged, killed with their group."""

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import harness
import pytest

from pidone.contracts import LogSource
from pidone.ecosystem.spec import AppSpec, Hook
from pidone.errors import SpawnError
from pidone.init.reaper import ExitStatus, Reaper
from pidone.supervise.hooks.launcher import AppHookLauncher
from pidone.supervise.hooks.run import HookEvent, HookPoint
from pidone.supervise.process.leftovers import MARK

EVENT = HookEvent(point=HookPoint.POST_STOP, app="api", instance=3)


class FileOutlet:
    """Both streams into one file."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.finished = False

    @property
    def stdout(self) -> int:
        return self.fd

    @property
    def stderr(self) -> int:
        return self.fd

    def spawned(self, pid: int) -> None:
        assert pid

    def finish(self) -> None:
        os.close(self.fd)
        self.finished = True


class FileLog:
    """A log sink that keeps what it was asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened: list[tuple[LogSource, FileOutlet]] = []

    def open(self, source: LogSource, on_line: object = None) -> FileOutlet:
        self.opened.append((source, FileOutlet(self.path)))
        return self.opened[-1][1]

    def forget(self, app: tuple[str, str]) -> None:
        """Nothing is kept here."""

    def event(self, level: str, event: str, /, message: str = "", **fields: object) -> None:
        raise AssertionError((level, event, message, fields))

    @property
    def text(self) -> str:
        return self.path.read_text()


class Bench:
    """A launcher for one app, and the ends of what it has started."""

    def __init__(self, folder: Path, **keys: Any) -> None:
        self.log = FileLog(folder / "log")
        self.reaper = Reaper()
        app = AppSpec(name="api", argv=("/bin/app",), **{"cwd": str(folder), **keys})
        self.launcher = AppHookLauncher(app, reaper=self.reaper, log=self.log)
        self.ends: list[ExitStatus] = []

    def launch(self, *command: str, env: Mapping[str, str] | None = None) -> int:
        env = {"PATH": os.environ["PATH"]} if env is None else env
        return self.launcher.launch(Hook(command=command), EVENT, env, self.ends.append)

    def end(self) -> ExitStatus:
        harness.eventually(lambda: self.reaper.reap() or self.ends, "the hook's end")
        return self.ends[-1]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A launcher whose outlets are all closed in the end."""
    made = Bench(tmp_path)
    yield made
    assert all(outlet.finished for _, outlet in made.log.opened)


def test_output_goes_to_the_app_and_the_code_comes_back(bench: Bench) -> None:
    """It runs in the app's folder, both streams are logged under the instance, and the end is told."""
    bench.launch("sh", "-c", "pwd; echo problem >&2; exit 3")
    assert bench.end() == ExitStatus(code=3)
    assert bench.log.text == f"{bench.log.path.parent}\nproblem\n"
    ((source, _),) = bench.log.opened
    assert (source.app.name, source.who.index) == ("api", 3)


def test_programs_are_found_like_in_a_shell(bench: Bench, tmp_path: Path) -> None:
    """By PATH, relative to the app's folder, or by an absolute path."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin/tool"
    script.write_text("#!/bin/sh\necho $0\n")
    script.chmod(0o755)
    for command, path in (("tool", "/usr/bin:bin"), ("./bin/tool", "/usr/bin"), (str(script), "")):
        bench.launch(command, env={"PATH": path})
        bench.ends.clear()
        assert bench.end() == ExitStatus(code=0)
    assert len(bench.log.text.splitlines()) == 3


@pytest.mark.parametrize(
    ("command", "problem"), [("no-such-tool", "not found in PATH"), ("./none", "No such file")]
)
def test_a_missing_program(bench: Bench, command: str, problem: str) -> None:
    """It is an error that names the command, and nothing is left open."""
    with pytest.raises(SpawnError, match=problem) as error:
        bench.launch(command)
    assert command.removeprefix(".") in str(error.value)


def test_a_hook_is_not_taken_for_a_leftover_of_its_instance(bench: Bench) -> None:
    """It does not carry the mark of the incarnation whose end it reports."""
    bench.launch("env", env={"PATH": os.environ["PATH"], MARK: "api:3:1", "KEPT": "1"})
    bench.end()
    assert "KEPT=1" in bench.log.text
    assert MARK not in bench.log.text


def test_a_kill_reaches_the_whole_group(bench: Bench) -> None:
    """What the hook has started goes with it; killing what is gone is no error."""
    pid = bench.launch("sh", "-c", "sleep 600 & echo up; wait")
    harness.eventually(lambda: "up" in bench.log.text, "the hook to start")
    bench.launcher.kill(pid, signal.SIGKILL)
    assert bench.end() == ExitStatus(signal=signal.SIGKILL)
    harness.eventually(lambda: bench.reaper.reap() or not harness.descendants(os.getpid()), "its child's end")
    bench.launcher.kill(pid, signal.SIGKILL)


def test_rights(tmp_path: Path, root: None) -> None:
    """It has the app's user and group, not the runtime's."""
    bench = Bench(tmp_path, cwd="/", uid=65534, gid=65534)
    bench.launch("sh", "-c", "id -u; id -g")
    assert bench.end() == ExitStatus(code=0)
    assert bench.log.text.split() == ["65534", "65534"]
