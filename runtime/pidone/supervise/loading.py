"""Loading an ecosystem in a forked child: the long-lived process never imports what it takes to read one.

It also runs beside whatever the parent does meanwhile, and no file can block or break the parent. The fork
comes before nearly every import, so this module has hardly any of its own.
"""

import os

from pidone.csignal import signal

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from pidone.ecosystem.spec import Ecosystem

_CHUNK = 65536
_CPU_SECONDS = 10
"""A reader that computes longer than this is ended by the kernel; the longest legitimate one takes two."""


class Loading:
    """One ecosystem on its way. The owner of the child's pid waits for it."""

    def __init__(self, load: "Callable[[], Ecosystem]") -> None:
        """Fork; `load` runs in the child and may raise any PidoneError. Raises OSError."""
        read, write = os.pipe()
        try:
            self.pid = os.fork()
        except OSError:
            os.close(read)
            os.close(write)
            raise
        if self.pid == 0:
            os.close(read)
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

    def outcome(self) -> "Ecosystem":
        """The ecosystem, once everything is collected; to be called once. Raises what `load` raised."""
        import pickle  # noqa: PLC0415 (the child is forked before anything is imported)

        from pidone.ecosystem.spec import Ecosystem  # noqa: PLC0415
        from pidone.errors import ConfigError, PidoneError  # noqa: PLC0415

        os.close(self.fd)
        try:
            result = pickle.loads(b"".join(self._answer))  # noqa: S301 (written by our own child)
        except (pickle.UnpicklingError, EOFError):
            raise ConfigError("the ecosystem could not be read: its reader died") from None
        if isinstance(result, Ecosystem):
            return result
        raise result if isinstance(result, PidoneError) else ConfigError(str(result))

    def wait(self) -> "Ecosystem":
        """Wait for the outcome and for the child; for the time before a reaper exists."""
        self.collect()
        os.waitpid(self.pid, 0)
        return self.outcome()


def _load_and_tell(load: "Callable[[], Ecosystem]", write: int) -> "NoReturn":
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        result = _load(load)
    except BaseException as error:  # noqa: BLE001 (a forked child must end here; the parent reports it)
        result = f"the ecosystem could not be read: {error!r}"
    import pickle  # noqa: PLC0415 (as above)

    with open(write, "wb") as pipe:
        pickle.dump(result, pipe)
    os._exit(0)


def _load(load: "Callable[[], Ecosystem]") -> object:
    import resource  # noqa: PLC0415 (as above)

    from pidone.errors import PidoneError  # noqa: PLC0415 (as above)

    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    try:
        return load()
    except PidoneError as error:
        return error
