"""Reading the ecosystem again, or another file, while the apps run (SIGHUP, `pidone reload FILE`)."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from pidone.ecosystem.spec import Ecosystem
from pidone.errors import ConfigError
from pidone.init.reaper import Reaper
from pidone.record import EMPTY, Record
from pidone.supervise.run.loading import Loading

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

_Found = TypeVar("_Found", Ecosystem, str)


class FileRequest(Record, kw_only=True, hidden=("environ",)):
    """A file that somebody wants to be read beside what runs."""

    file: str
    """As it was typed, in `cwd`."""
    cwd: str
    env_name: str | None = None
    only: tuple[str, ...] = ()
    environ: Mapping[str, str] = EMPTY
    """Variables that count while it is read, beside the runtime's own."""


def read_in_child(
    load: Callable[[], Ecosystem],
    *,
    loop: "AbstractEventLoop",
    reaper: Reaper,
    on_loaded: Callable[[Ecosystem], None],
    on_failed: Callable[[str], None],
) -> None:
    """Let a child read; what it finds arrives on the loop. `load` may take its time and raise ConfigError."""
    try:
        loading = Loading(load)
    except OSError as error:  # no process or descriptor is to be had: the next request may find one
        on_failed(f"cannot start its reader: {error.strerror}")
        return

    def collect() -> None:
        if not loading.collect():
            return
        loop.remove_reader(loading.fd)
        timer.cancel()
        try:
            ecosystem = loading.outcome()
        except ConfigError as error:
            on_failed(str(error))
        else:
            on_loaded(ecosystem)

    def be_late() -> None:
        loop.remove_reader(loading.fd)
        loading.give_up()
        on_failed(str(loading.is_held()))

    try:
        loop.add_reader(loading.fd, collect)
    except OSError as error:  # no room in epoll
        loading.abandon()
        on_failed(f"cannot listen to its reader: {error.strerror}")
        return
    reaper.watch(loading.pid, lambda _status: None)  # what counts is the end of its pipe
    timer = loop.call_later(loading.longest_s, be_late)


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
        self._busy = True
        read_in_child(
            self._load,
            loop=self._loop,
            reaper=self._reaper,
            on_loaded=partial(self._ended, self._on_loaded),
            on_failed=partial(self._ended, self._on_failed),
        )

    def _ended(self, tell: Callable[[_Found], None], found: _Found) -> None:
        self._busy = False
        tell(found)
        if self._again:
            self._again = False
            self.begin()
