"""`pm2 ls`, `ls -m`, `jlist`, `prettylist` and `slist`: every process, in PM2's shapes."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pidone.cli.operate import table
from pidone.cli.operate.client import Client
from pidone.cli.operate.table import harmless
from pidone.control.pm2.lists import entries, inspect, launched, status
from pidone.logs.formats import widths

HEAD: Final = (
    *("id", "name", "namespace", "version", "mode", "pid", "uptime"),
    *("↺", "status", "cpu", "mem", "user", "watching"),
)


def ls(runtime: Client, words: Sequence[str]) -> int:
    """The table, or with `-m` a paragraph for each process."""
    if {"-m", "--mini-list"} & {*words}:
        apps = harmless(launched(runtime.get("api", "apps", "all")))
        for each, instance in zip(entries(apps), by_id(apps), strict=True):
            print(_paragraph(each, instance["uptime_s"]))
        return 0
    print(listing(harmless(runtime.get("api", "apps")["apps"])))
    return 0


def _paragraph(each: Mapping[str, Any], uptime: float | None) -> str:
    """One process as `pm2 ls -m` has it."""
    env = each["pm2_env"]
    facts = {
        "namespace": env["namespace"],
        "version": env["version"],
        "pid": each["pid"],
        "pm2 id": each["pm_id"],
        "status": env["status"],
        "mode": env["exec_mode"].removesuffix("_mode"),
        "restarted": env["restart_time"],
        "uptime": 0 if uptime is None else table.duration(uptime),
        "memory usage": f"{_memory(each['monit']['memory'])} ",
        "error log": env["pm_err_log_path"],
        "watching": "yes" if env["watch"] else "no",
        "PID file": env["pm_pid_path"] or "N/A",
    }
    return "\n".join([f"+--- {each['name']}", *(f"{name} : {fact}" for name, fact in facts.items()), ""])


def listing(apps: Sequence[Mapping[str, Any]]) -> str:
    """PM2's table: by name, and by id within one."""
    rows = [
        [
            str(each["pm_id"]),
            each["name"],
            each["pm2_env"]["namespace"],
            each["pm2_env"]["version"],
            each["pm2_env"]["exec_mode"].removesuffix("_mode"),
            str(each["pid"]),
            table.duration(instance["uptime_s"]) if instance["uptime_s"] is not None else "0",
            str(each["pm2_env"]["restart_time"]),
            status(instance["state"]),
            f"{each['monit']['cpu']}%",
            _memory(each["monit"]["memory"]),
            _user(each["pid"]),
            "enabled" if each["pm2_env"]["watch"] else "disabled",
        ]
        for each, instance in sorted(
            zip(entries(apps), by_id(apps), strict=True), key=lambda pair: str(pair[0]["name"])
        )
    ]
    return boxed(rows, HEAD)


def boxed(rows: Sequence[Sequence[str]], head: Sequence[str] = ()) -> str:
    """A table in box characters."""
    heads = [head] if head else []
    columns = [max(map(widths.width, column)) + 2 for column in zip(*heads, *rows, strict=True)]

    def rule(left: str, middle: str, right: str) -> str:
        return left + middle.join("─" * width for width in columns) + right

    def line(cells: Sequence[str]) -> str:
        filled = (widths.pad(f" {cell}", width) for cell, width in zip(cells, columns, strict=True))
        return f"│{'│'.join(filled)}│"

    above = [line(head), rule("├", "┼", "┤")] if head else []
    return "\n".join([rule("┌", "┬", "┐"), *above, *map(line, rows), rule("└", "┴", "┘")])


def by_id(apps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Every process."""
    return sorted((each for app in apps for each in app["instances"]), key=lambda each: int(each["id"]))


def _memory(size: int) -> str:
    return f"{size / 1024 / 1024:.1f}mb" if size >= 1024 * 1024 else f"{size / 1024:.1f}kb" if size else "0b"


def _user(pid: int) -> str:
    """Whose process it is, where it can be seen from here."""
    try:
        uid = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return "N/A"
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def jlist(runtime: Client, words: list[str]) -> int:
    """JSON in one line, without blanks: scripts grep in it."""
    del words
    print(json.dumps(entries(launched(runtime.get("api", "apps", "all"))), separators=(",", ":")))
    return 0


def prettylist(runtime: Client, words: list[str]) -> int:
    """As Node shows objects."""
    del words
    print(inspect(harmless(entries(launched(runtime.get("api", "apps", "all"))))))
    return 0


def slist(runtime: Client, words: Sequence[str]) -> int:
    """The container in figures, under the names that PM2 gives those of a machine."""
    del words
    shown = runtime.get("api", "container")
    used, limit = shown["memory"]["usage_bytes"], shown["memory"]["limit_bytes"]
    figures: dict[str, tuple[float | None, str]] = {
        "CPUs": (shown["cpus"], ""),
        "RAM Usage": (round(100 * used / limit, 2) if used is not None and limit else None, "%"),
        "RAM Total": (limit, "b"),
        "RAM Available": (limit - used if used is not None and limit else None, "b"),
        "RAM Active": (used, "b"),
    }
    print(
        inspect(
            {
                name: {"value": value, "type": "metric", "unit": unit, "historic": True}
                for name, (value, unit) in figures.items()
                if value is not None
            }
        )
    )
    return 0
