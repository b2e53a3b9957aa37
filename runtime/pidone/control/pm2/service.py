"""PM2's remote procedures over our operations: what its client calls when it lists, restarts or scales.

Protocol: pm2-axon-rpc of PM2 7. A request is `{"type": "call", "method": …, "args": […]}`, an answer
`{"args": […]}` or `{"error": text}`; it comes when the operation is over, as PM2's does.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

from pidone.control import peers
from pidone.control.answers.views import app_view, launch_view
from pidone.control.http.messages import Refusal
from pidone.control.operations import Operations
from pidone.control.pm2.bus import Bus
from pidone.control.pm2.lists import entries
from pidone.control.targets import Target
from pidone.ecosystem.spec import Seconds
from pidone.errors import describe_bug
from pidone.host.usage import Usage
from pidone.signames import parse_signal
from pidone.supervise.app import App
from pidone.supervise.faults import SYSTEM_ERRORS, refusal_of
from pidone.supervise.instances.states import State
from pidone.supervise.run.session import Parts
from pidone.supervise.wanted import ReloadState

_PATIENCE: Final[Seconds] = 600.0
"""How long an operation is waited for before its client hears that it still goes on."""
_UNKNOWN: Final = "Process with ID <{}> unknown."
_POLL: Final[Seconds] = 0.02
_MOST_DIGITS: Final = 20
"""Of one of PM2's numbers; Python refuses to read one of thousands."""

Method: TypeAlias = Callable[..., Awaitable[object]]


