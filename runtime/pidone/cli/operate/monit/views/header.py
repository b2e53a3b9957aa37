"""The two lines at the top: whether it is ready or why not, and what the container uses."""

from collections import Counter
from typing import Final

from pidone.cli.operate import table
from pidone.cli.operate.monit import cells, rows
from pidone.cli.operate.monit.cells import Line
from pidone.cli.operate.monit.state import Screen

_HIGH: Final = 0.9


def lines(state: Screen) -> list[Line]:
    """Both."""
    return [_state(state), _container(state)]


def _state(state: Screen) -> Line:
    shot = state.shot
    overview = shot.overview
    if shot.trouble:
        return [("alarm", " no answer "), ("bad", f" {shot.trouble}")]
    if not overview:
        return [("dim", "asking …")]
    sign, style, reason = _readiness(state)
    states = Counter(str(each["state"]) for app in shot.apps for each in app["instances"])
    many = ", ".join(f"{count} {name}" for name, count in states.most_common())
    right = f" {many} · pidone {overview['version']} up {table.duration(overview['uptime_s'])}"
    left: Line = [(style, f" {sign} "), ("bad" if reason else "", f" {reason}" if reason else "")]
    room = state.width - cells.width(right)
    if cells.length(left) > room:
        room = state.width - cells.width(right := f" · up {table.duration(overview['uptime_s'])}")
    if cells.length(left) > room:
        return [left[0], (left[1][0], cells.cut(left[1][1], state.width - cells.length(left[:1])))]
    return [*cells.fit(left, room), ("dim", right)]


def _readiness(state: Screen) -> tuple[str, str, str]:
    overview = state.shot.overview
    if overview["draining"]:
        return "DRAINING", "alarm", "a stop was announced: it is not ready any more"
    if overview["phase"] != "running":
        return str(overview["phase"]).upper(), "alarm", ""
    bad = rows.not_ready(state.shot)
    if overview["ready"] and not bad:
        return "READY", "fine", ""
    texts = [f"{row.app['name']} {row.state}" + (f": {why}" if (why := rows.why(row)) else "") for row in bad]
    more = f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""
    sign = "READY" if overview["ready"] else "NOT READY"
    return sign, "fine" if overview["ready"] else "alarm", (texts[0] if texts else "") + more


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
