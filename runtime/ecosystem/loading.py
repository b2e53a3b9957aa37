"""Loading an ecosystem in a forked child: the long-lived process never imports what it takes to read one.

It also runs beside whatever the parent does meanwhile, and no file can block or break the parent.
"""

import os
import pickle
import signal
from collections.abc import Callable
from typing import NoReturn

from runtime.ecosystem.spec import Ecosystem
from runtime.errors import ConfigError

_CHUNK = 65536


class Loading:
    """One ecosystem on its way. The owner of the child's pid waits for it."""

    def __init__(self, load: Callable[[], Ecosystem]) -> None:
        """Fork; `load` runs in the child and may raise ConfigError."""
        read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _load_and_tell(load, write)
        os.close(write)
        self.fd = read
        """Becomes readable as the answer arrives."""
        self._answer: list[bytes] = []

    def collect(self) -> bool:
        """Take what has arrived; True when that was all. Waits, unless `fd` was made non-blocking."""
        try:
            while chunk := os.read(self.fd, _CHUNK):
                self._answer.append(chunk)
        except BlockingIOError:
            return False
        return True

    def outcome(self) -> Ecosystem:
        """The ecosystem, once everything is collected. Raises ConfigError; to be called once."""
        os.close(self.fd)
        try:
            result = pickle.loads(b"".join(self._answer))  # noqa: S301 (written by our own child)
        except (pickle.UnpicklingError, EOFError):
            raise ConfigError("the ecosystem could not be read: its reader died") from None
        if isinstance(result, Ecosystem):
            return result
        raise ConfigError(result)


def load_in_child(load: Callable[[], Ecosystem], meanwhile: Callable[[], None]) -> Ecosystem:
    """Load an ecosystem in a child and do something else beside it. Raises ConfigError.

    Waits for the child, so this is for the time before a reaper exists.
    """
    loading = Loading(load)
    meanwhile()
    loading.collect()
    os.waitpid(loading.pid, 0)
    return loading.outcome()


def _load_and_tell(load: Callable[[], Ecosystem], write: int) -> NoReturn:
    result: Ecosystem | str
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        result = load()
    except ConfigError as error:
        result = str(error)
    except BaseException as error:  # noqa: BLE001 (a forked child must end here; the parent reports it)
        result = f"the ecosystem could not be read: {error!r}"
    with open(write, "wb") as pipe:
        pickle.dump(result, pipe)
    os._exit(0)
