"""A runtime beside a file system that can be told to fall silent (`silent.py`)."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from faults import silent
from harness import PIDONE, Running, children, eventually, pidone

SLEEPING: Mapping[str, Any] = {
    "script": "/bin/sleep",
    "args": "1000",
    "interpreter": "none",
    "kill_timeout": 1000,
}


class Beside:
    """The runtime, the file system, and what one does with them."""

    def __init__(self, folder: Path, *, pid1: bool = False) -> None:
        self.folder = folder
        self.point = folder / "mount"
        self.point.mkdir()
        self.flag = folder / "flag"
        self.env = {"PIDONE_SOCKET": str(folder / "control")}
        self.run: Running
        self._pid1 = ["unshare", "--fork", "--pid", "--mount-proc"] if pid1 else []

    @property
    def server(self) -> list[str]:
        return ["unshare", "--mount", sys.executable, "-I", silent.__file__, str(self.point), str(self.flag)]

    @property
    def runtime(self) -> int:
        """Its pid, as seen from here."""
        below = eventually(lambda: children(self.run.pid), "the runtime to begin")[0]
        return eventually(lambda: children(below), "it to fork")[0] if self._pid1 else below

    @contextlib.contextmanager
    def started(self, apps: list[dict[str, Any]], **config: Any) -> Iterator[Running]:
        """With this file. The test is skipped where nothing may be mounted."""
        is_silent = self.flag.exists()
        self.flag.unlink(missing_ok=True)
        with Running([*self.server, "/bin/true"]) as probe:
            if probe.wait():
                pytest.skip(f"no FUSE here: {probe.err and probe.err.text()[-200:]}")
        if is_silent:
            self.flag.touch()
        file = self.folder / "apps.json"
        file.write_text(json.dumps({"apps": apps, **config}))
        with Running([*self.server, *self._pid1, PIDONE, str(file)], env=self.env) as self.run:
            yield self.run

    def fall_silent(self, *requests: int, deaf: bool = False) -> None:
        """Answer nothing any more, or only what is none of these."""
        words = [*map(str, requests), *(["deaf"] if deaf else [])]
        draft = self.folder / "flag.new"
        draft.write_text(" ".join(words))
        draft.rename(self.flag)

    def command(self, *words: str) -> Running:
        """One that was carried out."""
        with pidone(*words, env=self.env) as command:
            assert command.wait() == 0, command.err and command.err.text()
        return command

    def stop(self, *, is_deaf: bool = False) -> int:
        """The code after SIGTERM. Whoever hears no SIGKILL is the test's, once the file system has ended."""
        held = children(self.runtime) if is_deaf else []
        os.kill(self.runtime, signal.SIGTERM)
        code = self.run.wait()
        for pid in held:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        return code
