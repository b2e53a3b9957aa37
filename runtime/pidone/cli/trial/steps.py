"""What comes of each trial: a draft while they go on, a step once all are known."""

from collections.abc import Callable
from typing import Final, TypeAlias

from pidone.cli.trial.answers import Saw, Tally
from pidone.cli.trial.findings import Finding, Known, Level
from pidone.ecosystem.spec import Seconds
from pidone.record import Record

START: Final = "start"
RELOAD: Final = "reload"
KILL: Final = "kill -9"
STANDSTILL: Final = "standstill"
RECYCLING: Final = "recycling"
BLOCKED: Final = "blocked stdout"
BROKEN: Final = "broken version"
STOP: Final = "stop"
AGAIN: Final = "second start"
NAMES: Final = (RELOAD, KILL, STANDSTILL, RECYCLING, BLOCKED, BROKEN, AGAIN)
"""What is tried between the start and the stop, and after it."""
_BY_ITSELF: Final = (Saw.CUT, Saw.GARBLED, Saw.RESET, Saw.TIMEOUT, Saw.DROPPED)
"""What may be seen of an app that nobody touches; refusals and 5xx of its first seconds go away."""

Judge: TypeAlias = Callable[[Known], list[Finding]]
"""What to say of something that was done, given what else is known of the app by the end."""


class Step(Record, kw_only=True):
    """One trial."""

    name: str
    took: Seconds
    app: str = ""
    tally: Tally | None = None
    findings: tuple[Finding, ...] = ()
    skipped: str = ""

    @property
    def has_failed(self) -> bool:
        """Whether something in it is wrong."""
        return any(finding.level is Level.FAILED for finding in self.findings)


class Draft(Record, kw_only=True):
    """A trial that has been made: its reasons may be those of a later one."""

    name: str
    took: Seconds
    app: str = ""
    tally: Tally | None = None
    seen: Tally
    """What others are judged by, too; `tally` is what is shown."""
    judge: Judge
    skipped: str = ""

    def judged(self, known: Known) -> Step:
        """Given everything."""
        found = () if self.skipped else tuple(self.judge(known))
        return Step(
            name=self.name,
            took=self.took,
            app=self.app,
            tally=self.tally,
            findings=found,
            skipped=self.skipped,
        )


def known_of(app: str, drafts: list[Draft], *, overlaps: bool) -> Known:
    """What the trials show of an app, or of all of them ("") together."""
    mine = [draft for draft in drafts if "" in (app, draft.app) or draft.app == app]
    steady, ending, beside = (
        [draft.seen for draft in mine if draft.name == name] for name in (START, STOP, BROKEN)
    )
    return Known(
        by_itself=_seen_in(steady),
        untouched=_seen_in(beside) if overlaps else frozenset(),
        errors_while_it_ends=any(tally[Saw.ERROR] for tally in ending)
        and not any(tally[Saw.ERROR] for tally in steady),
    )


def _seen_in(tallies: list[Tally]) -> frozenset[Saw]:
    return frozenset(saw for saw in _BY_ITSELF if any(tally[saw] for tally in tallies))
