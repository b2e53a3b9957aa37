"""What can only be wrong between two: keys of an app, apps, or an app and the whole."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Final

from pidone.ecosystem.problems import Scope, did_you_mean, shown
from pidone.ecosystem.spec import AppSpec, Condition, Listen, MemoryShare, RuntimeSpec, Seconds
from pidone.ecosystem.stopping import stop_time
from pidone.ecosystem.values.quantities import write_duration, write_size

_SHORTEST_INTERVAL: Final = 0.05
_ANY: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  # compared, not bound


MARGIN: Final[Seconds] = 1.0
"""What a stop may take beyond its time: killed processes vanish, and the last lines leave.

With it the default stop of nine seconds just fits the ten of Docker.
"""


def check(
    apps: Sequence[AppSpec], places: Sequence[Scope], left_out: Collection[str], *, is_pm2s: bool
) -> list[AppSpec]:
    """Report a name used twice, unknown and circular dependencies, a port claimed twice.

    Args:
        apps: Those that run.
        places: Where each of them stands in the file.
        left_out: Names of those that do not.
        is_pm2s: PM2 runs two apps of one name, and knows no dependencies: then the apps are changed so that
            they can run.
    """
    apps = _with_own_names(apps, places, is_pm2s=is_pm2s)
    scopes = [
        place._replace(label=f"app {shown(app.name)}: ") for app, place in zip(apps, places, strict=True)
    ]
    apps = [
        _with_known_dependencies(app, scope, apps, left_out, is_pm2s=is_pm2s)
        for app, scope in zip(apps, scopes, strict=True)
    ]
    _check_dependencies(apps, scopes)
    _check_ports(apps, scopes)
    return apps


def check_time(runtime: RuntimeSpec, apps: Sequence[AppSpec], top: Scope) -> None:
    """Warn of a stop that somebody cuts short: the runtime its apps, or the container engine the runtime."""
    delay, limit, grace = runtime.shutdown_delay, runtime.shutdown_timeout, runtime.termination_grace
    scope = top.at("runtime", "runtime: ")
    if limit is not None and delay >= limit:
        scope.warn(
            f"shutdown_timeout = {write_duration(limit)} is over before the apps are told to stop"
            f" (shutdown_delay = {write_duration(delay)} is part of it)",
            "shutdown_timeout",
        )
    longest = stop_time(runtime, apps, delay)
    if grace is not None and longest + MARGIN > grace:
        scope.warn(
            f"a stop may take {write_duration(longest)} and {write_duration(MARGIN)} to clear up,"
            f" but the container is killed after {write_duration(grace)} (termination_grace)",
            "termination_grace",
        )


def _with_own_names(apps: Sequence[AppSpec], places: Sequence[Scope], *, is_pm2s: bool) -> Sequence[AppSpec]:
    first: dict[tuple[str, str], int] = {}
    named: list[AppSpec] = []
    for index, app in enumerate(apps):
        if app.key() in first:
            of = f' in namespace "{app.namespace}"' if app.namespace != "default" else ""
            what = f"the name is used twice{of} (app #{first[app.key()] + 1} has it too)"
            scope = places[index]._replace(label=f"app {shown(app.name)}: ")
            if not is_pm2s:
                scope.error(what, "name")
            else:
                app = app.but(name=_free_name(app, first), shared_name=app.name)  # noqa: PLW2901
                scope.warn(f"{what}; this one alone is {app.name} here", "name")
        first.setdefault(app.key(), index)
        named.append(app)
    return named


def _free_name(app: AppSpec, taken: Collection[tuple[str, str]]) -> str:
    return next(name for number in count(2) if (app.namespace, name := f"{app.name}-{number}") not in taken)


def _with_known_dependencies(
    app: AppSpec, scope: Scope, apps: Sequence[AppSpec], left_out: Collection[str], *, is_pm2s: bool
) -> AppSpec:
    """The app without dependencies on others that do not run."""
    if not app.depends_on:
        return app
    names = {other.name for other in apps}
    if gone := [each.app for each in app.depends_on if each.app in left_out]:
        scope.warn(f"it depends on {', '.join(gone)}, which --only leaves out")
    for each in app.depends_on:
        if each.app not in names and each.app not in left_out:
            hint = did_you_mean(each.app, names)
            say = scope.warn if is_pm2s else scope.error
            say(f"depends_on = {shown(each.app)}: there is no such app{hint}", "depends_on")
    return app.but(depends_on=tuple(each for each in app.depends_on if each.app in names))


def _check_dependencies(apps: Sequence[AppSpec], scopes: Sequence[Scope]) -> None:
    names = {app.name: app for app in apps}
    for app, scope in zip(apps, scopes, strict=True):
        for dependency in app.depends_on:
            if dependency.condition is Condition.COMPLETED and names[dependency.app].autorestart:
                scope.warn(
                    f'waits until "{dependency.app}" has completed, but that restarts for ever (autorestart)',
                    "depends_on",
                )
    for circle in _circles({app.name: [each.app for each in app.depends_on] for app in apps}):
        index = next(index for index, app in enumerate(apps) if app.name == circle[0])
        scopes[index].error("depends_on goes in a circle: " + " -> ".join(circle), "depends_on")


def _circles(graph: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Each circle, from its first app back to it, found depth first (by a loop: files can be long)."""
    done: set[str] = set()
    for start in graph:
        trail: list[str] = []
        stack = [(start, iter(graph[start]))] if start not in done else []
        trail += [start] if stack else []
        while stack:
            name, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                done.add(name)
                stack.pop()
                trail.pop()
            elif following in trail:
                yield [*trail[trail.index(following) :], following]
            elif following not in done:
                stack.append((following, iter(graph[following])))
                trail.append(following)


