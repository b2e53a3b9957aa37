"""The one event loop: asyncio, but only once the first apps run and have had the time for a first line.

Importing asyncio takes as long as everything before the first spawn together, and longer than an app needs to
say its first words. EarlyLoop is what a start needs of a loop: callbacks, timers and readable descriptors. It
hands everything over to asyncio's after a moment, or as soon as somebody asks for more than that.
"""

import os
import select
import sys
import time
from collections.abc import Callable, Mapping
from errno import EINVAL
from typing import TYPE_CHECKING, Any, Final, cast

from pidone.descriptors import close
from pidone.importing import postpone
from pidone.init.signals import Deaf

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Handle

EARLY_TIME_S: Final = 0.08
"""How long the first apps are attended to before asyncio is imported."""
BUSY_TIME_S: Final = 0.5
"""How much longer, at most, while there is something to do at once: of a hundred apps, some start later."""
PARTS: Final = ("socket", "concurrent.futures")
"""What asyncio imports, and most of the time that takes: each has a turn of its own before asyncio's."""
_FD_SETSIZE: Final = 1024
"""Of select(2)."""
_GLANCE_S: Final = 0.02
TRY_AGAIN_S: Final = 5.0
"""Until asyncio's loop is asked for once more, after it could not be had."""


def new_event_loop() -> "AbstractEventLoop":
    """A loop that imports asyncio when it has to; to be used like any other."""
    return cast("AbstractEventLoop", EarlyLoop())


class EarlyLoop:
    """Does what asyncio's loop would do, for the first calls of a start; then it *is* asyncio's loop."""

    def __init__(self, early_time: float = EARLY_TIME_S, busy_time: float = BUSY_TIME_S) -> None:
        """Nothing is imported yet; `early_time` (seconds) counts from `run_forever`, and `busy_time` then."""
        self._early_time = early_time
        self._busy_time = busy_time
        self._real: AbstractEventLoop | None = None
        self._stopped = False
        self._timers: list[_EarlyCall] = []
        self._readers: dict[int, _EarlyCall] = {}
        self._writers: dict[int, _EarlyCall] = {}
        self._handle_fault: Callable[[Any, dict[str, Any]], object] | None = None

    # Each looks for the real loop when it is called: a bound method that was taken early has to work late.

    def time(self) -> float:
        """Monotonic seconds, as asyncio's loops count them."""
        return time.monotonic()

    def call_soon(self, callback: Callable[..., object], *args: object) -> "Handle | _EarlyCall":
        """As asyncio's."""
        return self._real.call_soon(callback, *args) if self._real else self.call_later(0, callback, *args)

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: object
    ) -> "Handle | _EarlyCall":
        """As asyncio's; the delay counts from now, not from the hand-over."""
        if self._real:
            return self._real.call_later(delay, callback, *args)
        call = _EarlyCall(callback, args, when=self.time() + delay)
        self._timers.append(call)
        return call

    def add_reader(self, fd: int, callback: Callable[..., object], *args: object) -> None:
        """As asyncio's."""
        if self._real:
            self._real.add_reader(fd, callback, *args)
        else:
            self._readers[fd] = _EarlyCall(callback, args)

    def remove_reader(self, fd: int) -> bool:
        """As asyncio's."""
        if self._real:
            return self._real.remove_reader(fd)
        return self._readers.pop(fd, None) is not None

    def add_writer(self, fd: int, callback: Callable[..., object], *args: object) -> None:
        """As asyncio's."""
        if self._real:
            self._real.add_writer(fd, callback, *args)
        else:
            self._writers[fd] = _EarlyCall(callback, args)

    def remove_writer(self, fd: int) -> bool:
        """As asyncio's."""
        if self._real:
            return self._real.remove_writer(fd)
        return self._writers.pop(fd, None) is not None

    def set_exception_handler(self, handler: Callable[[Any, dict[str, Any]], object] | None) -> None:
        """As asyncio's."""
        self._handle_fault = handler
        if self._real:
            self._real.set_exception_handler(handler)

    def stop(self) -> None:
        """As asyncio's."""
        self._stopped = True
        if self._real:
            self._real.stop()

    def close(self) -> None:
        """As asyncio's."""
        if self._real:
            self._real.close()

    def run_forever(self) -> None:
        """As asyncio's."""
        hand_over_at = self.time() + self._early_time
        latest = hand_over_at + self._busy_time
        parts = list(PARTS)
        while not self._stopped and self._real is None:
            now = self.time()
            if now < hand_over_at or (now < latest and any(call.when <= now for call in self._timers)):
                self._turn(max(hand_over_at - now, 0.0))
                continue
            self._turn(0.0)  # so that no import adds to what the turn before has taken
            try:
                self._come_nearer(parts)
            except (OSError, ImportError) as error:  # no descriptor: apps are attended to here
                _tell(error)
                hand_over_at = self.time() + TRY_AGAIN_S
        if self._real is not None and not self._stopped:
            self._real.run_forever()

    def _come_nearer(self, parts: list[str]) -> None:
        """Import one of these, or take over when there is none left."""
        if self._stopped:
            return
        if parts:
            __import__(parts.pop(0))
        else:
            self._attach()

    def __getattr__(self, name: str) -> Any:
        """Everything else is asked of the real loop, which has to be there then."""
        return getattr(self._attach(), name)

    def _turn(self, longest: float) -> None:
        """Wait for something to do, at most `longest` seconds, and do it."""
        next_timer = min((call.when for call in self._timers), default=self.time() + longest)
        longest_wait = min(max(next_timer - self.time(), 0), longest)
        for fd, events in wait(self._readers, self._writers, longest_wait):
            # Looked up late: one callback may remove the next one's descriptor.
            if events & ~select.POLLOUT and (reader := self._readers.get(fd)):
                self._run(reader)
            if events & ~select.POLLIN and (writer := self._writers.get(fd)):
                self._run(writer)
        now = self.time()
        due = sorted((call for call in self._timers if call.when <= now), key=lambda call: call.when)
        for call in due:
            if self._real is None:
                self._timers.remove(call)
                self._run(call)

    def _run(self, call: "_EarlyCall") -> None:
        if self._real is not None:  # handed over in the middle of a turn: asyncio does the rest of it
            return
        try:
            call.run()
        except Exception as error:  # noqa: BLE001 (asyncio's loops too report it and go on)
            context = {"message": "Exception in callback", "exception": error}
            if self._handle_fault is None:
                self._attach().call_exception_handler(context)
            else:
                self._handle_fault(self, context)

    def _attach(self) -> "AbstractEventLoop":
        if self._real is not None:
            return self._real
        _need_descriptors()
        real = _import_asyncio()
        try:
            for fd, call in self._readers.items():
                real.add_reader(fd, call.run)
            for fd, call in self._writers.items():
                real.add_writer(fd, call.run)
        except OSError:
            real.close()
            raise
        real.set_exception_handler(self._handle_fault)
        self._real = real
        for call in sorted(self._timers, key=lambda call: call.when):
            call.hand_over(real)
        for known in (self._readers, self._writers, self._timers):  # or what ends later would be held here
            known.clear()
        return real


