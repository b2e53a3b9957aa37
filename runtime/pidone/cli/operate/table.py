"""Tables and figures for people: plain text, aligned, coloured on a terminal only."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pidone.logs.escape import printable_word
from pidone.logs.formats import widths

_COLOURS: Final = {
    "online": 32,
    "completed": 32,
    "starting": 33,
    "stopping": 33,
    "backoff": 33,
    "waiting": 33,
    "stopped": 90,
    "errored": 31,
}


_USUAL_WIDTH: Final = 80


def wants_colour() -> bool:
    """A terminal, and nobody who minds (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def terminal_width() -> int:
    """Columns of the terminal on stdout, unless COLUMNS tells others; 80 where nobody knows.

    As `shutil.get_terminal_size`, with which four compressors come: 4 % of the CPU time of `ls`.
    """
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(1).columns or _USUAL_WIDTH
    except OSError:
        return _USUAL_WIDTH


def harmless(value: Any) -> Any:
    """A value that was JSON with every string in it, names included, fit for a line of a terminal."""
    if isinstance(value, str):
        return printable_word(value)
    if isinstance(value, dict):
        return {harmless(name): harmless(each) for name, each in value.items()}
    if isinstance(value, list):
        return [harmless(each) for each in value]
    return value


def render(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Columns as wide as they need to be; those in `right` are aligned there."""
    columns = [max(map(widths.width, column)) for column in zip(head, *rows, strict=True)]
    colour = wants_colour()
    lines = []
    for row in (head, *rows):
        cells = [
            widths.pad(cell, width, right=index in right)
            for index, (cell, width) in enumerate(zip(row, columns, strict=True))
        ]
        if colour:
            cells = [paint(cell) for cell in cells]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def paint(cell: str) -> str:
    """A state in its colour; anything else as it is."""
    code = _COLOURS.get(cell.strip())
    return f"\x1b[{code}m{cell}\x1b[0m" if code else cell


def why(shown: Mapping[str, Any]) -> str:
    """Why an app or an instance is not well, and when it is tried again; else what it says of itself."""
    waits = [
        each["retry_in_s"] for each in shown.get("instances", (shown,)) if each["retry_in_s"] is not None
    ]
    retry = f", next try in {min(waits):.0f} s" if waits else ""
    return f"{shown['why']}{retry}" if shown["why"] else str(shown.get("status_text") or "")


def warning(shown: Mapping[str, Any]) -> str:
    """One of the runtime's warnings as a line."""
    return f"{shown['event']} {shown['app'] or ''}".rstrip() + f": {shown['message']}"


def size(count: float | None) -> str:
    """`12.3M`, binary units."""
    if count is None:
        return "-"
    for unit in ("", "K", "M", "G"):
        if count < 1024 or unit == "G":
            return f"{count:.0f}{unit}" if unit in ("", "K") else f"{count:.1f}{unit}"
        count /= 1024
    raise AssertionError("unreachable")


def duration(seconds: float | None) -> str:
    """`12s`, `5m`, `3h`, `2d`, as PM2 shows it."""
    if seconds is None:
        return "-"
    for length, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= length:
            return f"{seconds // length:.0f}{unit}"
    return f"{seconds:.0f}s"


def rows(apps: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """One row per instance."""
    return [
        [
            str(instance["id"]),
            app["name"] if app["scale"] == 1 else f"{app['name']}:{instance['index']}",
            instance["state"],
            str(instance["pid"] or "-"),
            str(instance["restarts"]),
            duration(instance["uptime_s"]),
            "-" if instance["cpu_percent"] is None else f"{instance['cpu_percent']:.0f}%",
            size(instance["memory_bytes"]),
        ]
        for app in apps
        for instance in app["instances"]
    ]


HEAD: Final = ("id", "name", "state", "pid", "restarts", "uptime", "cpu", "memory")
RIGHT: Final = (3, 4, 5, 6, 7)
