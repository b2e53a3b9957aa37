"""Looking for a pattern in what a stranger wrote: for a moment and no longer, whatever the pattern is.

`re` goes back and tries again, and there are patterns and lines with which it does so for years. A handler of
a signal can break it off, as it asks for signals every 4096 steps (MAYBE_CHECK_SIGNALS in CPython's
Modules/_sre/sre_lib.h). So a timer runs while it looks, and of CPU time (setitimer(2), ITIMER_VIRTUAL): how
busy the machine is decides nothing. As a step may go over all of the text, long ones are looked at in a child
that the kernel ends at its time.
"""

import os
import select
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar, TypeVarTuple

from pidone.csignal import signal
from pidone.descriptors import close

if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

    from pidone.ecosystem.spec import Seconds

LONG: Final = 16 * 1024
"""Bytes. Above, one step of `re` may take so long that 4096 of them are more than a moment."""
_LONGEST_S: "Final[Seconds]" = 0.05
"""CPU time of one look. Ordinary ones take a thousandth of it."""
_SHARE: Final = 0.02
"""Of a CPU, for looks that were broken off: with more of them, nothing is looked at for a while."""
_CREDIT_S: "Final[Seconds]" = 0.2
"""What may be taken of it at once."""

_PATIENCE_MS: Final = 5000
"""For a child that somebody has stopped, or that gets no CPU."""
_COMPLETE: Final = b"\n"
BROKEN_OFF: Final = f"a pattern took more than {_LONGEST_S} s of CPU time on a line and was broken off"

_Args = TypeVarTuple("_Args")
_Found = TypeVar("_Found")


class SearchTooLongError(Exception):
    """It is not known whether the pattern is there."""


class BoundedSearch:
    """Looks at the text of one app. For the main thread: no other one hears signals."""

    def __init__(
        self, tell: Callable[[str], object], *, clock: "Callable[[], Seconds]" = time.monotonic
    ) -> None:
        """`tell` is called whenever a look has taken too long, or has no limit."""
        self._tell = tell
        self._clock = clock
        self._credit_s = _CREDIT_S
        self._credit_at = clock()
        self._is_looking = False
        self._module = ""
        """Where what looks has been written."""

    def attempt(self, look: "Callable[[*_Args], _Found]", *args: *_Args) -> _Found:
        """What `look` returns. It may be broken off anywhere, and so should change nothing but its own.

        Raises:
            SearchTooLongError: It has taken too long, or others have, too often and not long ago.
        """
        if self._credit_s < 0 and self._is_resting():
            raise SearchTooLongError
        began = time.process_time()
        try:
            return self._timed(look, args)
        except SearchTooLongError:
            self._is_resting()
            self._credit_s -= max(time.process_time() - began, _LONGEST_S)  # the timer counts by ticks
            self._tell(BROKEN_OFF)
            raise

    def attempt_apart(self, look: Callable[[bytes], bytes], text: bytes) -> bytes:
        """The same for a text that may be LONG: costs a fork.

        Raises:
            SearchTooLongError: As above, or there is no child to be had.
        """
        if self._credit_s < 0 and self._is_resting():
            raise SearchTooLongError
        try:
            found = _in_child(look, text)
        except OSError as error:
            self._tell(f"a long line cannot be looked at: {error.strerror}")
            raise SearchTooLongError from None
        if found is None:
            self._is_resting()
            self._credit_s -= _LONGEST_S
            self._tell(BROKEN_OFF)
            raise SearchTooLongError
        return found

    def _timed(self, look: "Callable[[*_Args], _Found]", args: "tuple[*_Args]") -> _Found:
        self._module = getattr(look, "__module__", "")
        try:
            before = signal.signal(signal.SIGVTALRM, self._expire)
        except ValueError:  # another thread; the runtime has one
            return look(*args)
        try:
            self._set_timer(_LONGEST_S)
            try:
                self._is_looking = True
                return look(*args)
            finally:
                self._is_looking = False
        finally:
            self._set_timer(0)
            signal.signal(signal.SIGVTALRM, before or signal.SIG_DFL)

    def _set_timer(self, seconds: "Seconds") -> None:
        """Again and again: the first time may come where nothing can be raised."""
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, seconds, seconds)
        except OSError as error:  # a sandbox refuses it: not to look at all would be no better
            self._tell(f"patterns have no limit of time here: setitimer: {error.strerror}")

    def _expire(self, _number: int, frame: "FrameType | None") -> None:
        """Only in the code that looks: within what garbage calls, it would be lost, and do harm."""
        if (
            self._is_looking
            and frame is not None
            and frame.f_globals.get("__name__") in (self._module, __name__)
        ):
            raise SearchTooLongError

    def _is_resting(self) -> bool:
        now = self._clock()
        self._credit_s = min(_CREDIT_S, self._credit_s + (now - self._credit_at) * _SHARE)
        self._credit_at = now
        return self._credit_s < 0


def _in_child(look: Callable[[bytes], bytes], text: bytes) -> bytes | None:
    """What `look` returns, None if it is not there in time. Raises OSError."""
    read, write = os.pipe()
    try:
        # No signal may run our handlers in the child: all but the timer's stay blocked there.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()
            if pid == 0:
                _be_the_child(look, text, write)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            close(write)
        try:
            answer = _read_all(read)
        finally:
            os.kill(pid, signal.SIGKILL)  # it may hang if somebody has stopped it
            os.waitpid(pid, 0)
    finally:
        close(read)
    return answer[:-1] if answer.endswith(_COMPLETE) else None


def _be_the_child(look: Callable[[bytes], bytes], text: bytes, write: int) -> "NoReturn":
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_VIRTUAL, _LONGEST_S)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGVTALRM,))
        answer = memoryview(look(text) + _COMPLETE)
        while answer:
            answer = answer[os.write(write, answer) :]
    finally:
        os._exit(0)


def _read_all(fd: int) -> bytes:
    """Until its end, or until nothing has come for long."""
    arrives = select.poll()
    arrives.register(fd, select.POLLIN)
    chunks: list[bytes] = []
    while arrives.poll(_PATIENCE_MS) and (chunk := os.read(fd, LONG)):
        chunks.append(chunk)
    return b"".join(chunks)
