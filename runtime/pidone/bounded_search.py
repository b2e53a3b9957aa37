"""Looking for a pattern in what a stranger wrote: for a moment and no longer, whatever the pattern is.

`re` goes back and tries again, and there are patterns and lines with which it does so for years. A handler of
a signal can break it off, as it asks for signals every 4096 steps (MAYBE_CHECK_SIGNALS in CPython's
Modules/_sre/sre_lib.h). So a timer runs while it looks, and of CPU time (setitimer(2), ITIMER_VIRTUAL): how
busy the machine is decides nothing. As a step may go over all of the text, long ones are looked at in a child
that the kernel ends at its time. The parent waits for it, as the next line comes after this one; so the child
is given up when it is not on its way to an answer, and what was waited for nothing is held against the app.
"""

import os
import select
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar, TypeVarTuple

from pidone import procfs
from pidone.csignal import signal
from pidone.descriptors import close, fork_with_pipe

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

_GLANCE_MS: Final = 10
"""A child that says nothing for so long is looked at."""
_HELD_S: "Final[Seconds]" = 0.1
"""Of waiting for a child that does not even want a CPU: stopped, swapped out, or frozen."""
_LONGEST_WAIT_S: "Final[Seconds]" = 1.0
"""In all. A child that is seldom given a CPU is on its way, but others wait as well."""
_ON_ITS_WAY: Final = ("R", "Z", "X", "")
"""States of a child that wants a CPU, or has ended just now; the last one: where nobody tells."""
_SHORTEST_NAP_S: "Final[Seconds]" = 0.0005
_HEAD: Final = 8
"""Bytes before an answer that tell how long it is: what a child has said before it was killed is none."""
_CHUNK: Final = 64 * 1024
BROKEN_OFF: Final = f"a pattern took more than {_LONGEST_S} s of CPU time on a line and was broken off"
_NOBODY: Final = "a long line could not be looked at: the process that does so"
HELD: Final = f"{_NOBODY} did not answer for {_HELD_S} s: somebody has stopped it, or it waits for memory"
LATE: Final = f"{_NOBODY} did not answer within {_LONGEST_WAIT_S:g} s"
KILLED: Final = f"{_NOBODY} was killed"
_ENDED: Final = f"{_NOBODY} ended without an answer"

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
        """The same for a text that may be LONG: costs a fork, and the loop waits for a second at most.

        Raises:
            SearchTooLongError: As above, or there is no child to be had, or somebody holds or kills it.
        """
        if self._credit_s < 0 and self._is_resting():
            raise SearchTooLongError
        try:
            child = _Child(look, text)
            try:
                found = child.answer()
            finally:
                child.end()
        except OSError as error:
            self._tell(f"a long line cannot be looked at: {error.strerror}")
            raise SearchTooLongError from None
        self._is_resting()
        if found is None:
            self._credit_s -= max(child.waited_s, _LONGEST_S)
            self._tell(child.why_not)
            raise SearchTooLongError
        self._credit_s -= child.held_s
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


class _Patience:
    """How long a child has been waited for. Where we got no CPU ourselves, nobody was waiting."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.waited_s: Seconds = 0.0
        self.held_s: Seconds = 0.0
        """While it was not on its way."""

    def spend(self, seconds: "Seconds") -> None:
        """It has said something then."""
        self.waited_s += seconds

    def spend_in_silence(self, seconds: "Seconds") -> None:
        """Look what it does."""
        self.waited_s += seconds
        if procfs.state(self._pid) not in _ON_ITS_WAY:
            self.held_s += seconds

    @property
    def is_over(self) -> str:
        """Why it is not to be waited for any longer; empty if it is."""
        if self.held_s >= _HELD_S:
            return HELD
        return LATE if self.waited_s >= _LONGEST_WAIT_S else ""


class _Child:
    """A process that looks once."""

    def __init__(self, look: Callable[[bytes], bytes], text: bytes) -> None:
        """Fork it. Raises OSError, and then there is none."""
        self.why_not = _ENDED
        """Why there is no answer."""
        # All signals but the timer's stay blocked there.
        self._pid, self._read = fork_with_pipe(lambda write: _be_the_child(look, text, write))
        self._for_answer = _Patience(self._pid)
        self._for_end = _Patience(self._pid)

    @property
    def waited_s(self) -> "Seconds":
        """What it has cost us."""
        return self._for_answer.waited_s + self._for_end.waited_s

    @property
    def held_s(self) -> "Seconds":
        """How long we waited for its answer while it did nothing."""
        return self._for_answer.held_s

    def answer(self) -> bytes | None:
        """What `look` returns, None if it is not there in time, or not whole. Raises OSError."""
        arrives = select.poll()
        arrives.register(self._read, select.POLLIN)
        patience = self._for_answer
        answer = bytearray()
        while not (why := patience.is_over):
            began = time.monotonic()
            if not arrives.poll(_GLANCE_MS):
                patience.spend_in_silence(_GLANCE_MS / 1000)
                continue
            patience.spend(min(time.monotonic() - began, _GLANCE_MS / 1000))
            chunk = os.read(self._read, _CHUNK)
            answer += chunk
            if len(answer) >= _HEAD and len(answer) == _HEAD + int.from_bytes(answer[:_HEAD]):
                return bytes(answer[_HEAD:])
            if not chunk:
                return None
        self.why_not = why
        return None

    def end(self) -> None:
        """Kill and bury it. Who does not even die in time is left to the reaper, like any orphan."""
        close(self._read)
        with suppress(OSError):
            os.kill(self._pid, signal.SIGKILL)
        nap = _SHORTEST_NAP_S
        with suppress(OSError):  # somebody else has buried it
            while (ended := os.waitpid(self._pid, os.WNOHANG)) == (0, 0):
                if self._for_end.is_over:
                    return
                time.sleep(nap)
                self._for_end.spend_in_silence(nap)
                nap = min(2 * nap, _GLANCE_MS / 1000)
            if self.why_not is _ENDED and os.WIFSIGNALED(ended[1]):
                self.why_not = BROKEN_OFF if os.WTERMSIG(ended[1]) == signal.SIGVTALRM else KILLED


def _be_the_child(look: Callable[[bytes], bytes], text: bytes, write: int) -> "NoReturn":
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_VIRTUAL, _LONGEST_S)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGVTALRM,))
        found = look(text)
        answer = memoryview(len(found).to_bytes(_HEAD) + found)
        while answer:
            answer = answer[os.write(write, answer) :]
    finally:
        os._exit(0)
