"""Which slots new connections go to: away from those that start, drain, restart, or do not accept."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Final

from runtime.ecosystem.spec import Balance, Seconds
from runtime.listen.ports import Port

CALM: Final = 0.03
"""Seconds between looks at the queues while all are empty."""
ALERT: Final = 0.01
"""Seconds between looks while something waits; with CALM, a worker that hangs is found within 50 ms."""
_SUSPICIONS: Final = 2
"""Looks in a row at a queue that did not get shorter before its slot counts as stuck."""
_SETTLE: Final = 0.1
"""How long a queue has to stay empty: handshakes in flight still join the queue they began with."""


class Steering:
    """Watches the slots of one app and keeps its ports informed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, balance: Balance) -> None:
        self._loop = loop
        # A client of `source` keeps its worker even while that one is slow: that is what it is for.
        self._watches_queues = balance is Balance.SPREAD
        self._ports: list[Port] = []
        self._serving: Counter[int] = Counter()
        self._held_back: Counter[int] = Counter()
        self._lengths: dict[tuple[int, int], tuple[int, int]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, port: Port) -> None:
        """Steer this port too."""
        self._ports.append(port)
        self._apply()

    def remove(self, port: Port) -> None:
        """The port was closed."""
        self._ports.remove(port)
        if not self._ports:
            self.stop()

    def serving(self, slot: int, change: int) -> None:
        """One more (+1) or one fewer (-1) process of this slot accepts connections."""
        self._serving[slot] += change
        self._apply()

    def serves(self, slot: int) -> int:
        """How many processes of this slot accept connections: two while one replaces the other."""
        return self._serving[slot]

    def queued(self, slot: int) -> int:
        """Connections that wait for this slot and nobody else."""
        return sum(port.queued(slot) for port in self._ports)

    async def empty(self, slot: int, deadline: Seconds) -> bool:
        """Steer away from a slot until nothing waits for it; False if that did not happen in time."""
        ends = self._loop.time() + deadline
        self._held_back[slot] += 1
        self._apply()
        try:
            quiet_since = self._loop.time()
            while (now := self._loop.time()) < quiet_since + _SETTLE:
                if now > ends:
                    return False
                await asyncio.sleep(ALERT)
                if self.queued(slot):
                    quiet_since = self._loop.time()
            return True
        finally:
            self._loop.call_soon(self._let_go, slot)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _let_go(self, slot: int) -> None:
        self._held_back[slot] -= 1
        self._apply()

    def _apply(self) -> None:
        candidates = frozenset(
            slot for slot, count in self._serving.items() if count > 0 and not self._held_back[slot]
        )
        for number, port in enumerate(self._ports):
            # Where everybody hangs, everybody is as good as any other.
            port.steer(candidates - self._stuck(number, candidates) or candidates)
        if self._watches_queues and len(candidates) > 1 and self._timer is None and self._ports:
            self._timer = self._loop.call_later(CALM, self._look)

    def _stuck(self, port: int, slots: Iterable[int]) -> frozenset[int]:
        return frozenset(slot for slot in slots if self._lengths.get((port, slot), (0, 0))[1] >= _SUSPICIONS)

    def _look(self) -> None:
        self._timer = None
        before = {key for key, (_, suspicion) in self._lengths.items() if suspicion >= _SUSPICIONS}
        lengths: dict[tuple[int, int], tuple[int, int]] = {}
        for number, port in enumerate(self._ports):
            for slot in self._serving:
                if length := port.queued(slot):
                    last, suspicion = self._lengths.get((number, slot), (length + 1, 0))
                    lengths[number, slot] = (length, suspicion + 1 if length >= last else 0)
        self._lengths = lengths
        stuck = {key for key, (_, suspicion) in lengths.items() if suspicion >= _SUSPICIONS}
        if sum(count > 0 for count in self._serving.values()) > 1:
            self._timer = self._loop.call_later(ALERT if lengths else CALM, self._look)
        if stuck != before:
            self._apply()
