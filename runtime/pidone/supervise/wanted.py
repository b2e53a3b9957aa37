"""What is wanted of one app, as plain data: whoever wants something overwrites it, so the last word counts.

Commands, signals, a re-read file, limits, schedules, probes and watched files all end up here, and nowhere
else. `plan` compares it with what is there.
"""

from collections.abc import Collection
from enum import Enum, StrEnum, auto
from typing import Final, Self

from pidone.contracts import InstanceId
from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.record import Record


class Run(Enum):
    """Whether an app shall run."""

    OFF = auto()
    WAITING = auto()
    """As soon as its dependencies allow."""
    ON = auto()


class Rest(Enum):
    """Why a slot of an app that runs shall rest."""

    STOPPED = auto()
    """A person stopped this very instance."""
    OVER = auto()
    """This run of a scheduled job is over; the next one starts it again."""


class SlotWish:
    """What is wanted of one slot."""

    __slots__ = ("at_least", "reason", "rest")

    def __init__(self) -> None:
        self.at_least = 0
        """Number of the incarnation that has to have begun: a present one that is older has to go."""
        self.reason = "request"
        """Why."""
        self.rest: Rest | None = None


class Replacement(Record, kw_only=True):
    """Somebody wants processes replaced, without a gap in service where that is possible."""

    reason: str
    cause: str = ""
    """One word for `reason`, where that is a sentence."""
    spec: AppSpec | None = None
    """What the new ones are made from, and the app's if they all work; None is the app's own by then."""
    count: int | None = None
    """How many instances there shall be when all that has succeeded."""
    slots: frozenset[int] | None = None
    """Which slots; None is every one."""
    who: InstanceId | None = None
    """The incarnation that has to go: the wish is void once it has gone for another reason."""
    overlap: bool = True
    """Whether there is room for the successor beside it."""
    is_sick: bool = False
    """`who` does not work: it has to go even if no successor comes up."""
    told: int = 0
    """Number of the reload whose outcome somebody wants to know."""

    @property
    def is_whole(self) -> bool:
        """Whether it concerns every instance."""
        return self.slots is None and self.who is None


class Rollout:
    """A replacement under way: how far it has come."""

    __slots__ = ("began", "count", "cut", "down_s", "replaced", "restarting", "spec", "todo", "wish")

    def __init__(self, wish: Replacement, spec: AppSpec, todo: Collection[int]) -> None:
        self.wish = wish
        self.spec = spec
        self.count = wish.count
        self.todo = sorted(todo)
        """Slots that have not been begun."""
        self.restarting: tuple[int, int] | None = None
        """Where old and new cannot overlap: the slot that is being restarted, and its incarnation before."""
        self.began: Seconds = 0.0
        """When the slot that is being restarted was told to stop."""
        self.down_s: Seconds = 0.0
        """Longest time from a slot's stop to its return, where old and new cannot overlap."""
        self.replaced = 0
        self.cut: int | None = None
        """Connections that were open when their processes ended; None: nobody could see that."""


class Exchange(Record):
    """The app becomes another one, whose processes cannot serve beside the present ones, once it is down."""

    spec: AppSpec
    count: int
    run: Run
    was_stopped: bool = False
    """It shall rest because somebody has stopped the app on purpose."""
    stopped: frozenset[int] = frozenset()
    """Slots that shall rest for the same reason."""
    interrupted: frozenset[int] = frozenset()
    """Slots that ran until they were stopped for it: for them it is a restart."""

    def with_(self, slots: Collection[int] | None) -> Self:
        """The same, but somebody starts it, or these slots."""
        if slots is None:
            return self.but(run=Run.ON, was_stopped=False, stopped=frozenset())
        rest = frozenset(range(self.count)) if self.run is Run.OFF else self.stopped
        stopped = rest.difference(slots)
        if len(stopped) >= self.count:  # none of them will be there
            return self
        return self.but(run=Run.ON, was_stopped=False, stopped=stopped)

    def without(self, slots: Collection[int] | None) -> Self:
        """The same, but somebody stops it, or these slots."""
        chosen = frozenset(slots or ()) & frozenset(range(self.count))  # others will not be there
        if slots is not None and not chosen:
            return self
        stopped = self.stopped | chosen
        if slots is None or len(stopped) >= self.count:
            return self.but(run=Run.OFF, was_stopped=True, stopped=frozenset())
        return self.but(stopped=stopped)


