"""Signals become a queue: a handler only notes the number, the loop decides.

Installed before anything slow is imported, because PID 1 has no default dispositions: a SIGTERM that arrives
before its handler is lost for good. For that reason this module imports nothing that is not in the
interpreter already, and a list is good enough for a queue. `loop.add_signal_handler` would come too late:
asyncio is imported when the first apps run. Python offers no signalfd(2), which would need signals to be
blocked, and every child that did not undo it would inherit that.
"""

import os

from pidone.csignal import let_in, signal

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    from types import FrameType

# Left alone: uncatchable, synchronous faults (a handler in Python would spin), those Python ignores, and the
# terminal's job control, whose defaults are right for a foreground process.
_LEFT_ALONE = frozenset(
    {
        signal.SIGKILL,
        signal.SIGSTOP,
        signal.SIGILL,
        signal.SIGTRAP,
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGSEGV,
        signal.SIGSYS,
        signal.SIGPIPE,
        signal.SIGXFSZ,
        signal.SIGTSTP,
        signal.SIGTTIN,
        signal.SIGTTOU,
    }
)


WAITS = ("select", "wait")
"""The functions in which the loop waits: of the library's selectors, and of EarlyLoop."""
_AGAIN_S = 0.05


class Deaf(OSError):  # noqa: N818 (what the loop is, and not an error of its callbacks)
    """The pipe takes nothing: the loop would sleep on, so it is broken off, and can be turned on again."""


class SignalInbox:
    """Collects signals from the first instruction on; readable through a pipe once somebody listens."""

    def __init__(self) -> None:
        """Install the handlers."""
        self._arrived: list[int] = []
        self._pipe: tuple[int, int] | None = None
        for number in signal.valid_signals() - _LEFT_ALONE:
            signal.signal(number, self._note)
        let_in()  # who started us may have had some blocked: they would wait for ever, and a stop with them

    def _note(self, number: int, frame: "FrameType | None") -> None:
        self._arrived.append(number)
        if self._pipe is not None:
            try:
                os.write(self._pipe[1], b"\0")  # again: the interpreter's own write has no outcome
            except OSError as error:
                # What is interrupted elsewhere must not be broken off, and may wait next: soon once more.
                if frame is None or frame.f_code.co_name not in WAITS:
                    signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
                    return
                raise Deaf(error.errno, error.strerror) from None

    def open(self) -> int:
        """A descriptor that turns readable when a signal arrives; earlier ones are in the queue already."""
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._pipe = (read, write)
        # A full pipe is no loss: the queue holds the numbers, the pipe only wakes the loop.
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        return read

    def take(self) -> list[int]:
        """Everything that arrived since the last call, in order; repeated SIGCHLDs count once."""
        if self._pipe is not None:
            try:
                while len(os.read(self._pipe[0], 4096)) == 4096:
                    pass
            except BlockingIOError:
                pass
        taken: list[int] = []
        while self._arrived:
            number = self._arrived.pop(0)
            if number != signal.SIGCHLD or number not in taken:
                taken.append(number)
        return taken

    def has_stop(self) -> bool:
        """Whether a stop was asked for: by a signal that means one until an ecosystem says otherwise."""
        return not {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}.isdisjoint(self._arrived)

    def close(self) -> None:
        """Stop waking anybody; handlers stay, so that a late signal does not kill the process."""
        signal.set_wakeup_fd(-1)
        if self._pipe is not None:
            from pidone.descriptors import close  # noqa: PLC0415 (nothing comes before the handlers)

            for fd in self._pipe:
                close(fd)
            self._pipe = None
