"""The part of `describe` about rights, limits, memory and times, and with `--live` about each process."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from pidone.cli.operate import overview, table
from pidone.cli.operate.client import Client, CommandError
from pidone.logs.formats import widths
from pidone.logs.formats.text import unsaid
from pidone.signames import signal_name

_CAPABILITIES: Final = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
    "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
    "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
    "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
    "checkpoint_restore",
)  # fmt: skip
"""By their number: include/uapi/linux/capability.h."""
_WIDTH: Final = 12
_SHOWN_LIMITS: Final = ("nofile", "nproc", "core")
"""Shown even where the file says nothing about them."""
_SHOWN_FILES: Final = 10
_FEW_EVENTS: Final = 5
_HEAD: Final = (
    "pid", "user", "threads", "fds", "rss", "pss", "uss", "switches", "read", "written", "command",
)  # fmt: skip


def ask(runtime: Client, target: str, *, live: bool) -> dict[str, Any]:
    """Everything about a target; `live` adds what the kernel tells of each process. Raises CommandError."""
    if not live:
        shown: dict[str, Any] = runtime.get("api", "apps", target)
        return shown
    shown = runtime.get("api", "apps", target, pss="1")
    from pidone.cli.operate import live as processes

    if not processes.sees_processes_of(runtime):
        raise CommandError("--live: the processes are in another PID namespace; ask inside of the container")
    pids = [each["pid"] for app in shown["details"] for each in app["instances"] if each["pid"]]
    shown["live"] = {str(pid): tree for pid, tree in processes.trees(pids).items()}
    return shown


def of(shown: Mapping[str, Any], app: Mapping[str, Any]) -> dict[str, Any]:
    """The details of one app of `shown`, which came from `ask`."""
    wanted = (app["namespace"], app["name"])
    return next(each for each in shown["details"] if (each["namespace"], each["name"]) == wanted)


def render(shown: Mapping[str, Any], app: Mapping[str, Any], width: int | None = None) -> str:
    """What is to be said of one app of `shown`: how it is and why, then what it is.

    With a `width`, in lines that are not longer.
    """
    table_width = sys.maxsize if width is None else width
    before = [
        *_fact("name", app["name"]),
        *_state(app, of(shown, app)),
        "",
        *map(_event, _events(shown, app)),
        "",
    ]
    after = ["", *_definition(app, of(shown, app)), *_facts(shown, app)]
    instances = overview.fitted(table.HEAD, table.rows([app]), table_width)[0]
    return "\n".join((*_wrapped(before, width), instances, *_wrapped(after, width)))


def _wrapped(lines: Iterable[str], width: int | None) -> Iterator[str]:
    """Lines that are too long go on below what they tell."""
    for line in lines:
        yield from [line] if width is None else widths.wrap(line, width, " " * (_WIDTH + 1))


def summary(shown: Mapping[str, Any], app: Mapping[str, Any]) -> list[str]:
    """The lines that matter beside a table of instances; the last events where it is not well."""
    events = [] if app["ready"] else _events(shown, app)[-_FEW_EVENTS:]
    return [*_state(app, of(shown, app)), *map(_event, events), *_facts(shown, app)]


def _facts(shown: Mapping[str, Any], app: Mapping[str, Any]) -> list[str]:
    """Rights, limits, memory and times, and each process where it was looked into."""
    details = of(shown, app)
    lines = [
        *_rights(details),
        *_memory(details),
        *_times(details),
        *_fact("ready", details["probes"]["ready"] or ""),
        *_fact("health", details["probes"]["health"] or ""),
        *_fact("watch", ", ".join(details["watch"])),
        *_fact("hooks", ", ".join(details["hooks"])),
        *_fact("preload", details["preload"]),
        *_of_each("forked from", {each["index"]: _zygote(each["zygote"]) for each in details["instances"]}),
    ]
    for instance in details["instances"]:
        lines += _live(instance, shown.get("live", {}).get(str(instance["pid"]), ()))
    return lines


def _zygote(zygote: Mapping[str, Any] | None) -> str:
    """In words; empty for an instance without one."""
    if zygote is None:
        return ""
    if zygote["state"] != "ready":
        return f"nobody ({zygote['state']}{': ' * bool(zygote['reason'])}{zygote['reason'] or ''})"
    return f"pid {zygote['pid']}, imported in {table.duration(zygote['import_s'])}, {zygote['forks']} forks"


def _state(app: Mapping[str, Any], details: Mapping[str, Any]) -> list[str]:
    reload = app["reload"]
    exits = {each["index"]: exit_in_words(each["last_exit"]) for each in app["instances"]}
    probes = {each["index"]: _looks(each["probes"]) for each in details["instances"]}
    waits_for = "" if app["why"] else app["waits_for"]
    return [
        *_fact("state", app["state"] + ("" if app["ready"] else ", not ready")),
        *_fact("why", table.why(app) if app["why"] else ""),
        *_fact("to do", app["advice"]),
        *_fact("waits for", waits_for),
        *_of_each("last exit", exits),
        *_of_each("probes", probes),
        *_of_each("status", {each["index"]: each["status_text"] for each in app["instances"]}),
        *_fact("last reload", "" if reload is None else f"{reload['state']} {reload['message']}".strip()),
    ]


def _looks(probes: Mapping[str, Mapping[str, Any] | None]) -> str:
    """What the probes saw last."""
    return ", ".join(f"{name} {_look(look)}" for name, look in probes.items() if look is not None)


def _look(look: Mapping[str, Any]) -> str:
    return f"failed {look['failures']} times: {look['problem']}" if look["problem"] else "succeeded"


def exit_in_words(last: Mapping[str, Any] | None) -> str:
    """`code 3`, `SIGKILL`."""
    if not last:
        return ""
    return f"code {last['code']}" if last["signal"] is None else signal_name(last["signal"])


def _events(shown: Mapping[str, Any], app: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What happened to it lately, the newest last."""
    whose = (app["name"], app["namespace"])
    return [each for each in shown["events"] if (each.get("app"), each.get("namespace", "default")) == whose]


