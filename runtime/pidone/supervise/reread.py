"""Reading the ecosystem again while the apps run (SIGHUP)."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from pidone.ecosystem.spec import Ecosystem
from pidone.errors import ConfigError
from pidone.init.reaper import Reaper
from pidone.supervise.loading import Loading

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class Reread:
    """One reading at a time; what it finds arrives on the loop."""

    def __init__(
        self,
        load: Callable[[], Ecosystem],
        *,
        loop: "AbstractEventLoop",
        reaper: Reaper,
        on_loaded: Callable[[Ecosystem], None],
        on_failed: Callable[[str], None],
    ) -> None:
        """`load` may take its time and raise ConfigError; it runs in a child."""
        self._load = load
        self._loop = loop
        self._reaper = reaper
        self._on_loaded = on_loaded
        self._on_failed = on_failed
        self._busy = False
        self._again = False

    def begin(self) -> None:
        """Read now, or once more when the reading that is under way has ended."""
        if self._busy:
            self._again = True
            return
        try:
            loading = Loading(self._load)
        except OSError as error:  # no process or descriptor is to be had: the next signal may find one
            self._on_failed(f"cannot start its reader: {error.strerror}")
            return
        self._busy = True
        self._reaper.watch(loading.pid, lambda _status: None)  # what counts is the end of its pipe
        os.set_blocking(loading.fd, False)
        self._loop.add_reader(loading.fd, self._collect, loading)

    def _collect(self, loading: Loading) -> None:
        if not loading.collect():
            return
        self._loop.remove_reader(loading.fd)
        self._busy = False
        try:
            ecosystem = loading.outcome()
        except ConfigError as error:
            self._on_failed(str(error))
        else:
            self._on_loaded(ecosystem)
        if self._again:
            self._again = False
            self.begin()
