"""In which order apps stop, and how long that may take: pure functions of their specs.

The supervisor, `check`, `termination_grace` and the numbers of the Kubernetes manifests all ask here. They
never raise: after a reload that failed, apps of two generations of a file run beside each other, so that
`depends_on` may name an app that is gone, or go in a circle that neither file has. Who is not ordered by
anything is stopped at once; a circle is cut where it closes.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, TypeAlias

from pidone.ecosystem.spec import AppSpec, Condition, ExecMode, Hook, RuntimeSpec, Seconds

AppKey: TypeAlias = tuple[str, str]
"""Namespace and name."""

MARGIN: Final[Seconds] = 1.0
"""Beyond what the apps may take: somebody has to notice, and to tell the next one."""
HOOK_KILL_AFTER: Final[Seconds] = 2.0
"""From the SIGTERM of a hook that took too long to its SIGKILL."""
_DRAINED_BY: Final = 0.75
"""Share of `kill_timeout` that a drain may take where `drain_timeout` is not set: the rest is for the stop,
so that both together keep to `kill_timeout`, and a container of one app to the ten seconds of Docker."""


def find_dependency(app: AppSpec, name: str, apps: Iterable[AppSpec]) -> AppSpec | None:
    """The app that a name in `depends_on` means: of its namespace if there is one, else by name alone."""
    found = None
    for other in apps:
        if other.name == name:
            if other.namespace == app.namespace:
                return other
            found = found or other
    return found


def dependencies(apps: Iterable[AppSpec], *, at_work: bool = False) -> Mapping[AppKey, AbstractSet[AppKey]]:
    """Whom each app depends on, without names of apps that are not there, and without circles.

    `at_work` leaves out those that had to be completed: they have ended when their dependents run.
    """
    by_name: dict[str, list[AppSpec]] = {}
    for app in apps:
        by_name.setdefault(app.name, []).append(app)
    edges: dict[AppKey, list[AppKey]] = {}
    for named in by_name.values():
        for app in named:
            needed = (d for d in app.depends_on if not (at_work and d.condition is Condition.COMPLETED))
            targets = (find_dependency(app, d.app, by_name.get(d.app, ())) for d in needed)
            edges[app.key()] = [other.key() for other in targets if other is not None]
    return _without_circles(edges)


def _without_circles(edges: Mapping[AppKey, Sequence[AppKey]]) -> dict[AppKey, set[AppKey]]:
    """Depth first, by a loop: files can be long. An edge back to where we come from is left out."""
    kept: dict[AppKey, set[AppKey]] = {key: set() for key in edges}
    done: set[AppKey] = set()
    for start in edges:
        if start in done:
            continue
        trail, on_trail = [(start, iter(edges[start]))], {start}
        while trail:
            key, rest = trail[-1]
            following = next(rest, None)
            if following is None:
                trail.pop()
                on_trail.discard(key)
                done.add(key)
            elif following not in on_trail:
                kept[key].add(following)
                if following not in done:
                    trail.append((following, iter(edges[following])))
                    on_trail.add(following)
    return kept


def shares_a_port(app: AppSpec) -> bool:
    """Whether several of its processes serve on one socket."""
    return app.exec_mode is ExecMode.CLUSTER or bool(app.listen) or app.share not in (None, "none")


def drain_time(app: AppSpec) -> Seconds:
    """Longest drain of one instance: how long it may finish what it has before it is told to stop."""
    return app.kill_timeout * _DRAINED_BY if app.drain_timeout is None else app.drain_timeout


def time_to_stop(app: AppSpec, drained_for: Seconds) -> Seconds:
    """How long an instance may take from its stop signal on, when its drain took so long."""
    if app.drain_timeout is not None:
        return app.kill_timeout
    return max(app.kill_timeout - drained_for, app.kill_timeout * (1 - _DRAINED_BY))


def app_stop_time(app: AppSpec) -> Seconds:
    """Longest time from the wish to stop an app until it has been killed: hooks, drain, its own stop."""
    return _hook_time(app.hooks) + (app.drain_timeout or 0.0) + app.kill_timeout


def stop_time(runtime: RuntimeSpec, apps: Iterable[AppSpec], delay: Seconds) -> Seconds:
    """How long a stop of the whole may take before what is left is killed.

    That is the longest chain of apps which wait for each other, with the hooks of the whole, `delay` (of
    `shutdown_delay`, what is left of it) and a margin; or `shutdown_timeout`, where that is set.
    """
    if runtime.shutdown_timeout is not None:
        return runtime.shutdown_timeout
    return delay + _hook_time(runtime.hooks) + longest_chain(apps) + MARGIN


def longest_chain(apps: Iterable[AppSpec]) -> Seconds:
    """How long all apps take to stop if each takes all the time it has: dependents first, then the others."""
    known = {app.key(): app for app in apps}
    graph = dependencies(known.values(), at_work=True)
    dependents = dict.fromkeys(known, 0)
    for needed in graph.values():
        for key in needed:
            dependents[key] += 1
    begins = dict.fromkeys(known, 0.0)
    ready = [key for key, count in dependents.items() if not count]
    longest = 0.0
    while ready:
        key = ready.pop()
        end = begins[key] + app_stop_time(known[key])
        longest = max(longest, end)
        for other in graph[key]:
            begins[other] = max(begins[other], end)
            dependents[other] -= 1
            if not dependents[other]:
                ready.append(other)
    return longest


def _hook_time(hooks: Mapping[str, Hook]) -> Seconds:
    """How much longer a stop may take because of hooks."""
    return sum(hooks[name].timeout + HOOK_KILL_AFTER for name in ("pre_stop", "post_stop") if name in hooks)
