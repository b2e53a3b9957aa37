"""An event loop on a turned clock: asyncio's turns, without a selector, and time that passes when told to."""

import asyncio
import heapq
import itertools
import traceback
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final

MOST_TURNS: Final = 2000
"""Turns at one instant; more is a loop that never comes to rest."""


class Handle:
    """A call that is due, and can be taken back."""

    __slots__ = ("args", "callback", "cancelled", "when")

    def __init__(self, when: float, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.when = when
        self.callback = callback
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class EndlessTurnsError(Exception):
    """At one instant something calls itself again and again."""


class SimLoop:
    """What the runtime uses of an AbstractEventLoop."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.stopped = False
        self.errors: list[str] = []
        """What was raised out of a callback, with its traceback."""
        self.after_turn: Callable[[], None] = lambda: None
        self.driver: Callable[[], None] = lambda: None
        """What `run_forever` does."""
        self._timers: list[tuple[float, int, Handle]] = []
        self._ready: deque[Handle] = deque()
        self._readers: dict[int, Handle] = {}
        self._readable: dict[int, None] = {}
        self._order = itertools.count()
        self._handler: Callable[[Any, dict[str, Any]], object] | None = None

    # -- as asyncio's ----------------------------------------------------------------------------------

    def time(self) -> float:
        return self.now

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        del context
        handle = Handle(self.now, callback, args)
        self._ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, **_: Any) -> Handle:
        when = self.now + delay
        handle = Handle(when, callback, args)
        heapq.heappush(self._timers, (when, next(self._order), handle))
        return handle

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, **_: Any) -> Handle:
        handle = Handle(when, callback, args)
        heapq.heappush(self._timers, (when, next(self._order), handle))
        return handle

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        self._readers[fd] = Handle(0, callback, args)

    def remove_reader(self, fd: int) -> bool:
        self._readable.pop(fd, None)
        return self._readers.pop(fd, None) is not None

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)  # type: ignore[arg-type] # it has what a future asks for

    def create_task(self, coroutine: Coroutine[Any, Any, Any], **_: Any) -> "asyncio.Task[Any]":
        return asyncio.Task(coroutine, loop=self)  # type: ignore[arg-type] # as above

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self.stopped

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None: ...

    def set_exception_handler(self, handler: Callable[[Any, dict[str, Any]], object] | None) -> None:
        self._handler = handler

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        text = "".join(traceback.format_exception(error)) if error else str(context.get("message"))
        self.errors.append(text)
        if self._handler is not None:
            self._handler(self, context)

    def run_forever(self) -> None:
        self.driver()

    # -- turned by hand --------------------------------------------------------------------------------

    def readable(self, fd: int) -> None:
        """There is something to read from a descriptor: its reader is called in the next turn."""
        self._readable[fd] = None

    def stall(self, seconds: float) -> None:
        """The runtime has no CPU: time passes without a turn, and all that is due by then comes in one."""
        self.now += seconds

    @property
    def next_due(self) -> float | None:
        """When something happens next; None for never."""
        if self._ready or (self._readable and self._readable.keys() & self._readers.keys()):
            return self.now
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass, turn by turn, until nothing is due or the loop was stopped."""
        end = self.now + seconds
        asyncio._set_running_loop(self)  # type: ignore[arg-type] # for asyncio.wait
        try:
            self._turn_until(end)
        finally:
            asyncio._set_running_loop(None)

    def _turn_until(self, end: float) -> None:
        turns, instant = 0, self.now
        while not self.stopped:
            due = self.next_due
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            turns = turns + 1 if self.now == instant else 0
            instant = self.now
            if turns > MOST_TURNS:
                raise EndlessTurnsError(f"{MOST_TURNS} turns at {self.now:g}")
            self._turn()
        self.now = max(self.now, end) if not self.stopped else self.now

    def _turn(self) -> None:
        """Descriptors first, then timers; what they ask for `soon` belongs to the next turn."""
        ready, timers, now = self._ready, self._timers, self.now
        for fd in list(self._readable) if self._readable else ():
            reader = self._readers.get(fd)
            if reader is not None:
                del self._readable[fd]
                ready.append(reader)
        while timers and timers[0][0] <= now:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle.cancelled:
                continue
            try:
                handle.callback(*handle.args)
            except Exception as error:  # noqa: BLE001 (that is the question)
                self.call_exception_handler({"exception": error})
        self.after_turn()

    def run(self, callback: Callable[..., object], *args: Any) -> None:
        """As a callback: what it raises is noted, and the loop goes on."""
        try:
            callback(*args)
        except Exception as error:  # noqa: BLE001 (that is the question)
            self.call_exception_handler({"exception": error})
