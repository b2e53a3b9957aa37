"""`pm2 describe`, `pm2 env` and `pm2 trigger`: a process, its variables, its actions, as PM2 prints them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pidone.cli.operate import table
from pidone.cli.operate.client import Client, CommandError
from pidone.cli.operate.table import harmless
from pidone.cli.pm2.listing import boxed
from pidone.control.pm2.lists import entries, launched


def describe(runtime: Client, words: Sequence[str]) -> int:
    """A table for each process of the app."""
    target = named(words, "describe")
    apps = harmless(launched(runtime.get("api", "apps", target)))
    uptimes = {each["id"]: each["uptime_s"] for app in apps for each in app["instances"]}
    commands = {each["id"]: app["command"] for app in apps for each in app["instances"]}
    for each in entries(apps):
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
            "command": " ".join(commands[each["pm_id"]]),
            "script args": " ".join(env["args"]) or "N/A",
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
        print(boxed([(name, str(value)) for name, value in facts.items()]))
        if actions := [str(each["action_name"]) for each in env["axm_actions"]]:
            print(f" Actions available \n{boxed([(name,) for name in actions])}")
            print(f" Trigger via: pm2 trigger {each['name']} <action_name>\n")
    return 0


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def env(runtime: Client, words: Sequence[str]) -> int:
    """Names and values, masked."""
    for app in harmless(runtime.get("api", "apps", named(words, "env"), "env")["apps"]):
        for name, value in app["env"].items():
            print(f"{name}: {value}")
    return 0


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
        (app["name"], each["index"]): (app["called"], each["id"], app["namespace"])
        for app in apps
        for each in app["instances"]
    }
    print(f"{len(replies)} process{'es have' if len(replies) > 1 else ' has'} received command {action}")
    for reply in harmless(replies):
        key = reply["app"], reply["instance"]
        name, number, namespace = ids.get(key, (*key, "default"))
        said = json.dumps(reply.get("error", reply.get("return")), ensure_ascii=False, separators=(",", ":"))
        print(f"[{name}:{number}:{namespace}]={said}")
    return int(any("error" in reply for reply in replies))
