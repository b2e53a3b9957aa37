"""What is known of the app under the cursor: why it ended, what it said, what comes next, what it may."""

from collections.abc import Iterable, Mapping
from typing import Any

from pidone.cli.operate import description, table
from pidone.cli.operate.monit import cells, rows
from pidone.cli.operate.monit.cells import Line
from pidone.cli.operate.monit.rows import Row
from pidone.cli.operate.monit.state import Screen

_LATE = 6
_NAME = 13


def details(state: Screen) -> list[Line]:
    """All of it, the most urgent first."""
    row, known = rows.chosen(state), state.description
    if row is None:
        return [[("dim", "nothing is chosen")]]
    lines = _now(row)
    if known.key != rows.of_app(row.key) or not known.shown:
        return [*lines, [("dim", "asking …")]]
    if known.stderr:
        lines.append([("bold", "last lines of stderr")])
        lines += [[("bad", f"  {line}")] for line in known.stderr]
    late = _events(state)[-_LATE:]
    lines += [[("bold", "what happened")], *late] if late else []
    lines.append([("bold", "what it is")])
    for app in known.shown["apps"]:
        lines += [_fact(text) for text in description.summary(known.shown, {**app, "ready": True})]
    if known.environment:
        lines.append([("bold", "environment"), ("dim", " (secrets are masked)")])
        lines += [[("dim", f"  {name}="), ("", value)] for name, value in known.environment]
    return lines


def timeline(state: Screen) -> list[Line]:
    """What happened to it, the newest last."""
    row = rows.chosen(state)
    if row is None or state.description.key != rows.of_app(row.key):
        return [[("dim", "asking …")]]
    return _events(state) or [[("dim", "nothing is remembered")]]


def _now(row: Row) -> list[Line]:
    lines: list[Line] = []
    for each in row.instances:
        name = row.app["name"] if row.app["scale"] == 1 else f"{row.app['name']}:{each['index']}"
        tone = "good" if each["state"] in ("online", "completed") else "bad" if each["last_exit"] else "wait"
        line: Line = [("bold", cells.pad(name, _NAME) + " "), (tone, each["state"])]
        text = rows.why(Row(row.key, row.app, each))
        if text:
            line.append((tone if each["state"] != "online" else "", f": {text}"))
        line.append(("dim", f"  restarts {each['restarts']} of {row.app['max_restarts']}"))
        if each["last_exit"]:
            line.append(("dim", f"  last exit {_exit(each['last_exit'])}"))
        if each["pid"]:
            line.append(("dim", f"  pid {each['pid']} up {table.duration(each['uptime_s'])}"))
        lines.append(line)
    return lines


def _exit(last: Mapping[str, Any]) -> str:
    return f"signal {last['signal']}" if last["signal"] else f"code {last['code']}"


def _events(state: Screen) -> list[Line]:
    events: Iterable[Mapping[str, Any]] = state.description.shown.get("events", ())
    lines: list[Line] = []
    for event in events:
        known = ("timestamp", "level", "event", "message", "app", "namespace", "instance")
        said = str(event["message"])
        more = " ".join(
            f"{key}={value}" for key, value in event.items() if key not in known and str(value) not in said
        )
        tone = {"error": "bad", "fatal": "bad", "warning": "wait"}.get(str(event["level"]), "event")
        whose = f":{event['instance']}" if "instance" in event else ""
        lines.append(
            [
                ("dim", f"  {str(event['timestamp'])[11:19]} "),
                (tone, f"{event['event']}{whose} "),
                ("", said),
                ("dim", f" {more}" if more else ""),
            ]
        )
    return lines


def _fact(text: str) -> Line:
    return [("", f"  {text}")]
