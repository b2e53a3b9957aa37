"""What has to hold after a life with a fault, and what became of it."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Final

from faults.app import FLOOD
from faults.calls import FOREVER
from faults.cases import Case
from faults.played import Seen

DOCUMENTED: Final = frozenset({0, 69, 70, 71, 74, 75, 78, 124, 126, 127})
"""docs/reference/exit-codes: the runtime's own."""
UNSURVIVABLE: Final[dict[str, tuple[str, ...]]] = {
    "kill": ("code", "TERM", "processes"),  # nobody can be signalled by his number: told, and 124
    "waitid": ("code",),  # nobody's end is seen: everybody is asked to end, then killed, and 124 or 70
    "epoll_wait": ("code",),  # no loop can be had: everybody is asked to end, then killed, and 70
    "poll": ("code",),  # the same before asyncio is there
    "getsockname": ("answers",),  # no object of Python's can be made for a client
    "sendto:EAGAIN": ("answers",),  # an answer that may always be sent soon, and never now
    "writev:EAGAIN": ("records",),  # a stdout that nobody reads, but for the end: that does not wait for it
    "accept4": ("answers",),  # clients wait in the kernel's queue as long as they like
}
"""Faults that nobody survives when they come for ever, and what they cost; see docs/operating.md."""
_SLOW: Final = ("hung", "silent", "not answered", "code 124", "killed first")
NOT_STARTED: Final = frozenset({69, 71, 78})


@dataclass(frozen=True)
class Verdict:
    """One of unharmed, told, ended, harmed; and in what way."""

    outcome: str
    details: tuple[str, ...]

    @property
    def may_be_slowness(self) -> bool:
        """Whether a machine that is too slow for the limits could make a life look like that."""
        return any(word in detail for detail in self.details for word in _SLOW)

    def __str__(self) -> str:
        return f"{self.outcome}: {'; '.join(self.details)}" if self.details else self.outcome


def judge(case: Case | None, seen: Seen) -> Verdict:
    """Whether everybody got what was promised."""
    harm = [*_end(case, seen), *_apps(case, seen), *_output(seen), *_silence(case, seen)]
    if harm:
        return Verdict("harmed", tuple(harm))
    if seen.code:
        return Verdict("ended", (f"code {seen.code}",))
    if seen.refused or seen.missed:
        return Verdict("told", (*seen.refused, *(f"no {step}" for step in seen.missed)))
    return Verdict("unharmed", ())


def _end(case: Case | None, seen: Seen) -> list[str]:
    found = []
    if seen.code is None:
        found.append("hung")
    elif seen.code not in DOCUMENTED or (
        seen.code in (70, 124) and seen.journal and "code" not in _allowed(case)
    ):
        found.append(f"code {seen.code}")
    elif seen.ended_early and seen.code == 0:
        found.append("ended early with 0")
    if seen.unanswered and "answers" not in _allowed(case):
        found.append(f"not answered: {', '.join(seen.unanswered)}")
    if seen.left and "processes" not in _allowed(case):
        found.append(f"left running: {len(seen.left)}")
    return found


def _allowed(case: Case | None) -> tuple[str, ...]:
    """What a fault without end takes away from everybody."""
    if case is None or case.when != FOREVER:
        return ()
    return UNSURVIVABLE.get(case.call, ()) + UNSURVIVABLE.get(str(case).rpartition(":")[0], ())


def _apps(case: Case | None, seen: Seen) -> list[str]:
    """Everybody that could be asked to stop was asked, but for whom we have killed."""
    started = {(role, pid) for role, pid, what in seen.journal if what == "start"}
    heard = {(role, pid) for role, pid, what in seen.journal if what == "TERM"}
    unheard = Counter(role for role, pid in started - heard if pid not in seen.killed)
    if seen.code in NOT_STARTED and started:
        return [f"code {seen.code} though apps had been started"]
    if unheard and "TERM" not in _allowed(case):
        was_killed = any(r.get("event") in ("instance.kill", "runtime.deadline") for r in seen.records)
        return [f"no TERM for {', '.join(sorted(unheard))}{': killed first' if was_killed else ''}"]
    return []


def _output(seen: Seen) -> list[str]:
    found = []
    if "Traceback" in seen.err:
        found.append("traceback on stderr")
    records = []
    for line in seen.out:
        try:
            records.append(json.loads(line))
        except ValueError:
            if seen.code != 74 or line is not seen.out[-1]:
                found.append(f"broken record {line[:80]!r}")
    if any(record.get("event") == "runtime.error" for record in records):
        found.append(
            "runtime.error: " + next(r["message"] for r in records if r.get("event") == "runtime.error")
        )
    numbers = [int(r["message"][6:]) for r in records if str(r.get("message")).startswith("flood ")]
    told = any(r.get("event") in ("log.dropped", "log.pipe_failed") for r in records)
    if numbers != sorted(set(numbers)):
        starts = sum(role == "flood" and what == "start" for role, _, what in seen.journal)
        if starts <= 1:
            found.append("records twice or out of order")
    elif numbers and not told and seen.code != 74:
        # Who is stopped before it has said all of it has said the beginning.
        was_whole = any(role == "flood" and what == "flooded" for role, _, what in seen.journal)
        said = FLOOD if was_whole else numbers[-1] + 1
        if len(numbers) != said:
            found.append(f"{said - len(numbers)} records lost")
    return found


def _silence(case: Case | None, seen: Seen) -> list[str]:
    """What does not come has to be told by somebody."""
    told = seen.err or seen.refused or any(r.get("level") in ("warning", "error") for r in seen.records)
    if (seen.missed or seen.code) and not told and "records" not in _allowed(case):
        return [f"silent: {', '.join(seen.missed)}" if seen.missed else f"not told: code {seen.code}"]
    return []
