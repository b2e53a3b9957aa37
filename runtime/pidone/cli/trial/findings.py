"""What a trial shows about an app, and what is said of it."""

from collections.abc import Iterable
from enum import Enum
from typing import Final

from pidone.cli.trial.answers import FAILURES, Saw, Tally
from pidone.cli.trial.families import FamilyMember
from pidone.ecosystem.spec import Seconds
from pidone.record import Record


class Level(Enum):
    """How bad it is."""

    FAILED = "failed"
    """Production will lose requests, data or time by it."""
    WARNING = "warning"
    """Good to know; or it cannot be otherwise with what is configured."""


class Finding(Record):
    """One sentence, and the key or line that cures it."""

    level: Level
    what: str
    cure: str = ""


class Killed(Record, kw_only=True):
    """A process that did not end in its time."""

    signal: int
    """What it was sent."""
    after: Seconds
    family: tuple[FamilyMember, ...] = ()
    """What is known of it and its descendants; empty for one that is younger than the trial."""


class Seen(Record, kw_only=True):
    """All that one trial has shown."""

    tally: Tally
    processes: int = 1
    overlaps: bool = True
    """Whether an old process and a new one can serve at the same time."""
    ready_by: str = ""
    """What told that a new process is ready."""
    killed: tuple[Killed, ...] = ()
    left: int = 0
    """Main processes that ended before their children."""
    orphans: tuple[FamilyMember, ...] = ()
    """Those children, as far as they were seen."""
    crashes: tuple[str, ...] = ()
    """How processes ended that nobody had told to."""
    holder: str = ""
    """Another program that has the port which they could not have."""
    starved: bool = False
    """Whether the clients had to wait for a processor: then what came late says nothing of the app."""
    timed_out: bool = False
    """Whether one was called ready only because `listen_timeout` was over."""
    failure: str = ""
    """What the runtime said of it, if it did not work."""


class Known(Record, kw_only=True):
    """What the other trials have shown of an app: what they explain is no finding of this one."""

    by_itself: frozenset[Saw] = frozenset()
    """Kinds of failures that clients see while nothing is done."""
    untouched: frozenset[Saw] = frozenset()
    """Those that they see while nothing is done but to try a broken version beside it."""
    errors_while_it_ends: bool = False
    """Whether it answers 5xx between SIGTERM and its end."""

    def unexplained(self, tally: Tally, kinds: Iterable[Saw] = FAILURES) -> Tally:
        """The counts without what happens by itself."""
        return tally.without(set(kinds) & (self.by_itself | self.untouched))


NOTHING_KNOWN: Final = Known()
