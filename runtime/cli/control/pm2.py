"""`pm2 ...`, when the command is called by that name: PM2's arguments, output shapes and exit codes."""

import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from runtime.cli.control import changes, table
from runtime.cli.control.client import Client, CommandError
from runtime.cli.control.pm2lists import entries, inspect, status

_FAILED: Final = 1
"""PM2 knows no other code."""
_SILENT: Final = ("-s", "--silent", "--no-color", "--update-env", "-f", "--force", "--no-daemon", "-a")
_HEAD: Final = ("id", "name", "namespace", "version", "mode", "pid", "uptime", "↺", "status", "cpu", "mem")


def run(argv: Sequence[str]) -> int:
    """`argv[0]` is `pm2`."""
    words = [word for word in argv[1:] if word not in _SILENT or argv[1:2] == ["logs"]]
    if not words or words[0] in ("-h", "--help", "help"):
        print("usage: pm2 COMMAND (this is pidone): " + ", ".join(sorted(_COMMANDS)))
        return 0
    if words[0] in ("-v", "-V", "--version", "version"):
        from runtime import __version__

        print(__version__)
        return 0
    if words[0] not in _COMMANDS:
        sys.stderr.write(f"[PM2][ERROR] {words[0]}: there is no such command in a container\n")
        return _FAILED
    return _FAILED if _call(_COMMANDS[words[0]], words[1:]) else 0


def _call(command: Callable[[Client, list[str]], int], words: list[str]) -> int:
    try:
        return command(Client.find(), words)
    except CommandError as error:
        sys.stderr.write(f"[PM2][ERROR] {error}\n")
    except KeyboardInterrupt:  # the usual end of `pm2 logs`
        pass
    except BrokenPipeError:  # `pm2 ls | head`
        sys.stdout = None  # nothing is left to flush into
        return 0
    return _FAILED


def _ls(runtime: Client, words: list[str]) -> int:
    del words
    print(listing(runtime.get("api", "apps")["apps"]))
    return 0


def listing(apps: Sequence[Mapping[str, Any]]) -> str:
    """PM2's table."""
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
        ]
        for each, instance in zip(entries(apps), _by_id(apps), strict=True)
    ]
    return boxed(_HEAD, rows)


