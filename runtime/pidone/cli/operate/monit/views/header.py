"""The two lines at the top: whether it is ready or why not, and what the container uses."""

from collections import Counter
from typing import Final

from pidone.cli.operate import table
from pidone.cli.operate.monit import cells, rows
from pidone.cli.operate.monit.cells import Line
from pidone.cli.operate.monit.state import Screen
from pidone.logs.formats import widths

_HIGH: Final = 0.9
_NAMED: Final = 2
"""So many of the others are named."""
_MOST_LINES: Final = 3
_ROWS_A_LINE: Final = 6
"""Of the screen, for each line of the reason."""
_NARROW: Final = 60
_LEAST_NAME: Final = 20
"""Columns of an app's name, at least, where there is something to be said of it."""


def lines(state: Screen) -> list[Line]:
    """Whether it is ready, why it is not and what to do, then the container."""
    return [*_state(state), _container(state)]


def height(state: Screen) -> int:
    """How many they are."""
    return len(_state(state)) + 1


def _state(state: Screen) -> list[Line]:
    """One line if all is well, else as many as the reason takes and the height has room for."""
    shot = state.shot
    overview = shot.overview
    if shot.trouble:
        return _spread(" no answer ", "alarm", shot.trouble, "bad", state)
    if not overview:
        return [[("dim", "asking …")]]
    sign, style, reason = _readiness(state)
    states = Counter(str(each["state"]) for app in shot.apps for each in app["instances"])
    many = ", ".join(f"{count} {name}" for name, count in states.most_common())
    up = f"up {table.duration(overview['uptime_s'])} "
    tone = "bad" if style == "alarm" else "wait"
    left: Line = [(style, f" {sign} "), (tone, f" {reason}" if reason else "")]
    for right in (f" {many} · pidone {overview['version']} {up}", f" {many} · {up}", f" {up}"):
        room = state.width - widths.width(right)
        if cells.length(left) <= room:
            return [[*cells.fit(left, room), ("dim", right)]]
    return _spread(f" {sign} ", style, reason, tone, state)


def _spread(sign: str, style: str, text: str, tone: str, state: Screen) -> list[Line]:
    """A text over a few lines, beside the sign; the first of which stands out."""
    most = max(1, min(_MOST_LINES, state.height // _ROWS_A_LINE))
    indent = 1 if state.width < _NARROW else widths.width(sign) + 1
    room = state.width - widths.width(sign) - 1
    parts = widths.words(text, max(1, state.width - indent), max(1, room))
    if len(parts) > most:
        parts = [*parts[: most - 1], " ".join(parts[most - 1 :])]
    first, *rest = (widths.cut(part, room if not n else state.width - indent) for n, part in enumerate(parts))
    return [[(style, sign), (tone, f" {first}")], *([("", " " * indent), (tone, part)] for part in rest)]


def _readiness(state: Screen) -> tuple[str, str, str]:
    overview = state.shot.overview
    if overview["draining"]:
        return "DRAINING", "alarm", "a stop was announced: it is not ready any more"
    if overview["phase"] != "running":
        return str(overview["phase"]).upper(), "alarm", ""
    bad = rows.needy(state.shot)
    sign, style = ("READY", "fine") if overview["ready"] else ("NOT READY", "alarm")
    warned = [
        f"{table.warning(each)} -> {each['advice']}".removesuffix(" -> ") for each in overview["warnings"]
    ]
    if not bad:
        more = f" (and {len(warned) - 1} more)" if len(warned) > 1 else ""
        return sign, style, warned[0] + more if warned else ""
    worst = bad[0]
    most = max(_LEAST_NAME, state.width // 3)  # the cause has to have room
    text = f"{widths.middle(worst.app['name'], most)} {worst.state}"
    text += f": {why}" if (why := rows.why(worst)) else ""
    text += f" -> {worst.app['advice']}" if worst.app["advice"] else ""
    others = [
        *(widths.middle(row.app["name"], most) for row in bad[1:]),
        *(each["event"] for each in overview["warnings"]),
    ]
    named = ", ".join(others[:_NAMED]) + (", …" if len(others) > _NAMED else "")
    return sign, style, f"{text} (and {len(others)} more: {named})" if others else text


def _container(state: Screen) -> Line:
    box, rates = state.shot.container, state.shot.rates
    if not box:
        return []
    columns = 8 if state.width < 120 else 20
    line: Line = [("", "cpu ")]
    share = rates.get("cpu")
    if share is not None:
        line += [(_tone(share), cells.bar(share, columns)), ("", f" {share * box['cpus'] * 100:.0f}%")]
    line.append(("dim", f" of {box['cpus']:g} CPUs"))
    memory = box["memory"]
    used, limit = memory["working_set_bytes"], memory["limit_bytes"]
    if used is not None:
        line.append(("", "  mem "))
        if limit:
            line += [(_tone(used / limit), cells.bar(used / limit, columns)), ("", " ")]
        line += [("", table.size(used)), ("dim", f"/{table.size(limit)}" if limit else " no limit")]
    throttled = rates.get("throttled", 0.0)
    line.append(("bad" if throttled > 0.05 else "dim", f"  throttled {throttled * 100:.0f}%"))
    if box["oom_kills"]:
        line.append(("bad", f"  {box['oom_kills']} OOM kills"))
    pressure = box["pressure"]
    if pressure:
        values = " ".join(
            f"{name} {each['some']:.0f}%" for name, each in pressure.items() if each["some"] is not None
        )
        scope = " (machine)" if any(each["scope"] == "host" for each in pressure.values()) else ""
        line.append(("dim", f"  waiting: {values}{scope}"))
    return line


def _tone(share: float) -> str:
    return "bad" if share > _HIGH else "good"
