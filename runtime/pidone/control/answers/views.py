"""What is shown of apps and instances: plain JSON values, never a variable's value."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pidone.ecosystem.spec import AppSpec, Listen
from pidone.host.usage import Usage
from pidone.masked_args import mask_args
from pidone.supervise.app import App
from pidone.supervise.instances.instance import Instance
from pidone.supervise.instances.states import SEEN, State
from pidone.supervise.plan import can_overlap
from pidone.supervise.wanted import Run, Wanted

WAITING: Final = "waiting"
"""The word for what rests until something outside of it happens: a service, another app, its time."""
WORDS: Final = (*map(str, SEEN[:4]), WAITING, *map(str, SEEN[4:]))
_SHOWN: Final = {
    State.PREPARING: State.STARTING,
    State.LEAVING: State.STOPPING,
    State.DRAINING: State.STOPPING,
}
"""Steps on the way, which are nobody else's business: one may come or go in any release."""


def instance_view(
    app: App, instance: Instance, pm_id: Callable[[AppSpec, int], int], usage: Mapping[int, Usage]
) -> dict[str, Any]:
    """One instance."""
    running = instance.state.has_process
    used = usage.get(instance.pid) if instance.pid is not None else None
    last = instance.last_exit
    return {
        "index": instance.index,
        "id": pm_id(instance.app, instance.index),
        "state": shown(app, instance),
        "ready": instance.state in (State.ONLINE, State.COMPLETED),
        "pid": instance.pid,
        "incarnation": instance.incarnation,
        "restarts": instance.restarts,
        "unstable": instance.policy.unstable,
        "uptime_s": round(instance.life.uptime, 3) if running else None,
        "cpu_percent": None if used is None else round(used.cpus * 100, 1),
        "memory_bytes": None if used is None else used.tree.rss,
        "processes": None if used is None else len(used.tree.processes),
        "threads": None if used is None else used.tree.threads,
        "status_text": instance.life.status_text,
        "actions": list(instance.life.actions) if running else [],
        "last_exit": None if last is None else {"code": last.code, "signal": last.signal},
        "flapping": instance.policy.flapping,
        "gave_up": instance.fate is not None and instance.state is State.ERRORED,
        "reason": instance.reason or None,
        "retry_in_s": round(instance.time_left, 3) if instance.state is State.BACKOFF else None,
    }


def app_view(
    app: App, pm_id: Callable[[AppSpec, int], int], usage: Mapping[int, Usage], waits_for: str
) -> dict[str, Any]:
    """One app with its instances; `waits_for` is what stands between it and what is wanted."""
    reload = app.wanted.reload
    instances = [instance_view(app, instance, pm_id, usage) for instance in app.instances.values()]
    spec = app.spec
    return {
        "name": app.name,
        "called": spec.called,
        "namespace": spec.namespace,
        "state": app_state(app),
        "ready": app.is_ready,
        "wanted": app.wanted.is_on,
        "wish": wish_view(app.wanted),
        "waits_for": waits_for,
        "settled": app.is_settled,
        "refused": app.refused or None,
        "exec_mode": str(spec.exec_mode),
        "script": spec.script or spec.argv[0],
        "interpreter": spec.interpreter,
        "cwd": spec.cwd,
        "autorestart": spec.autorestart,
        "essential": spec.essential,
        "watch": bool(spec.watch),
        "depends_on": [{"app": each.app, "condition": str(each.condition)} for each in spec.depends_on],
        "listen": [_spelt(each) for each in spec.listen],
        "restarts": sum(instance.restarts for instance in app.instances.values()),
        "max_restarts": spec.max_restarts,
        "scale": len(app.instances),
        "leaving": len(app.actual.leaving),
        "overlaps": can_overlap(spec),
        "reload": None
        if reload is None
        else {
            "state": str(reload.state),
            "message": reload.message,
            "down_s": round(reload.down_s, 3),
            "cut": reload.cut,
        },
        "instances": instances,
    }


def launch_view(spec: AppSpec, ids: Sequence[int]) -> dict[str, Any]:
    """What PM2's list tells of a command line and of files; words that look like secrets are masked.

    `ids` are PM2's of its instances.
    """
    words = mask_args(spec.argv)
    first = len(words) - len(spec.args)
    args = words[first:] if spec.argv[first:] == spec.args else mask_args(spec.args)
    return {
        "args": args,
        "interpreter_args": mask_args(spec.interpreter_args),
        "files": [_files(spec, index, pm_id) for index, pm_id in enumerate(ids)],
    }


def _files(spec: AppSpec, index: int, pm_id: int) -> dict[str, str | None]:
    """Where the lines of one instance go besides the output; None is nowhere."""
    named = {"out": spec.out_file, "error": spec.error_file, "log": spec.log_file}
    if spec.disable_logs or not any(named.values()):
        return dict.fromkeys(named)
    from pidone.logs.files.logfiles import path_of  # noqa: PLC0415 (few apps have any)

    paths = {stream: path_of(value, spec, index, pm_id) for stream, value in named.items()}
    return {stream: None if path is None else str(path) for stream, path in paths.items()}


def _spelt(listen: Listen) -> str:
    if listen.kind == "fd":
        return f"fd:{listen.host}"
    return listen.host if listen.kind == "unix" else f"{listen.host}:{listen.port}"


def wish_view(wanted: Wanted) -> dict[str, Any]:
    """What is wanted of an app, which may not be so yet."""
    replacing = [] if wanted.rollout is None else [wanted.rollout.wish.reason]
    return {
        "run": wanted.run.name.lower(),
        "instances": wanted.count,
        "generation": wanted.generation,
        "stopped": [index for index in range(wanted.count) if wanted.rests(index)],
        "replace": [*replacing, *(wish.reason for wish in wanted.queue)],
    }


def app_state(app: App) -> str:
    """The state of the instance that is worst off."""
    states = {shown(app, instance) for instance in app.instances.values()}
    return next((word for word in WORDS if word in states), str(State.STOPPED))


def shown(app: App, instance: Instance) -> str:
    """The documented word for a state, or for what it is a part of."""
    if instance.state is State.STOPPED and _waits(app, instance.index):
        return WAITING
    return str(_SHOWN.get(instance.state, instance.state))


def _waits(app: App, index: int) -> bool:
    wanted = app.wanted
    if wanted.run is Run.WAITING:
        return True
    return bool(wanted.is_on and app.spec.schedule and index not in wanted.stopped_slots)
