"""Tells when the container was given more or fewer CPUs: `docker update`, the in-place resize of a pod.

Whoever changes a limit writes a file of the container's control group, and inotify hears of it although the
writer is outside: the container's mount shows the inodes of the one hierarchy that there is. Where a sandbox
has files of its own instead, nothing is heard, so the limits are also looked at beside the memory samples, if
any are taken. Neither costs anything while nothing happens.
"""

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final

from pidone.contracts import LogSink, Timer
from pidone.ecosystem.spec import Seconds
from pidone.host.cpus import CpuFiles
from pidone.supervise.watching import inotify

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

SETTLED: Final[Seconds] = 0.5
"""After a change, so that quota, period and cpuset are read when all of them have been written."""
LOOK_EVERY: Final[Seconds] = 3.0
"""Least time between two looks beside samples."""


class ResizeWatch:
    """Watches the CPU limits from now until `stop`."""

    def __init__(
        self, files: CpuFiles, *, loop: "AbstractEventLoop", log: LogSink, on_look: Callable[[int], None]
    ) -> None:
        """`on_look` hears after each look how many CPUs may be used; the first one comes at once."""
        self._files = files
        self._loop = loop
        self._log = log
        self._on_look = on_look
        self._looked_at: Seconds = -inf
        self._timer: Timer | None = None
        self._inotify: inotify.Inotify | None = None
        try:
            self._inotify = inotify.Inotify()
            for path in files.written():
                self._inotify.watch(path, inotify.MODIFY)
            loop.add_reader(self._inotify.fd, self._written)
        except OSError as error:  # EMFILE, ENOSPC: the instances or watches of this user are used up
            self._cannot_hear(error)
        self._look_later(0.0)  # it may have changed since the file was read

    def sampled(self) -> None:
        """The memory of the apps is being looked at: a good time to look at this as well."""
        if self._timer is None and self._loop.time() - self._looked_at >= LOOK_EVERY:
            self._look()

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._close_inotify()

    def _cannot_hear(self, error: OSError) -> None:
        why = f"a change of the container's CPUs is noticed beside memory samples only: {error.strerror}"
        self._log.event("info", "config.notice", why)
        self._close_inotify()

    def _close_inotify(self) -> None:
        if self._inotify is not None:
            self._loop.remove_reader(self._inotify.fd)
            self._inotify.close()
            self._inotify = None

    def _written(self) -> None:
        try:
            if self._inotify is not None and any(True for _ in self._inotify.read()):
                self._look_later(SETTLED)
        except OSError as error:  # it would be readable, and fail, in every turn
            self._cannot_hear(error)

    def _look_later(self, delay: Seconds) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay, self._look)

    def _look(self) -> None:
        self._timer = None
        self._looked_at = self._loop.time()
        self._on_look(self._files.available())
