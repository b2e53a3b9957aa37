"""`ls` on a terminal: as much as its width has room for, with the reason of what is not well, and a total."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pidone.cli.operate import table
from pidone.logs.formats import widths

_HEAD: Final = (*table.HEAD[:-1], "memory/limit", "next run", "why")
_LEAST_NAME: Final = 12
_GAP: Final = 2
_NAME: Final = 1


def render(shown: Iterable[Mapping[str, Any]], width: int, warnings: Iterable[Mapping[str, Any]] = ()) -> str:
    """Answers of `/api/apps/TARGET`, one after the other, in lines of at most `width` columns.

    `warnings` are those of `/api`.
    """
    rows: list[list[str]] = []
    apps: list[Mapping[str, Any]] = []
    for each in shown:
        for app, details in zip(each["apps"], each["details"], strict=True):
            rows += _rows(app, details)
            apps.append(app)
    text, cells = fitted(_HEAD, rows, width)
    told = {row[-1] for row in cells} & {row[-1] for row in rows}
    instances = [each for app in apps for each in app["instances"]]
    troubles = _troubles({(app["namespace"], app["name"]): app for app in apps}.values(), told, width)
    warned = (line for each in warnings for line in _warning(each, width))
    return "\n".join((text, _total(instances, width), *troubles, *warned))


def fitted(
    head: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> tuple[str, Sequence[Sequence[str]]]:
    """A table of at most so many columns, and its rows as they are shown."""
    head, rows = _fitted(head, rows, width)
    right = [number for number in table.RIGHT if number < len(head)]
    return table.render(head, rows, right=right), rows


def _troubles(apps: Iterable[Mapping[str, Any]], told: Container[str], width: int) -> Iterator[str]:
    """Why an app is not well where the table has not told it, and what to do."""
    for app in apps:
        why = table.why(app)
        is_told = why in told or (not app["why"])
        if not is_told:
            yield from widths.wrap(f"{app['name']}: {why}", width, "  ")
        if app["advice"] and app["wanted"]:
            start = f"{app['name']} -> " if is_told else "  -> "
            yield from widths.wrap(start + app["advice"], width, "     ")


def _warning(warning: Mapping[str, Any], width: int) -> Iterator[str]:
    """What is wrong with the runtime's own work."""
    yield from widths.wrap(table.warning(warning), width, "  ")
    if warning["advice"]:
        yield from widths.wrap(f"  -> {warning['advice']}", width, "     ")


def _rows(app: Mapping[str, Any], details: Mapping[str, Any]) -> list[list[str]]:
    limit, next_run = details["memory"]["limit_bytes"], details["times"]["next_run"]
    at = datetime.fromisoformat(next_run).strftime("%m-%d %H:%M") if next_run else ""
    return [
        [
            *row[:-1],
            row[-1] if limit is None else f"{row[-1]}/{table.size(limit)}",
            at,
            table.why(instance),
        ]
        for row, instance in zip(table.rows([app]), app["instances"], strict=True)
    ]


def _fitted(
    head: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> tuple[list[str], list[list[str]]]:
    """Without empty columns, with shorter names, then without columns from the right."""
    columns = [list(column) for column in zip(head, *rows, strict=True)]
    while len(columns) > len(table.HEAD) and not any(columns[-1][1:]):
        columns.pop()
    if len(columns) == len(_HEAD) and not any(columns[-2][1:]):
        columns.pop(-2)
    names = columns[_NAME]
    while (over := _over(columns, width)) > 0:
        most = max(_LEAST_NAME, _width(names) - over)
        columns[_NAME] = [widths.middle(name, most) for name in names]  # their ends say which instance
        if _over(columns, width) <= 0 or len(columns) <= _NAME + 2:
            break
        columns[_NAME] = names
        columns.pop()
    top, *below = (list(row) for row in zip(*columns, strict=True))
    return top, below


def _width(column: Sequence[str]) -> int:
    return max(map(widths.width, column))


def _over(columns: Sequence[Sequence[str]], width: int) -> int:
    """By how much a line is too long."""
    return sum(map(_width, columns)) + _GAP * (len(columns) - 1) - width


def _total(instances: Sequence[Mapping[str, Any]], width: int) -> str:
    counts = Counter(str(each["state"]) for each in instances)
    cpu = sum(each["cpu_percent"] or 0 for each in instances)
    memory = sum(each["memory_bytes"] or 0 for each in instances)
    many = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    states = f"{len(instances)} instances: {many or 'none'}"
    whole = f"{states}; cpu {cpu:.0f}%, memory {table.size(memory)}"
    return whole if len(whole) <= width else states[:width]
