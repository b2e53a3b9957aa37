"""What only `describe` shows of an app: rights, limits, memory and times, as configured and as they are."""

import asyncio
from collections.abc import Iterable
from typing import Any

from pidone.ecosystem.spec import AppSpec, Bytes, Probe, Readiness
from pidone.host.processes import TreeUsage, read_pss
from pidone.host.rights import Rights, read_rights
from pidone.masked_args import mask_args
from pidone.masking import mask_text
from pidone.supervise.app import App
from pidone.supervise.features import Features
from pidone.supervise.instances.instance import Instance


class Details:
    """Makes them; everything is read when it is asked for."""

    def __init__(self, features: Features) -> None:
        """`features` knows limits and times."""
        self._features = features

    def of(self, app: App, instances: Iterable[Instance]) -> dict[str, Any]:
        """One app with some of its instances."""
        spec, limits = app.spec, self._features.limits(app)
        next_run = self._features.next_run(app)
        return {
            "name": spec.name,
            "namespace": spec.namespace,
            "command": None,
            "launch": None,
            "rights": _configured(spec),
            "memory": {
                "limit_bytes": limits.hard,
                "soft_limit_bytes": limits.soft,
                "soft_action": spec.memory_soft_action,
                "scope": str(spec.memory_scope),
                "interval_s": spec.memory_interval,
                "samples": spec.memory_samples,
            },
            "times": {
                "schedule": spec.schedule,
                "cron_restart": spec.cron_restart,
                "timezone": spec.timezone,
                "overlap": str(spec.overlap) if spec.schedule else None,
                "next_run": None if next_run is None else next_run.isoformat(),
                "max_age_s": spec.max_age,
            },
            "probes": {
                "ready": in_words(spec.ready) or None,
                "health": None if spec.health is None else _probe(spec.health),
            },
            "watch": list(spec.watch),
            "hooks": sorted(spec.hooks),
            "preload": spec.preload,
            "instances": [self._instance(each) for each in instances],
        }

    async def add_pss(self, details: Iterable[dict[str, Any]]) -> None:
        """Measure what each tree really has to itself.

        The kernel walks page tables for that, milliseconds per process, so others get their turn in between.
        """
        used = self._features.usage().usage()
        for instance in (each for app in details for each in app["instances"]):
            if instance["pid"] in used:
                instance["memory"]["pss_bytes"] = await _pss(used[instance["pid"]].tree)

    def _instance(self, instance: Instance) -> dict[str, Any]:
        pid = instance.pid if instance.state.has_process else None
        used = None if pid is None else self._features.usage().usage().get(pid)
        rights = None if pid is None else read_rights(pid)
        left = self._features.time_left(instance)
        zygote = self._features.preloaded(instance)
        return {
            "index": instance.index,
            "pid": pid,
            "reason": instance.reason or None,
            "probes": {name: _look(instance, name) for name in ("ready", "health")},
            "zygote": None if zygote is None else zygote.view(),
            "rights": None if rights is None else _actual(rights),
            "memory": {
                "main_rss_bytes": None if used is None else used.tree.root.rss,
                "tree_rss_bytes": None if used is None else used.tree.rss,
                "pss_bytes": None,
            },
            "age_left_s": None if left is None else round(left, 3),
        }


async def _pss(tree: TreeUsage) -> Bytes:
    total = 0
    for process in tree.processes:
        pss = read_pss(process.pid)
        total += process.rss if pss is None else pss
        await asyncio.sleep(0)
    return total


def in_words(ready: Readiness) -> str:
    """How it tells that it can work, in the words of `ready`; empty if it only has to stay alive."""
    channels = {
        "notify": ready.notify,
        "ipc": ready.ipc,
        "listen": ready.listen,
        f"log:{ready.log}": ready.log,
        f"fd:{ready.fd}": ready.fd,
    }
    words = [name for name, is_used in channels.items() if is_used]
    return " or ".join([*words, *([_probe(ready.probe)] if ready.probe else [])])


def probe_target(probe: Probe) -> str:
    """What is asked."""
    if probe.http is not None:
        return mask_text(probe.http) if "://" in probe.http else f"http {mask_text(probe.http)}"
    return f"tcp {probe.tcp}" if probe.tcp is not None else " ".join(mask_args(probe.exec))


def _probe(probe: Probe) -> str:
    """What is asked, how often, and how many failures in a row are too many."""
    every = "" if probe.interval is None else f" every {probe.interval:g} s"
    kind = "http" if probe.http is not None else "tcp" if probe.tcp is not None else "exec"
    asked = f"{kind}:{probe_target(probe).removeprefix(f'{kind} ')}{every}"
    return f"{asked}, {probe.timeout:g} s for an answer, {probe.failures} failures"


def _look(instance: Instance, name: str) -> dict[str, Any] | None:
    """What a probe saw last; None if it has not looked in this life."""
    look = instance.life.looks.get(name)
    if look is None:
        return None
    return {"problem": look.problem or None, "failures": look.failures}


def _configured(spec: AppSpec) -> dict[str, Any]:
    """As the file has it; null is "as the runtime has it"."""
    cpus = spec.cpu_affinity
    return {
        "uid": spec.uid,
        "gid": spec.gid,
        "groups": None if spec.groups is None else list(spec.groups),
        "umask": spec.umask,
        "no_new_privs": spec.no_new_privs,
        "nice": spec.nice,
        "oom_score_adj": spec.oom_score_adj,
        "cpu_affinity": list(cpus) if isinstance(cpus, tuple) else cpus,
        "limits": {name: list(pair) for name, pair in spec.limits.items()},
    }


def _actual(rights: Rights) -> dict[str, Any]:
    shown = rights.as_dict()
    shown["groups"] = list(rights.groups)
    shown["limits"] = {name: list(pair) for name, pair in rights.limits.items()}
    shown["capabilities"] = None if rights.capabilities is None else f"{rights.capabilities:016x}"
    return shown
