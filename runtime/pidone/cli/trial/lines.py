"""Whether what an app logs is all there: every request carries a number, which is looked for in its lines."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from pidone.cli.trial.answers import Answer, Saw
from pidone.cli.trial.findings import Finding
from pidone.cli.trial.records import Fields
from pidone.cli.trial.steps import KILL, START, STOP
from pidone.cli.trial.verdicts import of_log
from pidone.record import Record

_NUMBER: Final = re.compile(r"pidone=(\d+)")
_LOGGED: Final = 0.9
_FEW: Final = 10


class Window(Record):
    """What was done, and when (time.monotonic)."""

    name: str
    began: float
    ended: float


def missing(
    records: Iterable[Fields], answers: Sequence[Answer], windows: Sequence[Window]
) -> list[Finding] | None:
    """Answered requests without a line; None if no app logs its requests.

    What a killed process was about to write is no fault of it.
    """
    numbers: dict[str, set[int]] = defaultdict(set)
    for record in records:
        numbers[str(record.get("app"))].update(map(int, _NUMBER.findall(json.dumps(record))))
    lost: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    many: dict[str, int] = defaultdict(int)
    for app, client in sorted({(answer.app, answer.client) for answer in answers}):
        trials: dict[str, list[bool]] = defaultdict(list)
        for answer in answers:
            if (answer.app, answer.client, answer.saw) == (app, client, Saw.ANSWERED):
                trials[_during(answer, windows)].append(answer.number in numbers[app])
        if _logs_each(trials):  # of this kind: who has no handler for an upload may log none
            many[app] += sum(map(len, trials.values()))
            for name, written in trials.items():
                lost[app][name] += 0 if name == KILL else written.count(False)
    if not many:
        return None
    found: list[Finding] = []
    for app, counts in lost.items():
        names = sorted(name for name, count in counts.items() if count)
        found += of_log(sum(counts.values()), many[app], names)
    return found


def _logs_each(trials: "dict[str, list[bool]]") -> bool:
    """Whether an app logs every request, if not always: most of all, or all of those of one trial."""
    all_ = [written for each in trials.values() for written in each]
    whole = any(len(each) >= _FEW and all(each) for each in trials.values())
    return bool(all_) and (whole or all_.count(True) >= _LOGGED * len(all_))


def _during(answer: Answer, windows: Sequence[Window]) -> str:
    """The name of the trial in which, or after which, a request ended."""
    if not windows or answer.ended < windows[0].began:
        return START
    last = max((each for each in windows if each.began <= answer.ended), key=lambda each: each.began)
    return STOP if last is windows[-1] and answer.ended > last.ended else last.name