def boxed(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in box characters."""
    widths = [max(map(len, column)) + 2 for column in zip(head, *rows, strict=True)]

    def rule(left: str, middle: str, right: str) -> str:
        return left + middle.join("─" * width for width in widths) + right

    def line(cells: Sequence[str]) -> str:
        return (
            "│" + "│".join(f" {cell}".ljust(width) for cell, width in zip(cells, widths, strict=True)) + "│"
        )

    body = [line(row) for row in rows]
    return "\n".join([rule("┌", "┬", "┐"), line(head), rule("├", "┼", "┤"), *body, rule("└", "┴", "┘")])


def _by_id(apps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted((each for app in apps for each in app["instances"]), key=lambda each: int(each["id"]))


def _memory(size: int) -> str:
    return f"{size / 1024 / 1024:.1f}mb" if size >= 1024 * 1024 else f"{size / 1024:.1f}kb" if size else "0b"


def _jlist(runtime: Client, words: list[str]) -> int:
    del words
    import json

    print(json.dumps(entries(runtime.get("api", "apps")["apps"])))
    return 0


def _prettylist(runtime: Client, words: list[str]) -> int:
    del words
    print(inspect(entries(runtime.get("api", "apps")["apps"])))
    return 0


def _verb(verb: str, participle: str) -> Callable[[Client, list[str]], int]:
    def change(runtime: Client, words: list[str]) -> int:
        targets = [_target(word) for word in words if not word.startswith("-")]
        if not targets:
            raise CommandError(f"{verb}: which app?")
        failures: list[str] = []
        for target in targets:
            apps = changes.act(runtime, target, verb)
            print(f"[PM2] Applying action {verb}ProcessId on app [{target}](ids: {_ids(apps)})")
            if verb != "delete":
                apps = changes.settle(runtime, target, timeout=600.0)
                failures += filter(None, (changes.failure(verb, app) for app in apps if participle))
            for app in apps:
                for instance in app["instances"]:
                    print(f"[PM2] [{app['name']}]({instance['id']}) ✓")
        print(listing(runtime.get("api", "apps")["apps"]))
        for line in failures:
            sys.stderr.write(f"[PM2][ERROR] {line}\n")
        return _FAILED if failures else 0

    return change


def _target(word: str) -> str:
    """PM2 takes a file as well and means its apps; here that is everything."""
    return "all" if os.path.isfile(word) else word


def _ids(apps: Sequence[Mapping[str, Any]]) -> str:
    return "[ " + ", ".join(str(each["id"]) for each in _by_id(apps)) + " ]"


def _scale(runtime: Client, words: list[str]) -> int:
    if len(words) < 2:
        raise CommandError("scale: expected an app and a number")
    before = {app["name"]: app["scale"] for app in runtime.get("api", "apps", words[0])["apps"]}
    apps = changes.act(runtime, words[0], "scale", {"instances": words[1]})
    if all(app["scale"] == before.get(app["name"]) for app in apps):
        raise CommandError("nothing to do: the app has that many instances")
    changes.settle(runtime, words[0], timeout=600.0)
    print(listing(runtime.get("api", "apps")["apps"]))
    return 0


def _pid(runtime: Client, words: list[str]) -> int:
    apps = runtime.get("api", "apps", words[0] if words else "all")["apps"]
    for instance in _by_id(apps):
        print(instance["pid"] or 0)
    return 0


def _id(runtime: Client, words: list[str]) -> int:
    print(_ids(runtime.get("api", "apps", *(words[:1] or ["all"]))["apps"]))
    return 0


def _ping(runtime: Client, words: list[str]) -> int:
    del words
    runtime.get("api")
    print("{ msg: 'pong' }")
    return 0


def _signal(runtime: Client, words: list[str]) -> int:
    if len(words) < 2:
        raise CommandError("sendSignal: expected a signal and an app")
    changes.act(runtime, words[1], "signal", {"signal": words[0]})
    print(f"[PM2] successfully sent signal {words[0]} to process name {words[1]}")
    return 0


def _kill(runtime: Client, words: list[str]) -> int:
    del words
    os.kill(runtime.get("api")["pid"], signal.SIGTERM)
    print("[PM2] [v] All Applications Stopped")
    return 0


def _logs(runtime: Client, words: list[str]) -> int:
    """PM2 follows unless told not to."""
    follow = [] if "--nostream" in words else ["-f"]
    lines = re.sub(r"--lines (\d+)", r"--lines=\1", " ".join(words)).split()
    kept = [word for word in lines if word.startswith("--lines=") or word == "--err"]
    target = [word for word in lines if not word.startswith("-")][:1]
    target = [] if target == ["all"] else target
    return _pass_on("logs")(runtime, [*follow, *(kept or ["--lines=15"]), *target])


def _pass_on(name: str) -> Callable[[Client, list[str]], int]:
    """A command of ours that takes the same arguments."""

    def passed(runtime: Client, words: list[str]) -> int:
        from runtime.cli.commands import run as run_command

        return run_command([name, "--socket", runtime.path, *words])

    return passed


_COMMANDS: Final[Mapping[str, Callable[[Client, list[str]], int]]] = {
    **dict.fromkeys(("ls", "list", "l", "ps", "status"), _ls),
    "jlist": _jlist,
    "prettylist": _prettylist,
    "start": _verb("start", "up"),
    "restart": _verb("restart", "up"),
    **dict.fromkeys(("reload", "gracefulReload"), _verb("reload", "up")),
    "stop": _verb("stop", ""),
    **dict.fromkeys(("delete", "del"), _verb("delete", "")),
    "scale": _scale,
    "pid": _pid,
    "id": _id,
    "ping": _ping,
    "sendSignal": _signal,
    "kill": _kill,
    "logs": _logs,
    **dict.fromkeys(("describe", "desc", "info", "show"), _pass_on("describe")),
    "env": _pass_on("env"),
    "send": _pass_on("send"),
    "trigger": _pass_on("trigger"),
    "reset": _pass_on("reset"),
    "flush": _pass_on("flush"),
    "reloadLogs": _pass_on("reopen"),
    **dict.fromkeys(("save", "dump"), _pass_on("save")),
    **dict.fromkeys(("monit", "dash"), _pass_on("monit")),
}
