"""Replaces the instances of apps whose files change (`watch`, for development)."""

import json
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pidone.contracts import LogSink, Timer
from pidone.descriptors import close, pipe_to_us
from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.errors import SpawnError
from pidone.init import proctree
from pidone.init.reaper import ExitStatus, Reaper
from pidone.init.spawn import SpawnPlan, spawn
from pidone.interpreter import module_argv
from pidone.supervise.app import App
from pidone.supervise.wanted import Replacement

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

QUIET: Final[Seconds] = 0.2
"""Least time without a change: saving one file is often several of them, told at 0.1 s from each other."""
_PATIENCE: Final = 10
"""Times the quiet time: a file that is written without end (a database, a log) must not hide the others."""
_RETRY: Final[Seconds] = 5.0
_LONGEST_LINE: Final = 1 << 20
"""Of the helper: a path has at most 4,096 bytes, of which JSON makes six each."""
_SHOWN: Final = 5
"""Changed files that an event names."""


class Watcher:
    """One helper process watches for all apps; it is started anew when what is to be watched changes."""

    def __init__(self, *, loop: "AbstractEventLoop", reaper: Reaper, log: LogSink) -> None:
        """Nothing is watched yet."""
        self._loop = loop
        self._reaper = reaper
        self._log = log
        self._apps: dict[tuple[str, str], App] = {}
        self._helper: _Helper | None = None
        self._leaving: set[_Helper] = set()
        """Killed, but not gone yet."""
        self._when_alone: Callable[[], None] | None = None
        self._groups: list[tuple[App, AppSpec]] = []
        """What the helper was told to watch, in its order."""
        self._changes: dict[tuple[str, str], _Changes] = {}
        self._retry: Timer | None = None

    def sync(self, app: App) -> None:
        """Watch the files of an app that is wanted."""
        key = app.spec.key()
        if app.wanted.is_on and app.spec.watch:
            self._apps[key] = app
        else:
            self._apps.pop(key, None)
            self._forget_changes(key)
        if [(each, each.spec) for each in self._apps.values()] != self._groups:
            self._begin()

    def stop(self, then: Callable[[], None]) -> bool:
        """The runtime ends: `then` is called when the helper has; False if there is none."""
        self._apps.clear()
        for key in list(self._changes):
            self._forget_changes(key)
        self._end()
        self._when_alone = then
        return bool(self._leaving)

    # -- helpers -----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._end()
        self._groups = [(app, app.spec) for app in self._apps.values()]
        if not self._groups:
            return
        try:
            self._helper = _Helper(self, [_group(spec) for _, spec in self._groups], self._loop, self._reaper)
        except SpawnError as error:
            self._log.event("error", "watch.failed", f"files are not watched yet: {error}")
            self._retry = self._loop.call_later(_RETRY, self._begin)

    def _end(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._helper is not None:
            helper, self._helper = self._helper, None
            self._leaving.add(helper)
            helper.end()

    def helper_said(self, line: bytes) -> None:
        """One line of the helper's. Raises LookupError, TypeError or ValueError if it is none."""
        said = json.loads(line)
        if "error" in said:
            self._log.event("error", "watch.failed", str(said["error"]))
            return
        app, spec = self._groups[said["group"]]
        now, delay = self._loop.time(), max(spec.watch_delay, QUIET)
        changes = self._changes.setdefault(spec.key(), _Changes(now + delay * _PATIENCE))
        changes.paths.add(os.path.relpath(said["path"], spec.cwd))
        changes.wait(self._loop.call_at(min(now + delay, changes.latest), self._act, app))

    def helper_ended(self, helper: "_Helper", status: ExitStatus) -> None:
        """It was asked to, or ended by itself."""
        if helper in self._leaving:
            self._leaving.remove(helper)
            if not self._leaving and self._when_alone is not None:
                self._when_alone()
            return
        self._helper = None
        if status.code == 1:  # it has told why, and would again
            return
        self._log.event(
            "warning", "watch.failed", f"the process that watches files ended ({status}); it is started again"
        )
        self._retry = self._loop.call_later(_RETRY, self._begin)

    def _act(self, app: App) -> None:
        paths = sorted(self._changes.pop(app.spec.key()).paths)
        if not app.wanted.is_on:
            return
        shown = ", ".join(paths[:_SHOWN]) + (
            f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
        )
        self._log.event("info", "app.files_changed", shown, **app.spec.labels(), files=len(paths))
        if app.is_down:
            app.resume("watch")
        else:
            app.replace(Replacement(reason="watch"))

    def _forget_changes(self, key: tuple[str, str]) -> None:
        if (changes := self._changes.pop(key, None)) is not None:
            changes.wait(None)


class _Changes:
    """What has changed for one app since its files were quiet, and the timer of when that is acted on."""

    def __init__(self, latest: Seconds) -> None:
        """`latest` is the end of the wait for a quiet moment, in the loop's time."""
        self.latest = latest
        self.paths: set[str] = set()
        self._timer: Timer | None = None

    def wait(self, timer: Timer | None) -> None:
        """Go by this timer instead of the one before; by none if the changes are of no interest any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer


class _Helper:
    """The process that watches, and the pipe it tells by."""

    def __init__(
        self, owner: Watcher, groups: list[dict[str, object]], loop: "AbstractEventLoop", reaper: Reaper
    ) -> None:
        """Start it. Raises SpawnError."""
        self._owner = owner
        self._is_heard = True
        self._loop = loop
        self._rest = b""
        try:
            self._fd, write = pipe_to_us()
        except OSError as error:
            raise SpawnError(f"pipes: {error.strerror}") from error
        try:
            loop.add_reader(self._fd, self._read)
            self._pid = spawn(
                SpawnPlan(
                    argv=module_argv("pidone.supervise.watching.changes", json.dumps(groups)),
                    env=dict(os.environ),
                    cwd="/",
                    stdout=write,
                )
            )
        except (OSError, SpawnError) as error:
            self._close()
            raise SpawnError(str(error)) from error
        finally:
            close(write)
        self._reaper = reaper
        reaper.watch(self._pid, self._ended, on_stop=self._be_killed)

    def end(self) -> None:
        """Nobody listens any more."""
        self._is_heard = False
        self._be_killed()

    def _be_killed(self) -> None:
        """It holds nothing that needs an orderly end. One that is not wanted to end is replaced, and told."""
        if self._reaper.owns(self._pid):
            proctree.deliver(self._pid, signal.SIGKILL)
        self._close()

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return
        if not data:
            self._close()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        try:
            if len(self._rest) > _LONGEST_LINE:
                raise ValueError  # noqa: TRY301 (as below)
            for line in lines:
                if self._is_heard:
                    self._owner.helper_said(line)
        except (LookupError, TypeError, ValueError, RecursionError):  # something else writes there
            self._be_killed()

    def _close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            close(self._fd)
            self._fd = -1

    def _ended(self, status: ExitStatus) -> None:
        if self._fd >= 0:
            self._read()  # its last words
        self._close()
        self._owner.helper_ended(self, status)


def _group(app: AppSpec) -> dict[str, object]:
    logs = [path for path in (app.out_file, app.error_file, app.log_file) if path]
    return {
        "base": app.cwd,
        "paths": app.watch,
        "ignore": [*app.ignore_watch, *logs],
        "depth": app.watch_depth,
        "polling": app.watch_polling,
    }
