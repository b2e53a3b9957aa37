"""What is known of the app under the cursor: why it ended, what it said, what comes next, what it may."""

from collections.abc import Iterable, Mapping
from typing import Any

from pidone.cli.operate import description, table
from pidone.cli.operate.monit import rows
from pidone.cli.operate.monit.cells import Line
from pidone.cli.operate.monit.rows import Row
from pidone.cli.operate.monit.state import Screen
from pidone.logs.formats import widths

_LATE = 6
_NAME = 13
_INDENT = 2


def details(state: Screen) -> list[Line]:
    """All of it, the most urgent first."""
    row, known = rows.chosen(state), state.description
    if row is None:
        return [[("dim", "nothing is chosen")]]
    lines = [*_why(row, state.width), *_now(row)]
    if known.key != rows.of_app(row.key) or not known.shown:
        return [*lines, [("dim", "asking …")]]
    if known.stderr:
        lines.append([("bold", "last lines of stderr")])
        lines += [[("bad", f"  {line}")] for line in known.stderr]
    late = _events(state)[-_LATE:]
    lines += [[("bold", "what happened")], *late] if late else []
    lines.append([("bold", "what it is")])
    for app in known.shown["apps"]:
        lines += [
            _fact(text)
            for text in description.summary(
                known.shown, {**app, "ready": True, "why": "", "waits_for": "", "advice": ""}
            )
        ]
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
        line: Line = [("bold", widths.pad(widths.middle(name, _NAME), _NAME) + " "), (tone, each["state"])]
        line.append(("dim", f"  restarts {each['restarts']} of {row.app['max_restarts']}"))
        if each["pid"]:
            line.append(("dim", f"  pid {each['pid']} up {table.duration(each['uptime_s'])}"))
        if each["last_exit"]:
            line.append(("dim", f"  last exit {description.exit_in_words(each['last_exit'])}"))
        lines.append(line)
        if len(row.instances) > 1 and (text := table.why(each)):
            lines.append([("", " " * _INDENT), ("" if tone == "good" else tone, text)])
    return lines


def _why(row: Row, width: int) -> list[Line]:
    """Why it is not well and what to do, all of it."""
    why, advice = rows.why(row), row.app["advice"] if row.instance is None else row.instance["advice"]
    found = [
        ("bad" if not row.app["ready"] else "wait", part) for part in widths.words(why, width - 1) if part
    ]
    found += [("key", part) for part in widths.words(f"-> {advice}", width - 1)] if advice else []
    return [[(style, f" {part}")] for style, part in found]


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
