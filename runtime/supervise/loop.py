"""The one event loop: asyncio, but only once the first apps run.

Importing asyncio takes as long as everything before the first spawn together. Until then EarlyLoop notes what
is asked of the loop, and hands it over; from the first real wait on, every call goes straight to asyncio's.
"""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


def new_event_loop() -> "AbstractEventLoop":
    """A loop that imports asyncio when it has to; to be used like any other."""
    return cast("AbstractEventLoop", EarlyLoop())


class EarlyLoop:
    """Stands in for asyncio's loop before `run_forever`, or before anything but the calls below is used."""

    def __init__(self) -> None:
        """Nothing is imported yet."""
        self._real: AbstractEventLoop | None = None
        self._soon: list[_EarlyCall] = []
        self._readers: dict[int, tuple[Callable[..., object], tuple[object, ...]]] = {}
        self._writers: dict[int, tuple[Callable[..., object], tuple[object, ...]]] = {}

    def time(self) -> float:
        """Monotonic seconds, as asyncio's loops count them."""
        return time.monotonic()

    def call_soon(self, callback: Callable[..., object], *args: object) -> "_EarlyCall":
        """As asyncio's."""
        return self.call_later(0, callback, *args)

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> "_EarlyCall":
        """As asyncio's; the delay counts from now, not from the hand-over."""
        call = _EarlyCall(self.time() + delay, callback, args)
        self._soon.append(call)
        return call

    def add_reader(self, fd: int, callback: Callable[..., object], *args: object) -> None:
        """As asyncio's."""
        self._readers[fd] = (callback, args)

    def remove_reader(self, fd: int) -> bool:
        """As asyncio's."""
        return self._readers.pop(fd, None) is not None

    def add_writer(self, fd: int, callback: Callable[..., object], *args: object) -> None:
        """As asyncio's."""
        self._writers[fd] = (callback, args)

    def remove_writer(self, fd: int) -> bool:
        """As asyncio's."""
        return self._writers.pop(fd, None) is not None

    def run_forever(self) -> None:
        """As asyncio's."""
        self._attach().run_forever()

    def __getattr__(self, name: str) -> Any:
        """Everything else is asked of the real loop, which has to be there then."""
        return getattr(self._attach(), name)

    def _attach(self) -> "AbstractEventLoop":
        if self._real is not None:
            return self._real
        real = self._real = _import_asyncio()
        for name in ("time", "call_later", "add_reader", "remove_reader", "add_writer", "remove_writer"):
            setattr(self, name, getattr(real, name))
        self.call_soon = real.call_soon  # type: ignore[method-assign,assignment]
        for fd, (callback, args) in self._readers.items():
            real.add_reader(fd, callback, *args)
        for fd, (callback, args) in self._writers.items():
            real.add_writer(fd, callback, *args)
        for call in sorted(self._soon, key=lambda call: call.when):
            call.hand_over(real)
        self._soon.clear()
        return real


class _EarlyCall:
    """A timer that may be cancelled before and after it has become a real one."""

    def __init__(self, when: float, callback: Callable[..., object], args: tuple[object, ...]) -> None:
        self.when = when
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._cancel_real: Callable[[], None] | None = None

    def cancel(self) -> None:
        self._cancelled = True
        if self._cancel_real is not None:
            self._cancel_real()

    def hand_over(self, real: "AbstractEventLoop") -> None:
        if not self._cancelled:
            self._cancel_real = real.call_at(self.when, self._callback, *self._args).cancel


def _import_asyncio() -> "AbstractEventLoop":
    """`ssl` is kept out of the import: 4.5 MB and 20 ms, and no TLS is spoken here."""
    kept_out = "ssl" not in sys.modules
    if kept_out:
        sys.modules["ssl"] = None  # type: ignore[assignment] # makes `import ssl` fail, which asyncio allows for
    try:
        import asyncio  # noqa: PLC0415 (this function decides when and how)
    finally:
        if kept_out:
            del sys.modules["ssl"]
    return asyncio.SelectorEventLoop()
