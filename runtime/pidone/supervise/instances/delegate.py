"""What the supervisor, its apps and instances need of whoever does the work beside starting and stopping.

Hooks, memory limits, age, schedules and file changes all hang on these calls, so that the state machine knows
none of them.
"""

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias, TypeVar

from pidone.ecosystem.spec import Seconds
from pidone.init.reaper import ExitStatus
from pidone.record import Record

AppT_contra = TypeVar("AppT_contra", contravariant=True)
InstanceT_contra = TypeVar("InstanceT_contra", contravariant=True)
"""Apps and instances, which know this module and not the other way round."""

Moment: TypeAlias = Literal["post_start", "post_stop", "on_exit", "on_give_up"]
"""What has happened to an instance; the names are those of the hooks."""


class Outside(Record, kw_only=True):
    """How it stands with the services outside that an app waits for."""

    is_there: bool = False
    """Nothing is missing, or it starts without what is."""
    failure: str = ""
    """Why it is not to be waited for any longer, and the app cannot start."""


class Pending(Protocol):
    """Something an instance waits for."""

    def cancel(self) -> None:
        """Nobody waits any more; nothing is reported then."""


class Delegate(Protocol[AppT_contra, InstanceT_contra]):
    """Hears what happens, and may ask for a moment before a start or a stop."""

    def outside(self, app: AppT_contra) -> Outside | None:
        """Whether what an app waits for outside is there; None if it waits for nothing.

        `App.look_again` is called when the answer may have become another one.
        """

    def waits_for(self, app: AppT_contra) -> str:
        """What it waits for outside at present, for people; empty if nothing."""

    def before_start(self, instance: InstanceT_contra, then: Callable[[str], None]) -> Pending | None:
        """A process is about to be started. None lets it start now.

        Otherwise `then` is called once, later: with an empty text to let it start, or with why it must not.
        """

    def before_stop(self, instance: InstanceT_contra, then: Callable[[], None]) -> Pending | None:
        """A process is about to be stopped; it still serves. None lets that begin now, else `then` does."""

    def happened(self, instance: InstanceT_contra, moment: Moment) -> None:
        """Something that nobody waits for."""

    def explain(self, instance: InstanceT_contra, status: ExitStatus) -> str:
        """How the kernel has killed it for memory; empty if it has not."""

    def changed(self, app: AppT_contra) -> None:
        """Its spec, size or instances changed, or whether it is wanted."""

    def whole_stops(self, reason: str, then: Callable[[], None]) -> bool:
        """All apps are about to be stopped. False lets that begin now, else `then` does, once."""

    def whole_rests(self, code: int, reason: str, then: Callable[[], None]) -> bool:
        """All apps are down, and the runtime would end. False lets it, else `then` does, once."""

    def busy_for(self) -> Seconds:
        """How long what still goes on may take at most."""

    def hurry(self) -> None:
        """No time is left: end what still goes on."""
