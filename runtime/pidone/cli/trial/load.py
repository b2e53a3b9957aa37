"""A bounded load on this machine: a few clients of each kind, which notice exactly how each request ends.

Not one of the well-known generators, because none that comes as a package tells apart what matters here:
wrk and hey count "read errors", locust and k6 repeat what was dropped on a kept connection, and none can say
of a single request whether it was refused, reset, cut, or lost on a connection that had served before, when,
and whether its line is in the log. HTTP itself is h11's, WebSockets are wsproto's.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final, Self

from pidone.cli.trial.answers import Book
from pidone.cli.trial.clients import CLIENTS, Client, Endpoint
from pidone.ecosystem.spec import Seconds

_STOP_TIME: Final[Seconds] = 10.0
_EVERY: Final[Seconds] = 0.2
_FEW: Final = 3
_APART: Final[Seconds] = 1.0
"""Clients of a kind begin evenly spread over so long: in step, they would all be between two requests of an
app of the same pace when a process ends, or all have just asked, and it would be acquitted by chance."""
_STARVED: Final = 0.15
"""Share of its time that a thread waits for a processor on a machine that has too much to do."""


class Load:
    """Clients in a thread of their own, between `with` and its end."""

    def __init__(self) -> None:
        """Nobody is asked yet."""
        self.book = Book()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._looks: deque[tuple[float, Seconds]] = deque(maxlen=10_000)
        """When the thread was looked at, and how long it had waited for a processor by then."""

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        self._in_loop(self._begin())
        return self

    def __exit__(self, *_: object) -> None:
        """Every client ends, and its connection with it."""
        self.end()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_TIME)
        self._loop.close()

    def add(self, target: Endpoint) -> None:
        """Ask there too, with clients of each kind."""
        self._in_loop(self._add(target))

    def end(self) -> None:
        """No more requests; those in progress are let go."""
        self._in_loop(self._end())

    def waited(self, since: float, until: float) -> Seconds:
        """How long the clients have waited for a processor between (both of time.monotonic).

        Infinite where they waited so long that they could not look at it.
        """
        looks = [look for look in list(self._looks) if since <= look[0] <= until]
        if len(looks) < (until - since) / _EVERY / 2:
            return math.inf
        return looks[-1][1] - looks[0][1]

    def is_starved(self, since: float) -> bool:
        """Whether the clients have waited much for a processor since then (time.monotonic)."""
        looks = [look for look in list(self._looks) if look[0] >= since]
        if len(looks) < _FEW:
            return False
        (began, before), (ended, after) = looks[0], looks[-1]
        return after - before > _STARVED * (ended - began)

    async def _look(self) -> None:
        while (waited := _waited()) is not None:
            self._looks.append((time.monotonic(), waited))
            await asyncio.sleep(_EVERY)

    def _in_loop(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(_STOP_TIME)

    async def _begin(self) -> None:
        self._tasks.add(asyncio.ensure_future(self._look()))

    async def _add(self, target: Endpoint) -> None:
        for client, many in CLIENTS:
            for one in range(many):
                asking = self._ask(client, target, after=one * _APART / many)
                self._tasks.add(asyncio.ensure_future(asking))

    async def _ask(self, client: Client, target: Endpoint, after: Seconds) -> None:
        await asyncio.sleep(after)
        await client(target, self.book)

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()


def _waited() -> Seconds | None:
    """How long this thread has waited for a processor; None where the kernel does not tell."""
    try:
        with open("/proc/thread-self/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except OSError:
        return None