class Service:
    """The procedures."""

    def __init__(self, parts: Parts, bus: Bus) -> None:
        """Act on the supervisor of `parts`; what clients announce goes to the `bus`."""
        self._parts = parts
        self._bus = bus
        self._does = Operations(parts)
        self._usage = parts.features.usage()
        self._rolling: dict[App, asyncio.Lock] = {}
        self._methods: Mapping[str, Method] = {
            "ping": self._ping,
            "getMonitorData": self._list,
            "getSystemData": self._system,
            "getReport": self._report,
            "startProcessId": self._start,
            "stopProcessId": self._stop,
            "restartProcessId": self._restart,
            "reloadProcessId": self._reload,
            "softReloadProcessId": self._reload,
            "deleteProcessId": self._delete,
            "duplicateProcessId": self._duplicate,
            "resetMetaProcessId": self._reset,
            "sendSignalToProcessId": self._signal,
            "sendSignalToProcessName": self._signal,
            "sendLineToStdin": self._line,
            "sendDataToProcessId": self._data,
            "msgProcess": self._trigger,
            "notifyByProcessId": self._notify,
            "notifyKillPM2": self._nothing,
            "reloadLogs": self._reopen,
            "killMe": self._end,
        }

    async def answer(self, arguments: Sequence[object], peer: peers.Peer) -> object:
        """What to say to a request; never raises."""
        request = arguments[0]
        if not isinstance(request, dict):
            return {"error": "a request is an object"}
        if request.get("type") == "methods":
            return {"methods": {name: {"name": name, "params": []} for name in self._methods}}
        name, values = request.get("method"), request.get("args")
        method = self._methods.get(name) if isinstance(name, str) else None
        if method is None or not isinstance(values, list):
            return {"error": f'method "{name}" does not exist; the ecosystem file says what runs'}
        try:
            if method not in (self._list, self._ping, self._system):
                self._note(str(name), peer)
            return {"args": [await method(values[0] if values else None)]}
        except Refusal as refusal:
            return {"error": str(refusal)}
        except Exception as error:  # noqa: BLE001 (a bug costs its client an answer, and is told)
            return {"error": self._failed(error)}

    def _failed(self, error: Exception) -> str:
        if isinstance(error, SYSTEM_ERRORS):
            self._parts.supervisor.faults.overheard(error)
            return refusal_of(error)
        self._parts.ledger.event("error", "runtime.error", describe_bug(error))
        return "a bug in pidone; its log says more"

    def _note(self, action: str, peer: peers.Peer) -> None:
        who = f"uid {peer.uid}, pid {peer.pid}"
        self._parts.ledger.asked(action, who, by=f"PM2's client ({who})")

    # -- shown -----------------------------------------------------------------------------------------

    async def _ping(self, _: object) -> object:
        return {"msg": "pong"}

    async def _list(self, _: object) -> list[dict[str, Any]]:
        usage = self._usage.usage()
        apps = self._parts.supervisor.apps.values()
        return entries([self._view(app, usage) for app in apps])

    async def _system(self, _: object) -> object:
        """PM2 fills this in by an optional package, and is content without."""
        return {}

    async def _report(self, _: object) -> object:
        return {"pm2_version": f"pidone {self._parts.version}", "node_version": "N/A", "started_at": 0}

    # -- done ------------------------------------------------------------------------------------------

    async def _start(self, pm_id: object) -> object:
        app, index = self._slot(pm_id, "{} id unknown")
        self._does.start([Target(app, index)])
        return await self._settled(app, index)

    async def _stop(self, pm_id: object) -> object:
        app, index = self._slot(pm_id)
        self._does.stop([Target(app, index)])

        def is_down() -> bool:
            return index not in app.instances or app.instances[index].state.is_final

        await self._waited(app, is_down, app.name)
        return self._shown(app, index)

    async def _restart(self, options: object) -> object:
        app, index = self._slot(options, "God db process id unknown")
        self._does.restart([Target(app, index)])
        return await self._settled(app, index)

    async def _reload(self, options: object) -> object:
        """One slot after the other, in the order of the requests: an app rolls once at a time."""
        app, index = self._slot(options)
        async with self._rolling.setdefault(app, asyncio.Lock()):
            self._does.reload([Target(app, index)])
            await self._waited(app, lambda: app.is_settled, f"the reload of {app.name}")
        reload = app.wanted.reload
        if reload is not None and reload.state is ReloadState.FAILED:
            raise Refusal(409, reload.message)
        return self._shown(app, index)

    async def _delete(self, pm_id: object) -> object:
        """PM2's client deletes an app, and makes it smaller, by deleting its processes one by one."""
        app, index = self._slot(pm_id)
        shown = self._shown(app, index)
        if app.wanted.count > 1:
            self._does.scale([Target(app)], "-1")
            await self._waited(app, lambda: app.is_settled, f"{app.name} to be smaller")
        elif not app.wanted.is_removed:
            self._does.delete([Target(app)])
            key = app.spec.key()
            await self._waited(app, lambda: key not in self._parts.supervisor.apps, f"the end of {app.name}")
        return {**shown, "pid": 0, "pm2_env": {**shown["pm2_env"], "status": "stopped"}}

    async def _duplicate(self, pm_id: object) -> object:
        app, index = self._slot(pm_id)
        self._does.scale([Target(app)], "+1")
        return await self._settled(app, index)

    async def _reset(self, pm_id: object) -> object:
        app, index = self._slot(pm_id, "{} id unknown")
        self._does.reset([Target(app, index)])
        return await self._list(None)

    async def _signal(self, options: object) -> object:
        wanted = _mapping(options)
        if "process_id" in wanted:
            app, index = self._slot(wanted["process_id"], "{} id unknown")
            targets = [Target(app, index)]
        else:
            targets = self._named(wanted.get("process_name"))
        number = wanted.get("signal")
        try:
            parse_signal(number if isinstance(number, str | int) else "")
        except ValueError:
            raise Refusal(400, "Error when sending signal (signal unknown)") from None
        self._does.signal(targets, number)
        return await self._list(None)

    async def _line(self, options: object) -> object:
        wanted = _mapping(options)
        app, index = self._slot(wanted.get("pm_id"), _UNKNOWN)
        self._does.send_line([Target(app, index)], str(wanted.get("line", "")).removesuffix("\n"))
        return wanted

    async def _data(self, options: object) -> object:
        wanted = _mapping(options)
        if "id" not in wanted or "data" not in wanted or not wanted.get("topic"):
            raise Refusal(400, "ID, DATA or TOPIC field is missing")
        app, index = self._slot(wanted["id"], _UNKNOWN)
        instance = app.instances.get(index)
        if instance is None or instance.process is None:
            raise Refusal(409, f"Process with ID <{wanted['id']}> offline.")
        self._does.send([Target(app, index)], dict(wanted))
        return {"success": True, "data": wanted}

    async def _trigger(self, options: object) -> object:
        wanted = _mapping(options)
        action = str(wanted.get("msg"))
        plain = wanted.get("opts") is None and not wanted.get("uuid")
        message = wanted.get("msg") if plain else dict(wanted)
        if "id" in wanted:
            app, index = self._slot(wanted["id"], "{} id unknown")
            target = Target(app, index)
            if not self._does.those_that_know(action, [target]):
                raise Refusal(404, f"Action doesn't exist {action} for {app.spec.called}")
            reached = self._does.send([target], message)
        elif "name" not in wanted:
            raise Refusal(400, "method requires name or id field")
        else:
            reached = 0
            with suppress(Refusal):  # whoever asks by a name hears how many it were, be it nobody
                named = self._does.targets(str(wanted.get("name")))
                reached = self._does.send(self._does.those_that_know(action, named), message)
        return {"process_count": reached, "success": True}

    async def _notify(self, options: object) -> object:
        wanted = _mapping(options)
        with suppress(Refusal):  # it has been deleted, which is what is announced
            app, index = self._slot(wanted.get("id"))
            self._bus.process_event(str(wanted.get("action_name")), app, index, manually=True)
        return None

    async def _nothing(self, _: object) -> object:
        """Its client says that it is about to end everything, and does so next."""
        return None

    async def _reopen(self, _: object) -> object:
        self._parts.relay.reopen()
        return {}

    async def _end(self, _: object) -> object:
        self._parts.supervisor.stop_by_signal(signal.SIGTERM)
        return None

    # -- helpers ---------------------------------------------------------------------------------------

    def _named(self, name: object) -> list[Target]:
        """What PM2's client calls so. Raises Refusal, in PM2's words."""
        try:
            return self._does.targets(str(name))
        except Refusal:
            raise Refusal(404, "Unknown process name") from None

    def _slot(self, wish: object, unknown: str = "{} : id unknown") -> tuple[App, int]:
        """The app and the slot of one of PM2's numbers, alone or as `id`.

        Raises Refusal with what PM2 says of an `unknown` one, which differs with the procedure.
        """
        number = wish.get("id") if isinstance(wish, dict) else wish
        text = str(number)
        is_number = text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS
        slot = self._parts.launcher.slot_of(int(text)) if is_number else None
        app = self._parts.supervisor.apps.get(slot[0]) if slot else None
        if slot is None or app is None:
            raise Refusal(404, unknown.format(text[:20]))
        return app, slot[1]

    async def _settled(self, app: App, index: int) -> object:
        """Until it serves; a process that does not come is an error, as it is there."""
        await self._waited(app, lambda: app.is_settled, app.name)
        instance = app.instances.get(index)
        if instance is not None and instance.state is State.ERRORED:
            raise Refusal(409, f"{app.name}: {instance.why_down}")
        return self._shown(app, index)

    async def _waited(self, app: App, reached: Callable[[], bool], what: str) -> None:
        self._parts.supervisor.reconcile()  # what was wished for begins before it is looked at
        deadline = time.monotonic() + _PATIENCE
        while not reached():
            if app.refused:
                raise Refusal(403, f"{app.name}: {app.refused}")
            if time.monotonic() > deadline:
                raise Refusal(409, f"{what} takes longer than {_PATIENCE:g} s, and goes on")
            await asyncio.sleep(_POLL)

    def _view(self, app: App, usage: Mapping[int, Usage]) -> dict[str, Any]:
        ids = [self._parts.launcher.pm_id(app.spec, index) for index in app.instances]
        launch = launch_view(app.spec, ids)
        return {**app_view(app, self._parts.launcher.pm_id, usage, ""), "launch": launch}

    def _shown(self, app: App, index: int) -> dict[str, Any]:
        listed = entries([self._view(app, {})])
        number = self._parts.launcher.pm_id(app.spec, index)
        return next((each for each in listed if each["pm_id"] == number), {})


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Refusal(400, "expected an object")
    return value
