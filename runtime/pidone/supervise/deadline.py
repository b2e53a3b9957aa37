"""The one thing that an instance waits for by the clock: each state has at most one deadline."""

from collections.abc import Callable

from pidone.contracts import Clock, Timer
from pidone.ecosystem.spec import Seconds
from pidone.supervise.states import Event


class Deadline:
    """Lets an event happen after some time, unless it is disarmed before."""

    def __init__(self, clock: Clock, happen: Callable[[Event], None]) -> None:
        """Nothing is due."""
        self._clock = clock
        self._happen = happen
        self._timer: Timer | None = None
        self._due: tuple[Seconds, Event] | None = None

    def arm(self, delay: Seconds, event: Event) -> None:
        """Let `event` happen in `delay` seconds, instead of what is due now."""
        self.disarm()

        def fire() -> None:
            self._timer = self._due = None
            self._happen(event)

        self._due = (self._clock.time() + delay, event)
        self._timer = self._clock.call_later(delay, fire)

    def extend(self, delay: Seconds) -> None:
        """Whatever is due now becomes due in `delay` seconds, unless it is due later anyway."""
        if self._due is None:
            return
        at, event = self._due
        if self._clock.time() + delay > at:
            self.arm(delay, event)

    @property
    def left(self) -> Seconds:
        """Until it is due; 0 if nothing is."""
        return 0.0 if self._due is None else max(0.0, self._due[0] - self._clock.time())

    def disarm(self) -> None:
        """Nothing is due any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._due = None
