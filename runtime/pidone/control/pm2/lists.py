"""PM2's list in PM2's shape, for scripts and clients that parse it; without variables."""

import functools
import json
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pidone.ecosystem.programs.remote import mount_of
from pidone.regular import read_regular

_STATUS: Final = {
    "starting": "launching",
    "backoff": "waiting restart",
    "completed": "stopped",
    "waiting": "stopped",
}
_NOWHERE: Final = "/dev/null"
"""PM2's word for a log that is kept in no file."""
_MOST_BYTES: Final = 1024 * 1024
_IDENTIFIER: Final = re.compile(r"[A-Za-z_$][\w$]*")


def entries(apps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry per instance, ordered by id."""
    now_ms = int(time.time() * 1000)
    found = [entry(app, instance, now_ms) for app in apps for instance in app["instances"]]
    return sorted(found, key=lambda each: int(each["pm_id"]))


def launched(described: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The apps of an answer about a target, each with what that tells of its command line and files."""
    pairs = zip(described["apps"], described["details"], strict=True)
    return [{**app, "launch": each["launch"], "command": each["command"]} for app, each in pairs]


def status(state: str) -> str:
    """PM2's word for a state."""
    return _STATUS.get(state, state)


def entry(app: Mapping[str, Any], instance: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """One process as PM2's jlist shows it."""
    started = now_ms - int((instance["uptime_s"] or 0) * 1000)
    last = instance["last_exit"] or {}
    launch = app.get("launch") or {"args": [], "interpreter_args": [], "files": []}
    files: dict[str, str | None] = dict(enumerate(launch["files"])).get(instance["index"], {})
    log = {"pm_log_path": files["log"]} if files.get("log") else {}
    return {
        "pid": instance["pid"] or 0,
        "name": app["called"],
        "pm2_env": {
            "name": app["called"],
            "namespace": app["namespace"],
            "pm_id": instance["id"],
            "status": status(instance["state"]),
            "exec_mode": f"{app['exec_mode']}_mode",
            "instances": app["scale"],
            "NODE_APP_INSTANCE": instance["index"],
            "pm_exec_path": _path(app),
            "pm_cwd": app["cwd"],
            "exec_interpreter": app.get("interpreter", "none"),
            "node_args": launch["interpreter_args"],
            "args": launch["args"],
            "autorestart": app["autorestart"],
            "watch": app["watch"],
            "pm_uptime": started,
            "created_at": started,
            "restart_time": instance["restarts"],
            "unstable_restarts": instance["unstable"],
            "exit_code": last.get("code") or 0,
            "pm_out_log_path": files.get("out") or _NOWHERE,
            "pm_err_log_path": files.get("error") or _NOWHERE,
            **log,
            "pm_pid_path": "",
            "unique_id": f"{app['namespace']}/{app['name']}/{instance['index']}",
            "version": version_of(app),
            "node_version": "N/A",
            "versioning": None,
            "env": {},
            "axm_actions": [{"action_name": name} for name in instance["actions"]],
            "axm_monitor": {},
            "axm_options": {},
            "axm_dynamic": {},
        },
        "pm_id": instance["id"],
        "monit": {
            "memory": instance["memory_bytes"] or 0,
            "cpu": round(instance["cpu_percent"] or 0),
        },
    }


def _path(app: Mapping[str, Any]) -> str:
    """Absolute, as PM2 has it: in the app's folder, else on PATH."""
    script: str = app["script"]
    path = os.path.normpath(os.path.join(app["cwd"], script))
    return path if "/" in script or mount_of(path) or os.path.exists(path) else shutil.which(script) or script


def version_of(app: Mapping[str, Any]) -> str:
    """That of the package.json nearest above its script."""
    return _version(_path(app))


@functools.cache
def _version(path: str) -> str:
    if mount_of(path):  # process 1 asks, and would wait for it
        return "N/A"
    folder = os.path.dirname(path)
    while folder.startswith("/"):
        try:
            version = json.loads(read_regular(f"{folder}/package.json", _MOST_BYTES)).get("version")
        except (OSError, ValueError, AttributeError, RecursionError):
            version = None
        if isinstance(version, str):
            return version
        folder = os.path.dirname(folder) if folder != "/" else ""
    return "N/A"


def inspect(value: object, indent: str = "") -> str:
    """A value as Node's util.inspect writes it, near enough for `grep "status: 'online'"`."""
    inner = indent + "  "
    if isinstance(value, Mapping):
        if not value:
            return "{}"
        pairs = (f"{inner}{_key(str(key))}: {inspect(each, inner)}" for key, each in value.items())
        return "{\n" + ",\n".join(pairs) + "\n" + indent + "}"
    if isinstance(value, list):
        if not value:
            return "[]"
        return "[\n" + ",\n".join(inner + inspect(each, inner) for each in value) + "\n" + indent + "]"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"
    return json.dumps(value)


def _key(name: str) -> str:
    return name if _IDENTIFIER.fullmatch(name) else f"'{name}'"