def wait(
    readers: Mapping[int, object], writers: Mapping[int, object], seconds: float
) -> "list[tuple[int, int]]":
    """A function of its own, so that a signal can tell whether it interrupts this: see SignalInbox."""
    poll = select.poll()
    for fd in readers.keys() | writers.keys():
        poll.register(fd, select.POLLIN * (fd in readers) | select.POLLOUT * (fd in writers))
    try:
        return poll.poll(seconds * 1000)
    except OSError as error:
        if error.errno != EINVAL or isinstance(error, Deaf):
            raise
    # More than the limit (RLIMIT_NOFILE), which somebody has lowered: select(2) does not ask for it, but it
    # knows small numbers alone. The others are looked at one by one, now and then.
    high = [fd for fd in readers.keys() | writers.keys() if fd >= _FD_SETSIZE]
    low = readers.keys() - high, writers.keys() - high
    read, write, _ = select.select(low[0], low[1], (), min(seconds, _GLANCE_S) if high else seconds)
    found = [*((fd, select.POLLIN) for fd in read), *((fd, select.POLLOUT) for fd in write)]
    for fd in high:
        found += _glance(fd, select.POLLIN * (fd in readers) | select.POLLOUT * (fd in writers))
    return found


def _glance(fd: int, events: int) -> "list[tuple[int, int]]":
    poll = select.poll()
    poll.register(fd, events)
    try:
        return poll.poll(0)
    except OSError:  # the limit is 0
        return []


class _EarlyCall:
    """A callback; if it is a timer it may be cancelled before and after it has become a real one."""

    def __init__(self, callback: Callable[..., object], args: tuple[object, ...], *, when: float = 0) -> None:
        self.when = when
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._cancel_real: Callable[[], None] | None = None

    def run(self) -> None:
        if not self._cancelled:
            self._callback(*self._args)

    def cancel(self) -> None:
        self._cancelled = True
        if self._cancel_real is not None:
            self._cancel_real()

    def hand_over(self, real: "AbstractEventLoop") -> None:
        if not self._cancelled:
            self._cancel_real = real.call_at(self.when, self.run).cancel


def _tell(error: Exception) -> None:
    """`logging` is there long before this is needed: the runtime's own events go through it."""
    import logging  # noqa: PLC0415 (this module itself imports next to nothing)

    logging.getLogger(__name__).warning("the event loop cannot be had yet: %s", error)


def _need_descriptors() -> None:
    """Raises OSError where there are fewer than a loop takes: one that is made by half is never closed."""
    spare: list[int] = []
    try:
        for _ in range(2):
            spare += os.pipe()
    finally:
        for fd in spare:
            close(fd)


def _import_asyncio() -> "AbstractEventLoop":
    """Without what it imports for who uses more of it than we do.

    `ssl` is kept out: 4.5 MB and 20 ms, and no TLS is spoken here. Three more are there once somebody looks
    into them: 1.4 MiB of every runtime, and a third of the import's CPU time.
    """
    postpone("inspect")
    postpone("subprocess", PIPE=-1, STDOUT=-2, DEVNULL=-3)  # default arguments of asyncio's
    postpone("asyncio.sslproto", [os.path.join(os.path.dirname(os.__file__), "asyncio")])
    kept_out = "ssl" not in sys.modules
    if kept_out:
        sys.modules["ssl"] = None  # type: ignore[assignment] # makes `import ssl` fail, which asyncio allows for
    try:
        import asyncio  # noqa: PLC0415 (this function decides when and how)
    finally:
        if kept_out:
            del sys.modules["ssl"]

    class Loop(asyncio.SelectorEventLoop):
        """Ends in silence if it never was a whole one: asyncio's would complain about what it never got."""

        is_whole = False

        def __init__(self) -> None:
            super().__init__()
            self.is_whole = True

        def __del__(self) -> None:
            if self.is_whole:
                super().__del__()

    return Loop()
