"""What the memory policy can ask for or tell."""

from enum import StrEnum
from typing import TypeAlias

from pidone.contracts import InstanceId
from pidone.ecosystem.spec import Bytes
from pidone.record import Record
from pidone.supervise.memory.limits import mib


class Reason(StrEnum):
    """Why an instance has to go."""

    LIMIT = "max_memory_restart"
    GUARD = "memory_guard"


class Recycle(Record):
    """Replace this incarnation gracefully."""

    who: InstanceId
    reason: Reason
    usage: Bytes
    """Of the instance; for the guard, of the container."""
    limit: Bytes
    overlap: bool
    """Whether there is room to start the new one before the old one stops."""

    @property
    def message(self) -> str:
        """For the event."""
        whose = "the container" if self.reason is Reason.GUARD else "the instance"
        return f"{whose} uses {mib(self.usage)}, {self.reason.value} is {mib(self.limit)}"


class Soften(Record):
    """Send the app its soft-limit signal or message now."""

    who: InstanceId
    usage: Bytes
    limit: Bytes


class Softened(Record):
    """What came of it: an event."""

    who: InstanceId
    before: Bytes
    after: Bytes


class LimitTooSmall(Record):
    """The app does not fit its limit: end it as a crash loop with this reason."""

    app: tuple[str, str]
    """Its `AppSpec.key()`."""
    usage: Bytes
    limit: Bytes
    recycles: int

    @property
    def message(self) -> str:
        """For the event and the termination log."""
        return (
            f"needs {mib(self.usage)} right after its start, above its max_memory_restart of "
            f"{mib(self.limit)}; replaced {self.recycles} times in vain"
        )


class LimitShrank(Record):
    """The app did fit its limit until that became smaller: an event, and it is left alone for a while."""

    app: tuple[str, str]
    """Its `AppSpec.key()`."""
    usage: Bytes
    limit: Bytes

    @property
    def message(self) -> str:
        """For the event."""
        return (
            f"needs {mib(self.usage)} right after its start, and max_memory_restart has shrunk to "
            f"{mib(self.limit)}: it is replaced again after pauses that become longer and longer"
        )


class GuardStuck(Record):
    """The container is nearly full, but no instance has grown since its start: an event, nothing to do."""

    usage: Bytes
    limit: Bytes

    @property
    def message(self) -> str:
        """For the event."""
        return (
            f"the container uses {mib(self.usage)}, memory_guard is {mib(self.limit)}, "
            "and no instance has grown since its start: the limit is too low for these apps"
        )


Decision: TypeAlias = Recycle | Soften | Softened | LimitTooSmall | LimitShrank | GuardStuck