def _event(event: Mapping[str, Any]) -> str:
    fields = unsaid(event, hidden=("app", "namespace"))
    return " ".join((f"{event['timestamp']}  {event['event']:<22} {event['message']}", *fields))


def _definition(app: Mapping[str, Any], details: Mapping[str, Any]) -> list[str]:
    depends_on = (f"{each['app']} ({each['condition']})" for each in app["depends_on"])
    return [
        *_fact("namespace", app["namespace"]),
        *_fact("command", " ".join(details["command"] or ())),
        *_fact("cwd", app["cwd"]),
        *_fact("mode", app["exec_mode"]),
        *_fact("listen", ", ".join(app["listen"])),
        *_fact("depends on", ", ".join(depends_on)),
    ]


def _fact(name: str, value: str) -> list[str]:
    return [f"{name:<{_WIDTH}} {value}"] if value else []


def _of_each(name: str, values: Mapping[int, str]) -> list[str]:
    """One line if all instances agree, else one for each value with the indexes it is true of."""
    indexes: dict[str, list[int]] = {}
    for index, value in values.items():
        if value:
            indexes.setdefault(value, []).append(index)
    if len(indexes) == 1 and len(next(iter(indexes.values()))) == len(values):
        return _fact(name, next(iter(indexes)))
    return [
        line
        for value, where in indexes.items()
        for line in _fact(name, f"{', '.join(map(str, where))}: {value}")
    ]


def _rights(details: Mapping[str, Any]) -> list[str]:
    actual = {each["index"]: each["rights"] for each in details["instances"] if each["rights"]}
    configured = details["rights"]
    if not actual:
        return _wanted_rights(configured)
    shown = {*_SHOWN_LIMITS, *configured["limits"]}
    spread = " (spread)" if configured["cpu_affinity"] == "spread" else ""
    return [
        *_of_each("rights", {index: identity(rights) for index, rights in actual.items()}),
        *_of_each("capabilities", {index: capabilities(r["capabilities"]) for index, r in actual.items()}),
        *_of_each("limits", {index: ", ".join(_limits(r, shown)) for index, r in actual.items()}),
        *_of_each("priority", {index: _priority(rights) for index, rights in actual.items()}),
        *_of_each("cpus", {index: f"{r['cpus']}{spread}" for index, r in actual.items() if r["cpus"]}),
    ]


def _wanted_rights(configured: Mapping[str, Any]) -> list[str]:
    """Of an app that does not run: what the file says."""
    cpus = configured["cpu_affinity"]
    return [
        *_fact("rights", identity({**configured, "seccomp": None})),
        *_fact("limits", ", ".join(_limits(configured, configured["limits"]))),
        *_fact("priority", _priority(configured)),
        *_fact("cpus", ",".join(map(str, cpus)) if isinstance(cpus, list) else cpus or ""),
    ]


def identity(rights: Mapping[str, Any]) -> str:
    """Who a process is."""
    parts = [f"{name} {rights[name]}" for name in ("uid", "gid") if rights[name] is not None]
    if rights["groups"]:
        parts.append("groups " + " ".join(map(str, rights["groups"])))
    if rights["umask"] is not None:
        parts.append(f"umask {rights['umask']:03o}")
    parts += ["no_new_privs"] if rights["no_new_privs"] else []
    parts += ["seccomp filter"] if rights["seccomp"] else []
    return ", ".join(parts)


