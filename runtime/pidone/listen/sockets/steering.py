"""Which members of a port new connections go to: away from what starts, drains, restarts, hangs or ends."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, Final

from pidone.ecosystem.spec import Balance, Seconds
from pidone.listen.sockets.address import Kind
from pidone.listen.sockets.ports import COMMON, Port

CALM: Final = 0.03
"""Seconds between looks at the queues while all are empty."""
ALERT: Final = 0.01
"""Seconds between looks while something waits; with CALM, a worker that hangs is found within 50 ms."""
_SUSPICIONS: Final = 2
"""Looks in a row at a queue that did not get shorter before its slot counts as stuck."""
_SETTLE: Final = 0.1
"""How long a queue has to stay empty: handshakes in flight still join the queue they began with."""
HAND_OVER: Final = 1.0
"""Seconds a retired slot's queue may take to empty before the runtime carries the rest over itself."""


class Steering:
    """Watches the members of one app's ports and keeps the ports informed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, balance: Balance) -> None:
        self._loop = loop
        self._balance = balance
        self._ports: list[Port] = []
        self._serving: Counter[int] = Counter()
        self._held_back: Counter[int] = Counter()
        self._lengths: dict[tuple[int, int], tuple[int, int]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, port: Port) -> None:
        """Steer this port too."""
        self._ports.append(port)
        self._apply()

    def rebalance(self, balance: Balance) -> None:
        """Choose in another way from now on."""
        self._balance = balance
        self._lengths.clear()
        for port in self._ports:
            port.rebalance(balance)
        self._apply()

    def remove(self, port: Port) -> None:
        """The port was closed."""
        self._ports.remove(port)
        if not self._ports:
            self.stop()

    def serving(self, member: int, change: int) -> None:
        """One more (+1) or one fewer (-1) process of this member accepts connections."""
        self._serving[member] += change
        self._apply()

    def serves(self, member: int) -> int:
        """How many processes of this member accept connections: two while one replaces another in a slot."""
        return self._serving[member]

    def serves_elsewhere(self, member: int) -> bool:
        """Whether any other member has processes that accept connections."""
        return any(count > 0 for other, count in self._serving.items() if other != member)

    def queued(self, member: int) -> int:
        """Connections that wait for this member and nobody else."""
        return sum(port.queued(member) for port in self._ports)

    @property
    def numbers(self) -> frozenset[int]:
        """The ports of TCP."""
        return frozenset(port.address.port for port in self._ports if port.address.kind is Kind.TCP)

    async def empty(self, member: int, deadline: Seconds) -> bool:
        """Steer away from a member until nothing waits for it; False if that did not happen in time."""
        ends = self._loop.time() + deadline
        self._held_back[member] += 1
        self._apply()
        try:
            quiet_since = self._loop.time()
            while (now := self._loop.time()) < quiet_since + _SETTLE:
                if now > ends:
                    return False
                await asyncio.sleep(ALERT)
                if self.queued(member):
                    quiet_since = self._loop.time()
            return True
        finally:
            self._loop.call_soon(self._let_go, member)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _let_go(self, member: int) -> None:
        self._held_back[member] -= 1
        self._apply()

    def _apply(self) -> None:
        candidates = frozenset(
            member for member, count in self._serving.items() if count > 0 and not self._held_back[member]
        )
        for number, port in enumerate(self._ports):
            # Where everybody hangs, everybody is as good as any other.
            chosen = candidates - self._stuck(number, candidates) or candidates
            port.steer({each: self._serving[each] if each == COMMON else 1 for each in chosen})
        # A client of `source` keeps its worker even while that one is slow: that is what it is for.
        if self._balance is Balance.SPREAD and len(candidates) > 1 and self._timer is None and self._ports:
            self._timer = self._loop.call_later(CALM, self._look)

    def _stuck(self, port: int, members: Iterable[int]) -> frozenset[int]:
        return frozenset(
            member for member in members if self._lengths.get((port, member), (0, 0))[1] >= _SUSPICIONS
        )

    def _look(self) -> None:
        self._timer = None
        before = {key for key, (_, suspicion) in self._lengths.items() if suspicion >= _SUSPICIONS}
        lengths: dict[tuple[int, int], tuple[int, int]] = {}
        for number, port in enumerate(self._ports):
            for member in self._serving:
                if length := port.queued(member):
                    last, suspicion = self._lengths.get((number, member), (length + 1, 0))
                    lengths[number, member] = (length, suspicion + 1 if length >= last else 0)
        self._lengths = lengths
        stuck = {key for key, (_, suspicion) in lengths.items() if suspicion >= _SUSPICIONS}
        if self._balance is Balance.SPREAD and sum(count > 0 for count in self._serving.values()) > 1:
            self._timer = self._loop.call_later(ALERT if lengths else CALM, self._look)
        if stuck != before:
            self._apply()


class Retirement:
    """Sees to the queues of members that have no process any more, then closes their sockets."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, steering: Steering, ports: Mapping[Any, Port]
    ) -> None:
        """`ports` are those of the app at any time."""
        self._loop = loop
        self._steering = steering
        self._ports = ports
        self._members: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, member: int) -> None:
        """Its process has gone for good, or is to have other sockets."""
        if member not in self._members:
            self._members.add(member)
            self._start(self._retire(member))

    def give_up(self, member: int) -> None:
        """It has a process again, and lives on with its sockets."""
        self._members.discard(member)

    def stop(self) -> None:
        """Carry nothing over any more."""
        for task in self._tasks:
            task.cancel()

    async def _retire(self, member: int) -> None:
        is_empty = await self._steering.empty(member, HAND_OVER)
        if member not in self._members:
            return
        self._members.discard(member)
        if not is_empty:
            from pidone.listen.sockets import relay  # noqa: PLC0415 (after a kill during scale-down only)

            for port in self._ports.values():
                if not port.queued(member):
                    continue
                for client in relay.accept_all(port.for_member(member)):
                    self._start(relay.relay(client, port.address))
        for port in self._ports.values():
            port.retire(member)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