def _check_ports(apps: Sequence[AppSpec], scopes: Sequence[Scope]) -> None:
    claimed: dict[tuple[str, object], list[tuple[AppSpec, Listen]]] = {}
    for app, scope in zip(apps, scopes, strict=True):
        own: set[str] = set()
        for listen in app.listen:
            others = claimed.setdefault((listen.kind, listen.port or listen.host), [])
            for other, theirs in others:
                if _collide(listen, theirs):
                    whose = "is there twice; remove one"
                    if other is not app:
                        whose = f'claimed by app "{other.name}" too'
                    scope.error(f"listen = {shown(spelt(listen))}: {whose}", "listen")
                    break
            else:
                if listen.name in own:
                    scope.error(
                        f"listen: the name {shown(listen.name)} is used twice; give one a name of its own: "
                        f'{{port = ..., name = "..."}}',
                        "listen",
                    )
            own.add(listen.name)
            others.append((app, listen))


def _collide(one: Listen, other: Listen) -> bool:
    """Whether two sockets of one kind and port (or path) cannot both be opened."""
    if one.kind in ("unix", "fd"):
        return True
    same_host = one.host == other.host or bool(
        {one.host, other.host} & _ANY and _same_family(one.host, other.host)
    )
    return one.port != 0 and same_host


def _same_family(one: str, other: str) -> bool:
    """Whether two addresses can meet; the empty one is of both families."""
    return "" in (one, other) or (":" in one) == (":" in other)


def spelt(listen: Listen) -> str:
    """A socket as the file would write it."""
    if listen.kind in ("unix", "fd"):
        return f"{listen.kind}:{listen.host}"
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    text = f"{host}:{listen.port}" if host else str(listen.port)
    return text + ("/udp" if listen.kind == "udp" else "")


def check_age(values: Mapping[str, Any], result: Mapping[str, Any], scope: Scope) -> None:
    """An app that is replaced before it is ready never is."""
    ready_within = result.get("listen_timeout", AppSpec.listen_timeout)
    if "max_age" in values and values["max_age"] <= ready_within:
        scope.error(
            f"max_age must be longer than listen_timeout ({ready_within:g} s): "
            "instances would be replaced as soon as they are ready",
            "max_age",
        )


def check_memory(values: Mapping[str, Any], scope: Scope) -> None:
    """The soft limit comes before the hard one, and measuring costs something."""
    soft, hard = values.get("memory_soft_limit"), values.get("max_memory_restart")
    if isinstance(soft, MemoryShare) and isinstance(hard, MemoryShare):
        above = soft.per_instance == hard.per_instance and soft.fraction > hard.fraction
    else:
        above = isinstance(soft, int) and isinstance(hard, int) and soft > hard
    if above:
        scope.error(
            f"memory_soft_limit ({write_size(soft)}) is above max_memory_restart ({write_size(hard)})",
            "memory_soft_limit",
        )
    if values.get("memory_interval", _SHORTEST_INTERVAL) < _SHORTEST_INTERVAL:
        scope.error(
            f"memory_interval must be {_SHORTEST_INTERVAL * 1000:g}ms or more: "
            "pidone would be busy with nothing but measuring",
            "memory_interval",
        )