def capabilities(mask: str | None) -> str:
    """The names of the bits of a hexadecimal set, the shorter way round."""
    if mask is None:
        return ""
    bits = int(mask, 16)
    has = [_capability(number) for number in range(64) if bits >> number & 1]
    lacks = [name for number, name in enumerate(_CAPABILITIES) if not bits >> number & 1]
    if not has:
        return "none"
    if not lacks:
        return "all"
    return f"all but {', '.join(lacks)}" if len(lacks) < len(has) else ", ".join(has)


def _capability(number: int) -> str:
    return _CAPABILITIES[number] if number < len(_CAPABILITIES) else f"{number}"


def _limits(rights: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    found = []
    for name in sorted(names):
        if name in rights["limits"]:
            soft, hard = (("unlimited" if each == -1 else str(each)) for each in rights["limits"][name])
            found.append(f"{name} {soft}" if soft == hard else f"{name} {soft}:{hard}")
    return found


def _priority(rights: Mapping[str, Any]) -> str:
    named = {name: rights[name] for name in ("nice", "oom_score_adj") if rights[name] is not None}
    return ", ".join(f"{name} {value}" for name, value in named.items())


def _memory(details: Mapping[str, Any]) -> list[str]:
    memory = details["memory"]
    limits = [
        f"{what} {table.size(memory[key])}"
        for what, key in (("limit", "limit_bytes"), ("soft limit", "soft_limit_bytes"))
        if memory[key] is not None
    ]
    if limits:
        whose = "the whole tree" if memory["scope"] == "tree" else "the main process"
        limits.append(f"of {whose}, looked at every {memory['interval_s']:g} s")
    used = {each["index"]: _used(each["memory"]) for each in details["instances"]}
    return [*_fact("memory", ", ".join(limits)), *_of_each("uses", used)]


def _used(memory: Mapping[str, Any]) -> str:
    if memory["tree_rss_bytes"] is None:
        return ""
    text = f"{table.size(memory['tree_rss_bytes'])} (main process {table.size(memory['main_rss_bytes'])})"
    pss = memory["pss_bytes"]
    return text if pss is None else f"{text}, PSS {table.size(pss)}"


def _times(details: Mapping[str, Any]) -> list[str]:
    times = details["times"]
    zone = f" {times['timezone']}" if times["timezone"] else ""
    lines = []
    for key, name in (("schedule", "schedule"), ("cron_restart", "cron restart")):
        if times[key]:
            overlap = f", overlap {times['overlap']}" if key == "schedule" else ""
            lines += _fact(name, f"{times[key]}{zone}{overlap}")
    if times["next_run"]:
        lines += _fact("next run", datetime.fromisoformat(times["next_run"]).isoformat(" ", "seconds"))
    if times["max_age_s"] is not None:
        left = ", ".join(
            f"{each['index']} has {table.duration(each['age_left_s'])} left"
            for each in details["instances"]
            if each["age_left_s"] is not None
        )
        lines += _fact("max age", table.duration(times["max_age_s"]) + (f": {left}" if left else ""))
    return lines


def _live(instance: Mapping[str, Any], tree: Iterable[Mapping[str, Any]]) -> list[str]:
    """Each process of an instance, as measured by `live`."""
    processes = list(tree)
    if not processes:
        return []
    rows = [
        (
            str(each["pid"]),
            each["user"] or "-",
            _number(each["threads"]),
            _number(each["fds"]),
            *(table.size(each[key]) for key in ("rss_bytes", "pss_bytes", "uss_bytes")),
            "-" if each["switches"] is None else "+".join(map(str, each["switches"])),
            *(table.size(each[key]) for key in ("read_bytes", "written_bytes")),
            " ".join(each["command"])[:60],
        )
        for each in processes
    ]
    lines = ["", f"instance {instance['index']}, live", table.render(_HEAD, rows, right=range(2, 10))]
    for each in processes:
        pid = each["pid"]
        lines += _fact("listens", _named(pid, each["listening"]))
        states = (each["connections"] or {}).items()
        lines += _fact("connections", _named(pid, [f"{count} {state}" for state, count in states]))
        files = each["files"] or []
        more = [f"and {len(files) - _SHOWN_FILES} more"] if len(files) > _SHOWN_FILES else []
        lines += _fact("files", _named(pid, [*files[:_SHOWN_FILES], *more]))
    return lines


def _named(pid: int, values: Iterable[str] | None) -> str:
    text = ", ".join(values or ())
    return f"{pid}: {text}" if text else ""


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)
