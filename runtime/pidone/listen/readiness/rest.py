"""Whether a program is still at work, or waits for something else than the machine.

A program that has had no processor looks idle to a clock, and so does one whose child is at work, or that
waits for the disk. It is at rest when, over several looks, it and its descendants were the same, none wanted
to run or waited for a disk whenever we looked, and what they wanted of processors in between (had, or waited
for in a queue) is next to nothing.
"""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Final

from pidone.contracts import Clock
from pidone.demand import Demand, demand
from pidone.ecosystem.spec import Seconds

if TYPE_CHECKING:
    from pidone.listen.readiness.looks import StartLooks

_REST: Final[Seconds] = 0.25
"""One that has wanted nothing for this long waits for something else than the machine."""
_LOOKS: Final = 3
"""And was seen so this often: a busy machine lets us look seldom."""
_NEXT_TO_NOTHING: Final = 0.1
"""Share of the time between two looks: a timer, a heartbeat."""
MORE: Final[Seconds] = 0.5
"""What a program at work gets beyond the next look."""


class Idleness:
    """The looks at one program so far."""

    def __init__(self, now: Seconds) -> None:
        """It runs since `now`."""
        self.own_time: Seconds = 0.0
        """How long it has run, without what it waited for a processor."""
        self._at = now
        self._last: Demand | None = None
        self._since = now
        self._looks = 0

    def add(self, new: Demand, now: Seconds) -> None:
        """Somebody has looked."""
        passed, self._at = now - self._at, now
        last, self._last = self._last, new
        if last is None or last.of != new.of or passed <= 0:
            self._begin_anew(now)
            self.own_time += passed
            return
        had, lacked = max(0.0, new.had - last.had), max(0.0, new.lacked - last.lacked)
        wanted = had + lacked
        if new.wants_now or wanted > _NEXT_TO_NOTHING * passed:
            self._begin_anew(now)
            # One that stands in the queue has waited all the time: what it lacks is told when it leaves that.
            self.own_time += passed * (had / wanted if wanted > 0 else 0.0)
        else:
            self._looks += 1
            self.own_time += passed

    @property
    def is_proven(self) -> bool:
        """Whether it wants nothing, as far as can be known."""
        return self._looks >= _LOOKS and self._at - self._since >= _REST

    def _begin_anew(self, now: Seconds) -> None:
        self._since = now
        self._looks = 0


class Settling:
    """Waits until a program is at rest, or has had enough time of its own: then it has begun what it does."""

    def __init__(
        self,
        all_: "StartLooks",
        clock: Clock,
        pid: int,
        *,
        patience: Seconds,
        extend: Callable[[Seconds], None],
        then: Callable[[], None],
    ) -> None:
        """`patience` is of its own time from now on; until it is over, `extend` puts off what is due."""
        self.pid = pid
        self._all = all_
        self._clock = clock
        self._patience = patience
        self._extend = extend
        self._then = then
        self._rest = Idleness(clock.time())
        all_.add(self)

    def judge(
        self,
        listeners: Mapping[int, Collection[int]],  # noqa: ARG002
        family: Collection[int],
        *,
        again_in: Seconds,
    ) -> None:
        """Look at it once."""
        self._rest.add(demand(family), self._clock.time())
        if self._rest.is_proven or self._rest.own_time >= self._patience:
            self.close()
            self._then()
        else:
            self._extend(MORE + again_in)

    def spawned(self, pid: int) -> None:
        """It runs already."""

    def watch(self) -> None:
        """It is online."""
        self.close()

    def unwatch(self) -> None:
        """It is about to stop."""
        self.close()

    def close(self) -> None:
        """Nobody waits for it any more."""
        self._all.discard(self)
