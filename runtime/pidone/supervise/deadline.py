"""Deadlines: what an instance waits for by the clock, and the clock that they are judged by."""

from collections.abc import Callable
from typing import Final, TypeAlias

from pidone.contracts import Clock, Timer
from pidone.ecosystem.spec import Seconds
from pidone.supervise.instances.states import Event

_PATIENCE: Final[Seconds] = 1.0
"""How long a deadline waits for burials at most: programs may end as fast as they are restarted."""


Lacks: TypeAlias = Callable[[], Seconds]
"""How much of its time somebody has not had, through no fault of its own."""


def _nothing() -> Seconds:
    return 0.0


class DeadlineClock:
    """Calls when it is time, but after whatever has happened by then.

    On a busy machine a turn of the loop takes long, and the next one finds a deadline beside exits, messages
    and signals that are older. The loop looks at descriptors before its timers, so one more turn has those
    told first; and everybody who is dead is buried before anybody is said to live too long.
    """

    def __init__(self, clock: Clock, bury: Callable[[], bool]) -> None:
        """`bury` buries the dead for a limited time, and returns whether there may be more."""
        self._clock = clock
        self._bury = bury

    def time(self) -> Seconds:
        """Monotonic seconds."""
        return self._clock.time()

    def call_later(self, delay: Seconds, callback: Callable[[], None], /) -> Timer:
        """As a loop's."""
        return _LateCall(self._clock, self._bury, delay, callback)


class _LateCall:
    def __init__(
        self, clock: Clock, bury: Callable[[], bool], delay: Seconds, callback: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._bury = bury
        self._callback: Callable[[], None] | None = callback
        self._ends = 0.0
        self._timer = clock.call_later(delay, self._be_due)

    def cancel(self) -> None:
        self._callback = None
        self._timer.cancel()

    def _be_due(self) -> None:
        self._ends = self._clock.time() + _PATIENCE
        self._let_others_go_first()

    def _let_others_go_first(self) -> None:
        self._timer = self._clock.call_later(0.0, self._judge)

    def _judge(self) -> None:
        if self._bury() and self._clock.time() < self._ends:
            self._let_others_go_first()
        elif self._callback is not None:  # else a burial has called it off
            self._callback()


class Deadline:
    """Lets an event happen after some time, unless it is disarmed before."""

    def __init__(self, clock: Clock, happen: Callable[[Event], None]) -> None:
        """Nothing is due."""
        self._clock = clock
        self._happen = happen
        self._timer: Timer | None = None
        self._due: tuple[Seconds, Event, Lacks] | None = None

    def arm(self, delay: Seconds, event: Event, *, lacks: Lacks = _nothing) -> None:
        """Let `event` happen in `delay` seconds, instead of what is due now.

        `lacks` is asked then: if whom it concerns has not had that time, it happens so much later.
        """
        self.disarm()

        def fire() -> None:
            self._timer = self._due = None
            if (more := lacks()) > 0:
                self.arm(more, event, lacks=lacks)
            else:
                self._happen(event)

        self._due = (self._clock.time() + delay, event, lacks)
        self._timer = self._clock.call_later(delay, fire)

    def extend(self, delay: Seconds) -> None:
        """Whatever is due now becomes due in `delay` seconds, unless it is due later anyway."""
        if self._due is None:
            return
        at, event, lacks = self._due
        if self._clock.time() + delay > at:
            self.arm(delay, event, lacks=lacks)

    @property
    def left(self) -> Seconds:
        """Until it is due; 0 if nothing is."""
        return 0.0 if self._due is None else max(0.0, self._due[0] - self._clock.time())

    def disarm(self) -> None:
        """Nothing is due any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._due = None
