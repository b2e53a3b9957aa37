"""The words of the state machine: where an instance is, what can happen to it, what follows.

What happens to it in which state is `TABLE`, at the end of `instance.py`.
"""

from enum import Enum, StrEnum, auto
from typing import Final


class State(StrEnum):
    """Where an instance is in its life."""

    STOPPED = "stopped"
    PREPARING = "preparing"
    """Its `pre_start` hooks run; there is no process yet."""
    STARTING = "starting"
    ONLINE = "online"
    LEAVING = "leaving"
    """Its `pre_stop` hooks run; it works until they have ended."""
    DRAINING = "draining"
    """Asked to take no new work before it is told to stop."""
    STOPPING = "stopping"
    """Told to stop, or ended and its leftovers are being cleared away."""
    BACKOFF = "backoff"
    ERRORED = "errored"
    COMPLETED = "completed"

    @property
    def is_final(self) -> bool:
        """Nothing will happen any more without a person."""
        return self in (State.STOPPED, State.ERRORED, State.COMPLETED)

    @property
    def is_ending(self) -> bool:
        """A life is being ended, and something follows: see Goal."""
        return self in (State.LEAVING, State.DRAINING, State.STOPPING)

    @property
    def has_process(self) -> bool:
        """Something of an incarnation may be alive."""
        return self in (State.STARTING, State.ONLINE, State.LEAVING, State.DRAINING, State.STOPPING)


SEEN: Final = (
    State.ERRORED,
    State.BACKOFF,
    State.STARTING,
    State.STOPPING,
    State.STOPPED,
    State.ONLINE,
    State.COMPLETED,
)
"""Those that people and scripts see, the worst first: docs/operating.md explains them."""


class Event(Enum):
    """What can happen to an instance."""

    START = auto()
    STOP = auto()
    RESTART = auto()
    KILL = auto()
    """No more waiting: the deadline of the whole stop, or a second signal."""
    GIVE_UP = auto()
    """It cannot work as it is configured: end it as if it had crashed too often."""
    PREPARED = auto()
    """Nothing stands in the way of the start any more."""
    REFUSED = auto()
    """A `pre_start` hook failed."""
    READY = auto()
    LATE = auto()
    """`listen_timeout` passed without a readiness report."""
    UNHEALTHY = auto()
    RELEASED = auto()
    """Nothing stands in the way of the stop any more."""
    DRAINED = auto()
    EXIT = auto()
    """The main process ended."""
    GONE = auto()
    """The last process it left behind ended."""
    OVERDUE = auto()
    """`drain_timeout` or `kill_timeout` passed."""
    RETRY = auto()
    """The backoff is over."""


class Goal(Enum):
    """What follows once the incarnation that is being ended is gone."""

    REST = auto()
    RENEW = auto()
    GIVE_UP = auto()
    JUDGE = auto()
    """Nobody asked for the end: the restart policy decides."""
