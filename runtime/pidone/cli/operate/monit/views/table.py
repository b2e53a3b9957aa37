"""The table of apps and instances."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from pidone.cli.operate import table
from pidone.cli.operate.monit import cells, rows
from pidone.cli.operate.monit.cells import Line
from pidone.cli.operate.monit.layout import Layout
from pidone.cli.operate.monit.rows import Row
from pidone.cli.operate.monit.state import Screen
from pidone.logs.formats import widths
from pidone.record import Record

_STYLES: Final = {
    "online": "good",
    "completed": "good",
    "starting": "wait",
    "stopping": "wait",
    "backoff": "bad",
    "errored": "bad",
    "stopped": "dim",
}
_LEAST_NAME: Final = 8
_MOST_NAME: Final = 32
_SHORT_NAME: Final = 12
_LEAST_WHY: Final = 16
_MOST_WHY: Final = 50
_WIDE_FROM: Final = 140
_RIGHT: Final = ("restarts", "uptime", "cpu", "memory")
_GAP: Final = 1
_MARGIN: Final = 2
_WIDE: Final = 20
_NARROW: Final = 8
_FULL: Final = 0.9
"""Share of a memory limit from which on it is shown in another colour."""


class Column(Record):
    """One of the table."""

    name: str
    width: int
    begin: int


def columns(state: Screen, shown: list[Row]) -> list[Column]:
    """Those there is room for: names shrink first, then sparklines, the next run and the uptime go."""
    taken, why = _wanted(state, shown)

    def over() -> int:
        return _MARGIN + sum(taken.values()) + _GAP * len(taken) + why - state.width

    if (most := over()) > 0 and taken["name"] > _SHORT_NAME:
        taken["name"] = max(_SHORT_NAME, taken["name"] - most)
    for name in ("spark", "next run", "uptime"):
        if over() > 0:
            taken.pop(name, None)
    taken["why"] = max(0, state.width - _MARGIN - sum(taken.values()) - _GAP * (len(taken) + 1))
    found, at = [], _MARGIN
    for name, each in taken.items():
        found.append(Column(name, each, at))
        at += each + _GAP
    return found


def _wanted(state: Screen, shown: list[Row]) -> tuple[dict[str, int], int]:
    """How wide each column would be best, and the last one should be at least."""
    texts = [cell_texts(row) for row in shown]
    best = {name: max([len(name), *(widths.width(each[name]) for each in texts)]) for name in rows.COLUMNS}
    best["name"] = max(_LEAST_NAME, min(best["name"], _MOST_NAME))
    spark = max(_WIDE if state.width >= _WIDE_FROM else _NARROW, len(_scale(state, shown)))
    taken: dict[str, int] = {}
    for name in rows.COLUMNS[:-1]:
        if name == "next run" and not any(row.app["next_run"] for row in shown):
            continue
        taken[name] = best[name]
        if name == "cpu":
            taken["spark"] = spark
    return taken, max(_LEAST_WHY, min(best["why"], _MOST_WHY))


def column_at(state: Screen, column: int) -> str:
    """The name of the column that is there, to sort by; empty if there is none."""
    for each in columns(state, rows.all_rows(state)):
        if each.begin <= column <= each.begin + each.width:
            return "cpu" if each.name == "spark" else each.name
    return ""


def lines(state: Screen, shown: list[Row], place: Layout) -> list[Line]:
    """The head, and the rows that are to be seen."""
    there = columns(state, shown)
    scale = _scale(state, shown)
    chosen = rows.chosen(state)
    top = _top(state, shown)
    drawn = [_head(state, there, scale)]
    here = "" if chosen is None else chosen.key
    drawn += [
        _row(state, row, there, top=top, chosen=row.key == here)
        for row in shown[place.first : place.first + place.table_rows]
    ]
    if not shown:
        nothing = f"nothing matches {state.filter!r}" if state.filter else "no apps"
        drawn.append([("dim", f"  {nothing}")])
    return drawn


def cell_texts(row: Row) -> Mapping[str, str]:
    """Every cell of a row, but for the sparkline."""
    app, limit = row.app, row.app["memory_limit_bytes"]
    restarts = sum(each["restarts"] for each in row.instances)
    cpu, memory = row.total("cpu_percent"), row.total("memory_bytes")
    uptimes = [each["uptime_s"] for each in row.instances if each["uptime_s"] is not None]
    many = len(row.instances)
    ready = sum(1 for each in row.instances if each["ready"])
    most = app["max_restarts"] * (many if row.instance is None else 1)
    if limit is not None and row.instance is None:
        limit *= many
    return {
        "name": _name(row),
        "state": row.state
        if row.instance is not None or ready in (0, many)
        else f"{row.state} {ready}/{many}",
        "restarts": f"{restarts}/{most}" if restarts else "0",
        "uptime": table.duration(min(uptimes, default=None)),
        "cpu": "-" if cpu is None else f"{cpu:.0f}%",
        "memory": table.size(memory) + ("" if limit is None else f"/{table.size(limit)}"),
        "next run": _at(app["next_run"]),
        "why": rows.why(row),
    }


def _name(row: Row) -> str:
    if row.is_part and row.instance is not None:
        return f"  {row.app['name']}:{row.instance['index']}"
    return str(row.app["name"]) if row.instance is not None else f"{row.app['name']} x{row.app['scale']}"


def _at(moment: str | None) -> str:
    return datetime.fromisoformat(moment).strftime("%m-%d %H:%M") if moment else ""


def _top(state: Screen, shown: list[Row]) -> float:
    values = (value for row in shown for value in state.shot.cpu.get(row.key, ()))
    return cells.ceiling(max(values, default=0.0))


def _scale(state: Screen, shown: list[Row]) -> str:
    return f"0-{_top(state, shown):.0f}%"


def _head(state: Screen, there: list[Column], scale: str) -> Line:
    line: Line = [("head", " " * _MARGIN)]
    for each in there:
        text = scale if each.name == "spark" else each.name
        if each.name == state.sort:
            text += "▾" if state.descending else "▴"
        line.append(
            (
                "head",
                widths.pad(text, each.width + _GAP, right=False)
                if each.name not in _RIGHT
                else widths.pad(text, each.width, right=True) + " " * _GAP,
            )
        )
    return line


def _row(state: Screen, row: Row, there: list[Column], *, top: float, chosen: bool) -> Line:
    texts = cell_texts(row)
    sign = "+" if row.key in state.marked else " "
    folded = row.instance is None and ("▸" if row.key in state.folded else "▾")
    line: Line = [("mark" if sign == "+" else "", sign), ("", folded or " ")]
    for each in there:
        style = ""
        if each.name == "spark":
            text, style = cells.sparkline(state.shot.cpu.get(row.key, ()), top, each.width), "cpu"
        else:
            text = widths.middle(texts[each.name], each.width) if each.name == "name" else texts[each.name]
            style = _style(row, each.name, text)
        line += [(style, widths.pad(text, each.width, right=each.name in _RIGHT)), ("", " " * _GAP)]
    if not chosen:
        return line
    return [("cursor" if style in ("", "dim", "cpu") else f"cursor {style}", text) for style, text in line]


def _style(row: Row, name: str, text: str) -> str:
    """What a cell tells by its colour."""
    if name == "state":
        return _STYLES.get(row.state, "")
    if name == "why":
        return "dim" if row.state == "online" else "bad" if row.state in ("errored", "backoff") else "wait"
    if (name == "restarts" and text != "0") or (name == "memory" and _is_near_limit(row)):
        return "wait"
    return ""


def _is_near_limit(row: Row) -> bool:
    limit = row.app["memory_limit_bytes"]
    return limit is not None and any((each["memory_bytes"] or 0) > limit * _FULL for each in row.instances)