class ReloadState(StrEnum):
    """How a reload goes."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Reload(Record):
    """How the last reload that somebody asked for goes, or went."""

    number: int
    state: ReloadState
    message: str = ""
    down_s: Seconds = 0.0
    """How long a slot was without a process that serves, at most; 0 where old and new overlap."""
    cut: int | None = None
    """Connections that were open when their processes ended; None: not known, or none have ended yet."""


OVERRULED: Final = "a later command overrules it"


class Wanted:
    """The whole of it. Only `App`'s verbs write here, and its `reconcile` what is thereby done."""

    def __init__(self, spec: AppSpec, count: int) -> None:
        """`count` instances, none of which shall run yet."""
        self.spec = spec
        self.generation = 1
        """Counts the specs."""
        self.count = count
        self.run = Run.OFF
        self.was_stopped = False
        """It ran, or was about to, and somebody stopped it on purpose, who will start it again."""
        self.is_ending = False
        """Everything stops; it is only a matter of order when this app does."""
        self.is_removed = False
        """It shall be forgotten once it is down."""
        self.exchange: Exchange | None = None
        self.hopeless = ""
        """Why it cannot work as it is configured; empty if it can."""
        self.slots: dict[int, SlotWish] = {}
        self.queue: list[Replacement] = []
        """Replacements that have not begun."""
        self.rollout: Rollout | None = None
        """The one that is under way."""
        self.reload: Reload | None = None
        self.failed_change = ""
        """Why what the file says was called off; empty if that is here, or nobody wants it any more."""

    @property
    def is_on(self) -> bool:
        """Whether it shall run: it was started, and not all of it was stopped since."""
        return self.run is Run.ON

    @property
    def stopped_slots(self) -> frozenset[int]:
        """The slots that a person has stopped one by one."""
        return frozenset(i for i, slot in self.slots.items() if i < self.count and slot.rest is Rest.STOPPED)

    @property
    def aim(self) -> AppSpec:
        """The spec it has, or will have if the replacements that were asked for succeed."""
        return self.exchange.spec if self.exchange is not None else self._last_spec

    @property
    def _last_spec(self) -> AppSpec:
        specs = [wish.spec for wish in self.queue if wish.spec is not None]
        if specs:
            return specs[-1]
        return self.rollout.spec if self.rollout is not None else self.spec

    def slot(self, index: int) -> SlotWish:
        """What is wanted of a slot, to be changed."""
        return self.slots.setdefault(index, SlotWish())

    def rests(self, index: int) -> bool:
        """Whether this slot shall rest although the app runs."""
        slot = self.slots.get(index)
        return slot is not None and slot.rest is not None

    def at_least(self, index: int) -> int:
        """The incarnation of a slot that has to have begun."""
        slot = self.slots.get(index)
        return 0 if slot is None else slot.at_least

    def renew(self, index: int, after: int, reason: str) -> None:
        """A slot shall have a later incarnation than this one."""
        slot = self.slot(index)
        slot.at_least, slot.reason = after + 1, reason

    def ask(self, wish: Replacement) -> None:
        """Line a replacement up. One for every instance makes those for single ones superfluous."""
        if wish.count is not None and self.rollout is not None:
            self.rollout.count = None  # there is a later word about it
        if wish.is_whole:
            for other in self.queue:  # what it takes the place of is not lost with it
                if other.is_whole and wish.spec is None:
                    wish = wish.but(spec=other.spec, count=other.count)
                wish = wish.but(told=wish.told or other.told)
            self.queue = [wish, *(other for other in self.queue if other.is_sick)]
            return
        for index, other in enumerate(self.queue):
            if _covers(other, wish):
                self.queue[index] = other.but(told=wish.told or other.told)
                return
        self.queue.append(wish)

    def is_due(self, who: InstanceId) -> bool:
        """Whether the replacement of an incarnation has been asked for and is not through."""
        rollout = self.rollout
        if rollout is not None and (rollout.wish.who == who or rollout.wish.is_whole):
            return True
        if self.at_least(who.index) > who.incarnation:
            return True
        return any(wish.who == who or wish.is_whole for wish in self.queue)

    def call_off(self) -> None:
        """No replacement any more; what starts from now on is of the spec that the last one was to bring."""
        self.adopt(self._last_spec)
        self.queue.clear()
        self.rollout = None
        if self.reload is not None and self.reload.state is ReloadState.RUNNING:
            self.reload = self.reload.but(state=ReloadState.FAILED, message=OVERRULED)

    def adopt(self, spec: AppSpec) -> None:
        """What starts from now on is made from this."""
        if spec is not self.spec:
            self.spec = spec
            self.generation += 1
            self.failed_change = ""


def _covers(one: Replacement, other: Replacement) -> bool:
    if one.is_whole:
        return not other.is_sick
    return one.who == other.who and one.slots == other.slots and one.spec == other.spec
