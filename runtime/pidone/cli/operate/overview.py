"""`ls` on a terminal: as much as its width has room for, with the reason of what is not well, and a total."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pidone.cli.operate import table

_HEAD: Final = (*table.HEAD[:-1], "memory/limit", "next run", "why")
_LEAST_NAME: Final = 12
_LEAST_WHY: Final = 8
_GAP: Final = 2
_NAME: Final = 1


def render(shown: Iterable[Mapping[str, Any]], width: int) -> str:
    """Answers of `/api/apps/TARGET`, one after the other, in lines of at most `width` characters."""
    rows: list[list[str]] = []
    instances: list[Mapping[str, Any]] = []
    for each in shown:
        for app, details in zip(each["apps"], each["details"], strict=True):
            instances += app["instances"]
            rows += _rows(app, details)
    head, rows = _fitted(_HEAD, rows, width)
    right = [number for number in table.RIGHT if number < len(head)]
    return f"{table.render(head, rows, right=right)}\n{_total(instances)[:width]}"


def _rows(app: Mapping[str, Any], details: Mapping[str, Any]) -> list[list[str]]:
    limit, next_run = details["memory"]["limit_bytes"], details["times"]["next_run"]
    at = datetime.fromisoformat(next_run).strftime("%m-%d %H:%M") if next_run else ""
    return [
        [
            *row[:-1],
            row[-1] if limit is None else f"{row[-1]}/{table.size(limit)}",
            at,
            _why(app, instance, more),
        ]
        for row, instance, more in zip(table.rows([app]), app["instances"], details["instances"], strict=True)
    ]


def _why(app: Mapping[str, Any], instance: Mapping[str, Any], more: Mapping[str, Any]) -> str:
    """Why it is not online; what it says of itself if it is."""
    flapping = str(instance["flapping"])
    if instance["state"] == "online":
        return flapping or str(instance["status_text"])
    if instance["state"] == "waiting" and app["waits_for"]:
        return f"waits for {app['waits_for']}"
    last = instance["last_exit"] or {}
    ended = next((f"{name} {value}" for name, value in last.items() if value is not None), "")
    return ", ".join(filter(None, (flapping, more["reason"] or "", f"last exit: {ended}" if ended else "")))


def _fitted(
    head: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> tuple[list[str], list[list[str]]]:
    """Without empty columns, with shorter names and reasons, then without columns from the right."""
    columns = [list(column) for column in zip(head, *rows, strict=True)]
    while len(columns) > len(table.HEAD) and not any(columns[-1][1:]):
        columns.pop()
    if len(columns) == len(_HEAD) and not any(columns[-2][1:]):
        columns.pop(-2)
    if len(columns) > len(table.HEAD) and (over := _over(columns, width)) > 0:
        columns[-1] = _cut(columns[-1], max(_LEAST_WHY, _width(columns[-1]) - over))
    if (over := _over(columns, width)) > 0:
        columns[_NAME] = _cut(columns[_NAME], max(_LEAST_NAME, _width(columns[_NAME]) - over))
    while len(columns) > _NAME + 2 and _over(columns, width) > 0:
        columns.pop()
    top, *below = (list(row) for row in zip(*columns, strict=True))
    return top, below


def _width(column: Sequence[str]) -> int:
    return max(map(len, column))


def _over(columns: Sequence[Sequence[str]], width: int) -> int:
    """By how much a line is too long."""
    return sum(map(_width, columns)) + _GAP * (len(columns) - 1) - width


def _cut(column: Sequence[str], width: int) -> list[str]:
    return [cell if len(cell) <= width else cell[: width - 1] + "…" for cell in column]


def _total(instances: Sequence[Mapping[str, Any]]) -> str:
    states = Counter(str(each["state"]) for each in instances)
    cpu = sum(each["cpu_percent"] or 0 for each in instances)
    memory = sum(each["memory_bytes"] or 0 for each in instances)
    many = ", ".join(f"{count} {state}" for state, count in states.most_common())
    return f"{len(instances)} instances: {many or 'none'}; cpu {cpu:.0f}%, memory {table.size(memory)}"
