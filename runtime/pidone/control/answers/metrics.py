"""/metrics: what a dashboard or an alert of an operator needs, and nothing that holds a secret."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from pidone.control.answers.backlog import read_backlogs
from pidone.control.answers.container_metrics import ContainerMetrics
from pidone.control.answers.exposition import CONTENT_TYPE, Family, render
from pidone.control.http.messages import Answer, Request, Response
from pidone.control.http.router import Access, Route
from pidone.ecosystem.spec import Seconds
from pidone.host.processes import count_fds, read_process
from pidone.host.usage import Usage
from pidone.supervise.app import App
from pidone.supervise.instances.instance import Instance
from pidone.supervise.instances.states import State
from pidone.supervise.ledger import AppKey, Durations
from pidone.supervise.run.session import Parts

LAG_INTERVAL: Final[Seconds] = 1.0
_LAGS: Final = 15
"""As many samples as lie between two scrapes of usual pace: the worst of them is shown."""


class LoopLag:
    """How late the event loop is: a timer that notes when it was called."""

    def __init__(self, now: Callable[[], Seconds], call_later: Callable[..., object]) -> None:
        """Begins to measure."""
        self._now = now
        self._call_later = call_later
        self._lags: deque[Seconds] = deque([0.0], maxlen=_LAGS)
        self._plan()

    @property
    def worst(self) -> Seconds:
        """The largest of the last samples."""
        return max(self._lags)

    def _plan(self) -> None:
        due = self._now() + LAG_INTERVAL

        def measure() -> None:
            self._lags.append(max(0.0, self._now() - due))
            self._plan()

        self._call_later(LAG_INTERVAL, measure)


class Metrics:
    """Collects families when they are asked for."""

    def __init__(self, parts: Parts) -> None:
        """Everything that is counted elsewhere."""
        self._parts = parts
        self._usage = parts.features.usage()
        self._lag = LoopLag(parts.loop.time, parts.loop.call_later)
        self._container = ContainerMetrics(lambda: parts.supervisor.ecosystem.cpus)

    def routes(self) -> list[Route]:
        """The one path."""
        return [
            Route(
                "GET", "/metrics", Access.READ, self.metrics, "OpenMetrics.", "Text", content=(CONTENT_TYPE,)
            )
        ]

    def metrics(self, request: Request) -> Answer:
        """Everything now."""
        del request
        families = [
            *self._runtime(),
            *self._apps(),
            *self._instances(),
            *self._logs(),
            *self._container.families(),
        ]
        return Response(200, render(families), CONTENT_TYPE)

    def _runtime(self) -> Iterator[Family]:
        supervisor = self._parts.supervisor
        yield Family("pidone_build", "info", "Version of the runtime.").add(
            1, {"version": self._parts.version}
        )
        yield Family("pidone_ready", "gauge", "Whether every app that must be ready is.").add(
            supervisor.is_ready
        )
        yield Family("pidone_orphans_reaped", "counter", "Adopted processes that were buried.").add(
            self._parts.reaper.orphans
        )
        yield Family("pidone_loop_lag_seconds", "gauge", "Worst delay of the event loop lately.").add(
            self._lag.worst
        )
        events = Family("pidone_events", "counter", "Events of the runtime by name.")
        for name, count in self._parts.ledger.events.items():
            events.add(count, {"event": name})
        yield events
        own = read_process(os.getpid())
        if own is not None:
            yield Family("process_resident_memory_bytes", "gauge", "RSS of the runtime itself.").add(own.rss)
            yield Family("process_cpu_seconds", "counter", "CPU time of the runtime itself.").add(
                sum(os.times()[:2])
            )
            yield Family("process_open_fds", "gauge", "Descriptors of the runtime itself.").add(
                len(os.listdir("/proc/self/fd"))
            )

    def _apps(self) -> Iterator[Family]:
        ledger, apps = self._parts.ledger, list(self._parts.supervisor.apps.values())
        ready = Family("pidone_app_ready", "gauge", "Whether every instance of an app is ready.")
        instances = Family("pidone_app_instances", "gauge", "Instances an app shall have.")
        for each in apps:
            ready.add(each.is_ready, _of_key(each.spec.key()))
            instances.add(len(each.instances), _of_key(each.spec.key()))
        yield ready
        yield instances
        waiting = Family(
            "pidone_app_waiting", "gauge", "Outside services that an app waits for before it starts."
        )
        for each in apps:
            for service in self._parts.features.waiting(each):
                waiting.add(1, {**_of_key(each.spec.key()), "service": service})
        yield waiting
        restarts = Family(
            "pidone_app_restarts", "counter", "Starts of an instance after its first, by reason."
        )
        for (app, reason), count in ledger.restarts.items():
            restarts.add(count, {**_of_key(app), "reason": reason})
        yield restarts
        exits = Family("pidone_app_exits", "counter", "Ends of processes by exit code or signal.")
        for (app, code, signal), count in ledger.exits.items():
            exits.add(count, {**_of_key(app), "code": code, "signal": signal})
        yield exits
        yield _histogram("pidone_app_ready_duration_seconds", "From spawn to readiness.", ledger.ready)
        yield _histogram(
            "pidone_app_reload_duration_seconds", "Rolling reloads that came to their end.", ledger.reloads
        )
        waiting = Family("pidone_listen_backlog", "gauge", "Connections that wait to be accepted.")
        limit = Family("pidone_listen_backlog_limit", "gauge", "How many of them may wait.")
        for address, backlog in read_backlogs().items():
            waiting.add(backlog.waiting, {"address": address})
            limit.add(backlog.limit, {"address": address})
        yield waiting
        yield limit

    def _instances(self) -> Iterator[Family]:
        usage = self._usage.usage()
        rows = [
            (_of_instance(app, instance), instance, usage.get(instance.pid or 0))
            for app in self._parts.supervisor.apps.values()
            for instance in app.instances.values()
        ]
        for name, kind, text, measure in _PER_INSTANCE:
            family = Family(name, kind, text)
            for labels, instance, _ in rows:
                family.add(measure(instance), labels)
            yield family
        for name, kind, text, read in _PER_TREE:
            family = Family(name, kind, text)
            for labels, _, used in rows:
                family.add(None if used is None else read(used), labels)
            yield family
        pss = Family("pidone_instance_tree_pss_bytes", "gauge", "PSS of the instance and its descendants.")
        fds = Family("pidone_instance_open_fds", "gauge", "Open descriptors of the whole tree.")
        for labels, _, used in rows:
            if used is not None:
                pss.add(self._usage.pss(used.tree), labels)
                fds.add(count_fds(used.tree), labels)
        yield pss
        yield fds

    def _logs(self) -> Iterator[Family]:
        lines = Family("pidone_log_lines", "counter", "Lines an app has written.")
        size = Family("pidone_log_bytes", "counter", "Bytes an app has written.")
        dropped = Family("pidone_log_dropped_lines", "counter", "Lines of an app that were not put out.")
        for ((namespace, app), stream), counts in self._parts.relay.counts().items():
            labels = {**_of_key((namespace, app)), "stream": stream}
            lines.add(counts.lines, labels)
            size.add(counts.bytes, labels)
            dropped.add(counts.dropped, labels)
        yield from (lines, size, dropped)


def _histogram(name: str, text: str, found: Mapping[AppKey, Durations]) -> Family:
    family = Family(name, "histogram", text)
    for app, durations in found.items():
        family.add_histogram(durations.bounds, durations.counts, durations.total, _of_key(app))
    return family


def _of_key(app: AppKey) -> dict[str, str]:
    namespace, name = app
    return {"app": name, "app_namespace": namespace}


def _of_instance(app: App, instance: Instance) -> dict[str, str]:
    return {**_of_key(app.spec.key()), "instance": str(instance.index)}


_PER_INSTANCE: Final[tuple[tuple[str, str, str, Callable[[Instance], float | None]], ...]] = (
    ("pidone_instance_up", "gauge", "Whether a process runs.", lambda i: i.state.has_process),
    ("pidone_instance_ready", "gauge", "Whether it can work.", lambda i: i.state is State.ONLINE),
    (
        "pidone_instance_uptime_seconds",
        "gauge",
        "Since the start of its process.",
        lambda i: i.life.uptime if i.state.has_process else None,
    ),
)
_PER_TREE: Final[tuple[tuple[str, str, str, Callable[[Usage], float]], ...]] = (
    ("pidone_instance_cpu_seconds", "counter", "CPU time of the whole tree.", lambda u: u.tree.cpu_s),
    ("pidone_instance_resident_memory_bytes", "gauge", "RSS of the main process.", lambda u: u.tree.root.rss),
    ("pidone_instance_tree_rss_bytes", "gauge", "RSS summed over the tree.", lambda u: u.tree.rss),
    ("pidone_instance_threads", "gauge", "Threads of the whole tree.", lambda u: u.tree.threads),
    ("pidone_instance_processes", "gauge", "Processes of the tree.", lambda u: len(u.tree.processes)),
)
