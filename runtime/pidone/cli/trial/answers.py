"""What clients saw: one record for each request, and the counts of a stretch of time."""

import itertools
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from enum import Enum
from typing import Final, Self

from pidone.ecosystem.spec import Seconds
from pidone.record import Record, computed


class Saw(Enum):
    """How a request ended, as the client sees it."""

    ANSWERED = "answered"
    """A whole response came."""
    ERROR = "error"
    """A whole response came, and it is a 5xx."""
    REFUSED = "refused"
    """Nobody listens."""
    RESET = "reset"
    """The connection was new, and ended before the first byte of a response."""
    DROPPED = "dropped"
    """The connection had served before, and was closed without `Connection: close` as the next request was
    on its way. Clients send that again by themselves only where it cannot harm (RFC 9110, 9.2.2)."""
    CUT = "cut"
    """The response began, and did not come to its end."""
    GARBLED = "garbled"
    """What came is more than the response said, or no HTTP."""
    TIMEOUT = "timed out"
    """Nothing came in time."""


_POLL: Final[Seconds] = 0.01
_AT_ONCE: Final[Seconds] = 0.05
"""A connection that ends so soon after its request was sent may have ended before anybody had read that."""
_LATER: Final[Seconds] = 0.25
"""The same where everybody has to wait for a processor,"""
_MUCH_LATER: Final[Seconds] = 1.0
"""and the same of an app whose quickest answers take no time: it has nothing in progress for long."""
_NO_TIME: Final[Seconds] = 0.1
_QUICKEST: Final = 0.1
"""Share of the answers that tells how quick an app can be, whoever it has to wait for otherwise."""
_PACED: Final = ("upload", "download")
"""Clients that take their time themselves: how long they take says nothing of the app."""
_LOST: Final = (Saw.RESET, Saw.DROPPED)
FAILURES: Final = (Saw.ERROR, Saw.REFUSED, Saw.RESET, Saw.CUT, Saw.GARBLED, Saw.TIMEOUT)


class Answer(Record, kw_only=True):
    """One request: times are of time.monotonic()."""

    app: str
    client: str
    number: int
    """Which every request carries (`?pidone=N`), so that it can be found in the app's log."""
    began: float
    ended: float
    saw: Saw
    held: Seconds = 0.0
    """How long the server had had it by then: since its head was sent."""


class Tally(Record, kw_only=True):
    """The counts of one stretch of time."""

    requests: int
    counts: "Counter[Saw]"
    median: Seconds
    p99: Seconds
    slowest: Seconds
    refused_for: Seconds
    """Between the first refused request and the last one."""
    at_once: "Counter[Saw]" = computed(factory=Counter[Saw])
    """Of `counts`, those that ended as soon as the request had been sent."""

    def __getitem__(self, saw: Saw) -> int:
        """How many ended so."""
        return self.counts[saw]

    @property
    def failed(self) -> int:
        """Requests without a good answer; those a client repeats are not among them."""
        return sum(self.counts[saw] for saw in FAILURES)

    def without(self, kinds: Collection[Saw]) -> Self:
        """The same, as if nothing had ended so."""
        left = {saw: many for saw, many in self.counts.items() if saw not in kinds}
        at_once = {saw: many for saw, many in self.at_once.items() if saw not in kinds}
        return self.but(counts=Counter(left), at_once=Counter(at_once))

    def described(self) -> str:
        """For a person: what failed, and how."""
        return ", ".join(
            f"{self.counts[saw]} {saw.value}" for saw in (*FAILURES, Saw.DROPPED) if self.counts[saw]
        )


def ended_at_once(answer: Answer, quickest: Seconds = 0.0, *, starved: bool = False) -> bool:
    """Whether it may not even have been read; `quickest` are the best answers to its kind of client."""
    if not starved:
        return answer.held < _AT_ONCE
    return answer.held < (_LATER if quickest >= _NO_TIME else _MUCH_LATER)


def quickest(answers: Iterable[Answer]) -> "dict[tuple[str, str], Seconds]":
    """What the quickest answers of each app to each kind of client take."""
    times: dict[tuple[str, str], list[Seconds]] = defaultdict(list)
    for answer in answers:
        if answer.saw is Saw.ANSWERED:
            times[answer.app, answer.client].append(answer.ended - answer.began)
    return {kind: quantile(sorted(each), _QUICKEST) for kind, each in times.items()}


def tally(answers: Iterable[Answer], at_once: Callable[[Answer], bool] = ended_at_once) -> Tally:
    """Count them; `at_once` tells which of those that were lost may never have been read."""
    chosen = list(answers)
    times = sorted(
        answer.ended - answer.began
        for answer in chosen
        if answer.saw is Saw.ANSWERED and answer.client not in _PACED
    )
    refused = [answer.ended for answer in chosen if answer.saw is Saw.REFUSED]
    return Tally(
        requests=len(chosen),
        counts=Counter(answer.saw for answer in chosen),
        median=quantile(times, 0.5),
        p99=quantile(times, 0.99),
        slowest=max(times, default=0.0),
        refused_for=max(refused) - min(refused) if refused else 0.0,
        at_once=Counter(answer.saw for answer in chosen if answer.saw in _LOST and at_once(answer)),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """By the nearest rank; 0 of nothing."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Book:
    """All requests of a trial; written by the load's thread, read by another."""

    def __init__(self) -> None:
        """Empty."""
        self._answers: list[Answer] = []
        self._open: dict[int, float] = {}
        self._numbers = itertools.count(1)
        self._unfit: set[tuple[str, str]] = set()

    def leave_out(self, app: str, clients: Iterable[str]) -> None:
        """Kinds of clients that an app does not serve: what they see says nothing."""
        self._unfit.update((app, client) for client in clients)

    def begin(self) -> int:
        """A request begins; its number."""
        number = next(self._numbers)
        self._open[number] = time.monotonic()
        return number

    def end(self, app: str, client: str, number: int, saw: Saw, asked: float | None = None) -> None:
        """It has ended so; its head was sent at `asked` (time.monotonic), if it was."""
        began = self._open.pop(number)
        ended = time.monotonic()
        self._answers.append(
            Answer(
                app=app,
                client=client,
                number=number,
                began=began,
                ended=ended,
                saw=saw,
                held=0.0 if asked is None else ended - asked,
            )
        )

    def forget(self, number: int) -> None:
        """It was called off."""
        del self._open[number]

    def settle(self, began_by: float, deadline: float) -> None:
        """Wait until every request that had begun by then has ended (both of time.monotonic)."""
        while time.monotonic() < deadline and min(list(self._open.values()), default=began_by) < began_by:
            time.sleep(_POLL)

    def since(self, ended_after: float, began_by: float = math.inf) -> list[Answer]:
        """Requests of a stretch of time.

        An app that answers one kind of client never but with 5xx does so on purpose: that is no error of it.
        """
        answers = list(self._answers)
        good = {(each.app, each.client) for each in answers if each.saw is Saw.ANSWERED}
        return [
            each
            if each.saw is not Saw.ERROR or (each.app, each.client) in good
            else each.but(saw=Saw.ANSWERED)
            for each in answers
            if each.ended >= ended_after
            and each.began <= began_by
            and (each.app, each.client) not in self._unfit
        ]
