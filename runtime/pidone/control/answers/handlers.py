"""The API: its table of routes, from which openapi.py describes it, and their handlers."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pidone.control.answers import log_query
from pidone.control.answers.container_view import ContainerView
from pidone.control.answers.details import Details
from pidone.control.answers.diagnosis import Diagnoser
from pidone.control.answers.streams import EventStream, LogStream, event_view, split
from pidone.control.answers.views import app_view, launch_view
from pidone.control.answers.warnings import Warnings
from pidone.control.http.messages import (
    EVENTS,
    JSON,
    Answer,
    Refusal,
    Request,
    Response,
    Side,
    Stream,
    as_json,
)
from pidone.control.http.router import Access, Route
from pidone.control.operations import Operations
from pidone.control.targets import ALL, Target
from pidone.logs.relay import OURS
from pidone.masked_args import mask, mask_args
from pidone.supervise.app import App
from pidone.supervise.instances.incarnation import ACTION_CHARS
from pidone.supervise.instances.instance import Instance
from pidone.supervise.ledger import Happening
from pidone.supervise.run.session import Parts

_DEFAULT_LINES: Final = 100


class Handlers:
    """Answers requests out of memory."""

    def __init__(self, parts: Parts, operations: Operations) -> None:
        """Everything that can be shown or done."""
        self._parts = parts
        self._operations = operations
        self._usage = parts.features.usage()
        self._details = Details(parts.features)
        self._diagnosis = Diagnoser(parts.relay)
        self._warnings = Warnings(parts.ledger)
        self._container = ContainerView(lambda: parts.supervisor.ecosystem.cpus)
        self._began = parts.loop.time()

    def routes(self) -> list[Route]:
        """Everything below /api."""
        read, act, local, one = Access.READ, Access.ACT, Access.LOCAL, "/api/apps/{target}"
        does = self._operations
        rolling = "Replace its instances one by one, each new one ready before its old one leaves."
        changes: dict[str, tuple[Callable[[list[Target]], None], str]] = {
            "start": (does.start, "Start what does not run."),
            "stop": (does.stop, "Stop it; the runtime stays."),
            "restart": (does.restart, "End it and start it afresh, all instances at once."),
            "reload": (does.reload, rolling),
            "reset": (does.reset, "Count restarts anew."),
            "delete": (does.delete, "Stop it and forget it."),
            "flush": (self._flush, "Forget the records that are kept of it."),
        }
        told = ("lines", "follow", *log_query.PARAMETERS)
        return [
            Route("GET", "/api", read, self.overview, "The runtime itself.", "Overview"),
            Route("GET", "/api/apps", read, self.apps, "Every app."),
            Route("GET", "/api/container", read, self._container.show, "What it may use and uses.", "Object"),
            Route("GET", one, read, self.app, "Everything about a target.", "Described", query=("pss",)),
            Route("GET", f"{one}/env", local, self.env, "Its variables, masked.", "Object"),
            Route("DELETE", one, act, self._changes("delete", does.delete), "Stop it and forget it."),
            *(
                Route("POST", f"{one}/{verb}", act, self._changes(verb, change), summary)
                for verb, (change, summary) in changes.items()
            ),
            Route("POST", f"{one}/scale", act, self.scale, "Change the number.", body="Scale"),
            Route("POST", f"{one}/signal", act, self.signal, "Signal the main processes.", body="Signal"),
            Route("POST", f"{one}/send", act, self.send, "A line, or an IPC message.", "Reached", "Message"),
            Route("POST", f"{one}/trigger", act, self.trigger, "Run an action.", "Replies", "Action"),
            Route(
                "GET", "/api/events", read, self.events, "What happens.", query=told[:2], content=(EVENTS,)
            ),
            Route(
                "GET", "/api/logs", read, self.logs, "Records.", "Records", query=told, content=(JSON, EVENTS)
            ),
            Route("POST", "/api/logs/reopen", act, self.reopen, "Open the log files anew.", "Overview"),
            Route("POST", "/api/drain", act, self.drain, "Be ready no more; a stop follows.", "Overview"),
            Route("POST", "/api/undrain", act, self.undrain, "Be ready again.", "Overview"),
        ]

    # -- reading ---------------------------------------------------------------------------------------

    def overview(self, request: Request) -> Answer:
        """The runtime itself."""
        supervisor = self._parts.supervisor
        ecosystem = supervisor.ecosystem
        return as_json(
            {
                "version": self._parts.version,
                "pid": os.getpid(),
                "uptime_s": round(self._parts.loop.time() - self._began, 3),
                "phase": supervisor.phase.name.lower(),
                "ready": supervisor.is_ready,
                "draining": supervisor.is_draining,
                "source": ecosystem.source,
                "cpus": ecosystem.cpus,
                "apps": [app.name for app in supervisor.apps.values()],
                "warnings": self._warnings.view(),
                "orphans_reaped": self._parts.reaper.orphans,
                "shutdown_delay_s": supervisor.runtime.shutdown_delay,
                "may_act": request.side is not Side.PUBLIC,
                "start": self._start() if request.side is Side.LOCAL else None,
            }
        )

    def _start(self) -> dict[str, Any]:
        """How to find out what was typed, without saying it: it may hold secrets."""
        name, *words = sys.argv
        return {
            "name": os.path.basename(name),
            "words": len(words),
            "cwd": self._parts.supervisor.ecosystem.cwd,
        }

    def apps(self, request: Request) -> Answer:
        """Every app."""
        del request
        return self._all()

    async def _all(self) -> Response:
        self._usage.usage()
        await asyncio.sleep(0)  # of a thousand processes both together take longer than a turn may
        return self._show([Target(app) for app in self._parts.supervisor.apps.values()])

    def app(self, request: Request) -> Answer:
        """What a target means, with what happened to it."""
        targets = self._targets(request)
        keys = {target.app.spec.key() for target in targets}
        recent = [event_view(each) for each in self._parts.ledger.recent if each.app in keys]
        extra: dict[str, Any] = {"events": recent[-20:]}
        details = [self._details.of(app, _chosen(app, targets)) for app in _apps(targets)]
        extra["details"] = details
        if request.side is not Side.LOCAL:
            return self._show(targets, **extra)
        for each, app in zip(details, _apps(targets), strict=True):
            each["command"] = mask_args(app.spec.argv)
            each["launch"] = launch_view(app.spec, self._ids(app))
        if request.query.get("pss", "") in ("1", "true"):  # too dear to be had by everybody
            return self._measured(targets, details, extra)
        return self._show(targets, **extra)

    async def _measured(
        self, targets: list[Target], details: list[dict[str, Any]], extra: Mapping[str, object]
    ) -> Response:
        await self._details.add_pss(details)
        return self._show(targets, **extra)

    def env(self, request: Request) -> Answer:
        """The variables of each app's first chosen instance, secrets masked."""
        return as_json(
            {
                "apps": [
                    {
                        "name": target.app.name,
                        "namespace": target.app.spec.namespace,
                        "env": mask(
                            self._parts.launcher.environment(target.app.spec, target.instances[0].who),
                            target.app.spec.secrets,
                        ),
                    }
                    for target in self._targets(request)
                ]
            }
        )

    def events(self, request: Request) -> Answer:
        """What happens, as a stream."""
        lines = log_query.parse_count(request.query.get("lines", ""), 0)
        app = request.query.get("app")

        def wanted(happening: Happening) -> bool:
            return app is None or happening.details.get("app") == app

        return Stream(
            lambda sender: EventStream(
                self._parts.ledger,
                sender,
                backlog=lines,
                call_later=self._parts.loop.call_later,
                wanted=wanted,
            )
        )

    def logs(self, request: Request) -> Answer:
        """The last records, and with `follow` those to come."""
        query = request.query
        lines = log_query.parse_count(query.get("lines", ""), _DEFAULT_LINES)
        text = query.get("app", "")
        is_name = any(app.spec.name == text for app in self._parts.supervisor.apps.values())
        names = [text] if is_name else _names(text)
        targets = [each for name in names for each in self._operations.targets(name)]
        picks = {(*each.app.spec.key(), each.index) for each in targets}
        keys = {each.app.spec.key() for each in targets}
        if keys:
            keys.add(OURS)  # what happens to them
        wanted = log_query.choose(query, time.time(), picks)
        records = [record for record in split(self._parts.relay.last(*keys)) if wanted(record)]
        records = records[len(records) - min(lines, len(records)) :]
        if query.get("follow", "") not in ("1", "true"):
            return as_json({"records": records})
        return Stream(
            lambda sender: LogStream(
                self._parts.relay,
                sender,
                apps=keys,
                backlog=records,
                call_later=self._parts.loop.call_later,
                wanted=wanted,
            )
        )

    # -- acting ----------------------------------------------------------------------------------------

    def scale(self, request: Request) -> Answer:
        """`{"instances": N | "+N" | "-N" | "max"}`."""
        # An instance stands for its app, and may be gone afterwards.
        targets = [Target(app) for app in _apps(self._targets(request))]
        self._operations.scale(targets, request.document().get("instances"))
        self._note(request, "scale", targets)
        return self._show(targets)

    def signal(self, request: Request) -> Answer:
        """`{"signal": "HUP"}`."""
        targets = self._targets(request)
        name = self._operations.signal(targets, request.document().get("signal"))
        self._note(request, f"signal {name}", targets)
        return self._show(targets)

    def send(self, request: Request) -> Answer:
        """`{"message": any}` over IPC, or `{"line": "text"}` to stdin."""
        targets = self._targets(request)
        document = request.document()
        if "message" in document:
            reached = self._operations.send(targets, document["message"])
        elif isinstance(document.get("line"), str):
            reached = self._operations.send_line(targets, document["line"])
        else:
            raise Refusal(400, "expected `message` or `line`")
        self._note(request, "send", targets)
        return as_json({"reached": reached})

    def trigger(self, request: Request) -> Answer:
        """`{"action": name, "parameter": any}`."""
        targets = self._targets(request)
        document = request.document()
        action = document.get("action")
        if not isinstance(action, str) or not 0 < len(action) <= ACTION_CHARS:
            raise Refusal(400, "action: expected a name")
        self._note(request, "trigger", targets)
        return self._trigger(targets, action, document.get("parameter"))

    async def _trigger(self, targets: list[Target], action: str, parameter: object) -> Response:
        return as_json({"replies": await self._operations.trigger(targets, action, parameter)})

    def drain(self, request: Request) -> Answer:
        """Be ready no more."""
        if not self._parts.supervisor.is_draining:
            self._note(request, "drain", [])
        self._parts.supervisor.begin_drain()
        return self.overview(request)

    def undrain(self, request: Request) -> Answer:
        """Be ready again; refused once a stop is under way."""
        self._operations.check_running()
        self._parts.supervisor.end_drain()
        self._note(request, "undrain", [])
        return self.overview(request)

    def reopen(self, request: Request) -> Answer:
        """Open all log files anew, for those who rotate them from outside."""
        self._note(request, "reopen", [])
        self._parts.relay.reopen()
        return self.overview(request)

    # -- helpers ---------------------------------------------------------------------------------------

    def _flush(self, targets: list[Target]) -> None:
        for app in _apps(targets):
            self._parts.relay.flush(app.spec.key())

    def _changes(self, action: str, change: Callable[[list[Target]], None]) -> Callable[[Request], Answer]:
        """A handler for an operation that needs nothing but its target."""

        def handle(request: Request) -> Answer:
            targets = self._targets(request)
            change(targets)
            self._note(request, action, targets)
            return self._show(targets)

        return handle

    def _targets(self, request: Request) -> list[Target]:
        return self._operations.targets(request.path[2])

    def _ids(self, app: App) -> list[int]:
        return [self._parts.launcher.pm_id(app.spec, index) for index in app.instances]

    def _note(self, request: Request, action: str, targets: list[Target]) -> None:
        names = ", ".join(app.name for app in _apps(targets)) or None
        self._parts.ledger.asked(action, request.peer, app=names)

    def _show(self, targets: list[Target], **extra: object) -> Response:
        self._parts.supervisor.reconcile()  # what this request wished for begins before it is answered
        usage = self._usage.usage()
        shown = []
        for app in _apps(targets):
            indexes = {instance.index for instance in _chosen(app, targets)}
            waits_for = self._parts.supervisor.waits_for(app)
            view = app_view(app, self._parts.launcher.pm_id, usage, waits_for)
            limit = self._parts.features.limits(app).hard if app.spec.max_memory_restart else None
            whole, findings = self._diagnosis.of(app, waits_for, usage, limit)
            view |= whole.view
            view["instances"] = [
                each | findings[each["index"]].view for each in view["instances"] if each["index"] in indexes
            ]
            view["memory_limit_bytes"] = limit
            next_run = self._parts.features.next_run(app)
            view["next_run"] = None if next_run is None else next_run.isoformat()
            shown.append(view)
        return as_json({"apps": shown, **extra})


def described(version: str, routes: Sequence[Route]) -> Route:
    """The route that tells of all the others, and of itself once it is one of them."""

    def openapi(request: Request) -> Answer:
        del request
        from pidone.control.http.openapi import document  # noqa: PLC0415 (asked for once in a while)

        return as_json(document(version, routes))

    return Route("GET", "/api/openapi.json", Access.READ, openapi, "This.", "Object")


def _chosen(app: App, targets: list[Target]) -> list[Instance]:
    """The instances of an app that are meant, in their order."""
    chosen = {instance.index for target in targets if target.app is app for instance in target.instances}
    return [instance for index, instance in app.instances.items() if index in chosen]


def _names(text: str) -> list[str]:
    """Several targets, separated by commas; all of the apps are no choice."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    return [] if ALL in names else names


def _apps(targets: list[Target]) -> list[App]:
    return list(dict.fromkeys(target.app for target in targets))
