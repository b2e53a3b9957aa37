"""`pm2 describe`, `pm2 env` and `pm2 logs`: one process, its variables, and lines, as PM2 prints them."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pidone.cli.operate import table
from pidone.cli.operate.client import Client, CommandError
from pidone.cli.operate.table import harmless
from pidone.control.pm2.lists import entries
from pidone.logs.escape import printable


def describe(runtime: Client, words: Sequence[str]) -> int:
    """A table for each process of the app."""
    target = named(words, "describe")
    shown = harmless(runtime.get("api", "apps", target))
    commands = {each["name"]: each["command"] for each in shown["details"]}
    uptimes = {each["id"]: each["uptime_s"] for app in shown["apps"] for each in app["instances"]}
    for each in entries(shown["apps"]):
        env = each["pm2_env"]
        print(f" Describing process with id {each['pm_id']} - name {each['name']} ")
        facts = {
            "status": env["status"],
            "name": each["name"],
            "namespace": env["namespace"],
            "version": env["version"],
            "restarts": env["restart_time"],
            "uptime": table.duration(uptimes[each["pm_id"]]) if each["pid"] else 0,
            "script path": env["pm_exec_path"],
            "command": " ".join(commands[each["name"]]),
            "error log path": env["pm_err_log_path"],
            "out log path": env["pm_out_log_path"],
            "pid path": env["pm_pid_path"] or "N/A",
            "script id": each["pm_id"],
            "exec cwd": env["pm_cwd"],
            "exec mode": env["exec_mode"],
            "node.js version": env["node_version"],
            "watch & reload": "✔" if env["watch"] else "✘",
            "unstable restarts": env["unstable_restarts"],
            "created at": _time(env["created_at"]) if each["pid"] else "N/A",
        }
        print(_box([(name, str(value)) for name, value in facts.items()]))
    return 0


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _box(rows: Sequence[tuple[str, str]]) -> str:
    one, other = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = [f"│ {name:<{one}} │ {value:<{other}} │" for name, value in rows]
    edges = ("─" * (one + 2), "─" * (other + 2))
    return "\n".join([f"┌{'┬'.join(edges)}┐", *lines, f"└{'┴'.join(edges)}┘"])


def env(runtime: Client, words: Sequence[str]) -> int:
    """Names and values, masked."""
    for app in harmless(runtime.get("api", "apps", named(words, "env"), "env")["apps"]):
        for name, value in app["env"].items():
            print(f"{name}: {value}")
    return 0


def logs(runtime: Client, words: Sequence[str]) -> int:
    """The last lines and, unless told not to, those to come. A target nobody knows has none."""
    options, targets = _log_options(words)
    target = targets[0] if targets else "all"
    few = f"[{target}] process" + ("es" if target == "all" else "")
    lines = options.get("--lines", "15")
    if not options.keys() & {"--json", "--format"}:
        tailing = f"[TAILING] Tailing last {lines} lines for {few} (change the value with --lines option)"
        print(tailing, flush=True)
    try:
        apps = runtime.get("api", "apps", target)["apps"]
    except CommandError:
        apps = []
    ids = {(app["name"], each["index"]): each["id"] for app in apps for each in app["instances"]}
    query = {"lines": "10000"} | ({"err": "1"} if "--err" in options else {})
    if len(apps) == 1:
        query["app"] = f"{apps[0]['namespace']}/{apps[0]['name']}"
    show = _shape(options, ids)
    records = runtime.get("api", "logs", **query)["records"] if apps else []
    kept = [line for record in records if (line := show(record)) is not None]
    for line in kept[len(kept) - min(int(lines) if lines.isdecimal() else 15, len(kept)) :]:
        print(printable(line))
    if "--nostream" not in options and apps:
        sys.stdout.flush()
        for line in _following(runtime, {**query, "lines": "0"}, show):
            print(printable(line), flush=True)
    return 0


def _log_options(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    options: dict[str, str] = {}
    targets = []
    left = iter(words)
    for word in left:
        name, given, value = word.partition("=")
        if name in ("--lines", "--timestamp", "--highlight"):
            options[name] = value if given else next(left, "") if name == "--lines" else ""
        elif word.startswith("-"):
            options[word] = ""
        else:
            targets.append(word)
    return options, targets


def _following(runtime: Client, query: Mapping[str, str], show: Callable[[str], str | None]) -> Iterator[str]:
    for event, record in runtime.stream("api", "logs", follow="1", **query):
        if event == "lost":
            raise CommandError("too slow: some records were lost")
        if (line := show(record)) is not None:
            yield line


def _shape(options: Mapping[str, str], ids: Mapping[tuple[str, int], int]) -> Callable[[str], str | None]:
    """How a record is shown, or None for what others say."""
    wanted = {"--out": "stdout", "--err": "stderr"}
    streams = {stream for option, stream in wanted.items() if option in options} or {"stdout", "stderr"}
    width = max((len(name) for name, _ in ids), default=0)

    def show(record: str) -> str | None:
        fields = json.loads(record)
        if "stream" not in fields:
            return None  # an event of the runtime
        found = ids.get((fields["app"], fields.get("instance", 0)))
        if found is None or fields["stream"] not in streams:
            return None
        message = fields.get("message", record)
        if "--raw" in options:
            return str(message)
        if "--json" in options:
            kind = "err" if fields["stream"] == "stderr" else "out"
            shown = {"message": message, "timestamp": fields.get("timestamp"), "type": kind}
            return json.dumps({**shown, "process_id": found, "app_name": fields["app"]}, ensure_ascii=False)
        if "--format" in options:
            kind = "error" if fields["stream"] == "stderr" else "out"
            at = _second(str(fields.get("timestamp")))
            return f"timestamp={at} app={fields['app']} id={found} type={kind} message={message}"
        at = f"{fields.get('timestamp')}: " if "--timestamp" in options else ""
        return f"{found}|{fields['app']:<{width}} | {at}{message}"

    return show


def _second(timestamp: str) -> str:
    """`2026-11-20-23:04:39+0000`, PM2's way; what is no time stays."""
    try:
        return datetime.fromisoformat(timestamp).strftime("%Y-%m-%d-%H:%M:%S%z")
    except ValueError:
        return timestamp


def named(words: Sequence[str], command: str) -> str:
    """The one target. Raises CommandError."""
    targets = [word for word in words if not word.startswith("-")]
    if not targets:
        raise CommandError(f"{command}: missing required argument `name|id'")
    return targets[0]


def trigger(runtime: Client, words: Sequence[str]) -> int:
    """Run an action, and print who said what."""
    if len(words) < 2:
        raise CommandError("trigger: missing required argument `action_name'")
    target, action, *parameter = words
    body: dict[str, Any] = {"action": action} | ({"parameter": parameter[0]} if parameter else {})
    try:
        replies = runtime.post("api", "apps", target, "trigger", body=body)["replies"]
        apps = runtime.get("api", "apps", target)["apps"]
    except CommandError:
        print("Not any process has received a command (offline or unexistent)")
        return 1
    ids = {
        (app["name"], each["index"]): (each["id"], app["namespace"])
        for app in apps
        for each in app["instances"]
    }
    print(f"{len(replies)} process{'es have' if len(replies) > 1 else ' has'} received command {action}")
    for reply in harmless(replies):
        number, namespace = ids.get((reply["app"], reply["instance"]), (reply["instance"], "default"))
        said = json.dumps(reply.get("error", reply.get("return")), ensure_ascii=False, separators=(",", ":"))
        print(f"[{reply['app']}:{number}:{namespace}]={said}")
    return int(any("error" in reply for reply in replies))
