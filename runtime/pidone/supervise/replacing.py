"""Wishes to replace instances, from whatever source, carried out one at a time for each app.

A wish for one incarnation is void when that has gone for another reason; one for the whole app makes those
for its instances superfluous.
"""

from collections.abc import Callable

from pidone.contracts import InstanceId
from pidone.record import Record
from pidone.supervise.app import App
from pidone.supervise.rollout import Outcome
from pidone.supervise.states import Event


class Wish(Record, kw_only=True):
    """One replacement that is due."""

    reason: str
    who: InstanceId | None = None
    """The incarnation that has to go; None means every instance of the app."""
    overlap: bool = True
    """Whether its successor may be started beside it."""
    on_failure: Callable[[], None] | None = None
    """The replacement was called off, and the old instance stays."""


class Replacements:
    """What is due and has not begun."""

    def __init__(self) -> None:
        """Nothing is due."""
        self._wishes: dict[tuple[str, str], list[Wish]] = {}

    def ask(self, app: App, wish: Wish) -> None:
        """Replace as soon as nothing else is under way in this app."""
        waiting = self._wishes.setdefault(app.spec.key(), [])
        if wish.who is None:
            superseded, waiting[:] = waiting[:], []
            for other in superseded:
                if other.on_failure is not None:
                    other.on_failure()
        elif any(other.who in (None, wish.who) for other in waiting):
            return
        waiting.append(wish)
        self.proceed(app)

    def proceed(self, app: App) -> None:
        """Something about the app changed: see whether the next wish can be carried out."""
        waiting = self._wishes.get(app.spec.key())
        if not waiting:
            return
        if not app.wanted:
            waiting.clear()
            return
        while waiting and not app.is_replacing:
            self._carry_out(app, waiting.pop(0))

    def _carry_out(self, app: App, wish: Wish) -> None:
        indexes = None
        if wish.who is not None:
            instance = app.instances.get(wish.who.index)
            if instance is None or instance.who != wish.who or not instance.state.has_process:
                return
            if not wish.overlap:
                instance.reason = wish.reason
                instance.handle(Event.RESTART, reason=wish.reason)
                return
            indexes = [wish.who.index]

        def done(outcome: Outcome) -> None:
            if outcome.failure and wish.on_failure is not None:
                wish.on_failure()

        app.reload(indexes=indexes, reason=wish.reason, on_done=done)
