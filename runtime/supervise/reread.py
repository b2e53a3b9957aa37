"""Reading the ecosystem in a forked child, so that no file can block or break the loop."""

import asyncio
import os
import pickle
import signal
from collections.abc import Callable
from typing import NoReturn

from runtime.ecosystem.spec import Ecosystem
from runtime.errors import ConfigError
from runtime.init.reaper import ExitStatus, Reaper

_CHUNK = 65536


class Reread:
    """One reading at a time; what it finds arrives on the loop."""

    def __init__(
        self,
        load: Callable[[], Ecosystem],
        *,
        loop: asyncio.AbstractEventLoop,
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
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            _load_and_tell(self._load, write)
        os.close(write)
        os.set_blocking(read, False)
        answer: list[bytes] = []
        self._loop.add_reader(read, self._collect, read, answer)

        def ended(status: ExitStatus) -> None:
            self._collect(read, answer)
            self._loop.remove_reader(read)
            os.close(read)
            self._finish(b"".join(answer), status)

        self._reaper.watch(pid, ended)

    def _collect(self, read: int, answer: list[bytes]) -> None:
        try:
            while chunk := os.read(read, _CHUNK):
                answer.append(chunk)
            self._loop.remove_reader(read)  # its end: nothing more will come, and it would stay readable
        except BlockingIOError:
            pass

    def _finish(self, answer: bytes, status: ExitStatus) -> None:
        self._busy = False
        try:
            result = pickle.loads(answer)  # noqa: S301 (written by our own child)
        except (pickle.UnpicklingError, EOFError):
            result = ConfigError(f"reading it failed (code {status.shell_code})")
        if isinstance(result, Ecosystem):
            self._on_loaded(result)
        else:
            self._on_failed(str(result))
        if self._again:
            self._again = False
            self.begin()


def _load_and_tell(load: Callable[[], Ecosystem], write: int) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    result: Ecosystem | ConfigError
    try:
        result = load()
    except ConfigError as error:
        result = error
    except BaseException as error:  # noqa: BLE001 (a forked child must end here; the parent reports it)
        result = ConfigError(f"reading it failed: {error!r}")
    with open(write, "wb") as pipe:
        pickle.dump(result, pipe)
    os._exit(0)
