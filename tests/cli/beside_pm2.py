"""PM2's own runtime and ours by that name beside it, over the same folder."""

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from harness import Running, children, eventually

SHOW = """console.log('SEEN ' + JSON.stringify({
  argv: process.argv.slice(2), ...Object.fromEntries((process.env.SHOW || '').split(',').filter(Boolean)
    .map((name) => [name, process.env[name] ?? null])) }));
setInterval(() => {}, 1000);
"""


class Seen:
    """What a run shows: its lines, and how it ends."""

    def __init__(self, command: list[str], folder: Path, home: Path, **env: str) -> None:
        self.folder = folder
        self.command = command
        self.file = home / "out"
        self._beside = Path(command[0]).with_name("pm2")
        self._env = {**_environ(), "PM2_HOME": str(home), "PIDONE_SOCKET": str(home / "s"), **env}
        home.mkdir()
        with self.file.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def lines(self, mark: str = "SEEN ") -> list[str]:
        """What apps said so far, in lines that are whole."""
        whole = self.file.read_text().rpartition("\n")[0].splitlines()
        return [line.partition(mark)[2] for line in whole if mark in line]

    def wait_for(self, count: int) -> list[str]:
        """So many lines."""
        eventually(lambda: len(self.lines()) >= count, f"{count} lines", 30)
        return self.lines()

    def pm2(self, *words: str, **env: str) -> str:
        """`pm2 WORDS...` beside it; what that says. It has to exit 0."""
        command = [str(self._beside), *words]
        done = subprocess.run(
            command,
            env={**self._env, "NO_COLOR": "1", **env},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def beside(self, *words: str) -> Running:
        """The same, while it goes on."""
        command = [str(self._beside), *words]
        return Running(command, env={**self._env, "NO_COLOR": "1"}, cwd=self.folder)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Exit code, and how long it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(30), time.monotonic() - began

    def end(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.stop()


def _environ() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "TERM")
    return {name: os.environ[name] for name in kept if name in os.environ}


class Both:
    """Runs a command line under either."""

    def __init__(self, programs: tuple[str, str], folder: Path) -> None:
        """`folder`: where an app lies that shows what it was given; tests write more into it."""
        self.folder = folder / "app"
        self.folder.mkdir()
        (self.folder / "show.js").write_text(SHOW)
        self.runs: list[Seen] = []
        """Theirs and ours in turn."""
        self._programs = programs
        self._homes = folder
        self._before = children(os.getpid())

    def __call__(
        self, *words: str, count: int = 1, under: str = "", **env: str
    ) -> tuple[list[Any], list[Any]]:
        """What their app shows, and what ours does: so many lines of each."""
        for number, program in enumerate(self._programs):
            home = self._homes / f"home{len(self.runs)}{number}"
            self.runs.append(Seen([program, *words], self.folder / under, home, **env))
        theirs, own = ([_value(line) for line in each.wait_for(count)] for each in self.runs[-2:])
        return theirs, own

    def end(self) -> None:
        """Leave nothing behind."""
        for each in self.runs:
            each.end()
            if each.command[0] == self._programs[0]:
                _bury_orphans({*self._before, *(other.process.pid for other in self.runs)})


def _bury_orphans(known: set[int]) -> None:
    """PM2 may end before its apps have; as a subreaper we get those."""
    for pid in children(os.getpid()):
        if pid not in known:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _value(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line


def ecosystem(folder: Path, *apps: dict[str, Any]) -> str:
    """A file of PM2's."""
    text = ",\n".join(json.dumps({"name": "a", "script": "show.js", **app}) for app in apps)
    (folder / "ecosystem.config.js").write_text(f"module.exports = {{apps: [{text}]}}")
    return "ecosystem.config.js"
