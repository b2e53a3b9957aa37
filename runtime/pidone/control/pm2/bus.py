"""What happens and what the apps say, under the topics of PM2's bus (`launchBus`)."""

import time
from collections.abc import Callable
from typing import Any, Final

from pidone.control.answers.views import app_view
from pidone.control.pm2.lists import entry
from pidone.ecosystem.spec import Seconds
from pidone.logs.fields import fields_of
from pidone.logs.history import Follower
from pidone.supervise.app import App
from pidone.supervise.instances.instance import Instance
from pidone.supervise.ledger import Happening
from pidone.supervise.run.session import Parts

_EVENTS: Final = {
    "instance.start": "start",
    "instance.online": "online",
    "instance.exit": "exit",
    "instance.errored": "restart overlimit",
}
"""Our events that are PM2's too."""
_FOR_PM2_ITSELF: Final = ("axm:action", "axm:monitor", "axm:option:setPID", "axm:option:configuration")
_REPLY: Final = "axm:reply"
_HELD: Final[Seconds] = 1.0
"""The longest that a reply to an action is held back: PM2's client has to hear first how many will come."""
_LOOK: Final[Seconds] = 0.005
_STREAMS: Final = {"stdout": "log:out", "stderr": "log:err"}


class Bus:
    """Follows events, lines and messages as long as somebody listens."""

    def __init__(self, parts: Parts) -> None:
        """Nobody listens yet."""
        self._parts = parts
        self._follower: Follower | None = None
        self._heard: dict[App, None] = {}
        self.send: Callable[[str, object], None] = lambda _topic, _data: None
        """Tells everybody who listens."""
        self.has_unread: Callable[[], bool] = lambda: False
        """Whether an answer to a request has not been read yet."""

    def followed_by(self, count: int) -> None:
        """So many listen now."""
        if count and self._follower is None:
            self._follower = self._parts.relay.follow(self._wake)
            self._parts.ledger.listeners.append(self._happened)
            self._listen_to_apps()
        elif not count and self._follower is not None:
            self._follower.close()
            self._follower = None
            self._parts.ledger.listeners.remove(self._happened)
            for app in self._heard:
                app.message_listeners.remove(self._message)
            self._heard.clear()

    def process_event(self, name: str, app: App, index: int, *, manually: bool) -> None:
        """Something happened to one process."""
        view = self._view(app, index)
        if view is not None:
            what = {"event": name, "manually": manually, "process": view, "at": _now_ms()}
            self.send("process:event", what)

    def _happened(self, happening: Happening) -> None:
        self._listen_to_apps()  # an app may have come with a re-read file
        name = _EVENTS.get(happening.event)
        app = self._parts.supervisor.apps.get(happening.app) if happening.app else None
        index = happening.details.get("instance")
        if name and app is not None and isinstance(index, int):
            self.process_event(name, app, index, manually=False)

    def _view(self, app: App, index: int) -> dict[str, Any] | None:
        view = app_view(app, self._parts.launcher.pm_id, {}, "")
        for instance in view["instances"]:
            if instance["index"] == index:
                found: dict[str, Any] = entry(view, instance, _now_ms())["pm2_env"]
                return {key: value for key, value in found.items() if key != "env"}
        return None

    def _listen_to_apps(self) -> None:
        for app in self._parts.supervisor.apps.values():
            if app not in self._heard:
                self._heard[app] = None
                app.message_listeners.append(self._message)

    def _message(self, instance: Instance, value: object) -> None:
        """An IPC message of an app: one with a type and data is a topic of its own, as under PM2.

        What an app tells PM2 itself is not passed on.
        """
        if isinstance(value, dict) and value.get("type") in _FOR_PM2_ITSELF:
            return
        process = {**self._process(instance.app.key(), instance.index), "versioning": None}
        if isinstance(value, dict) and value.get("data") and isinstance(kind := value.get("type"), str):
            data = {"at": _now_ms(), "data": value["data"], "process": process}
            if kind == _REPLY:
                self._reply(data, self._parts.loop.time() + _HELD)
            else:
                self.send(kind, data)
        else:
            self.send("process:msg", {"at": _now_ms(), "raw": value, "process": process})

    def _reply(self, data: dict[str, object], until: Seconds) -> None:
        """PM2's `trigger` waits for ever where it reads a reply before the answer that counts them.

        Both come to it by sockets of their own, and what it reads first is chance.
        """
        if self.has_unread() and self._parts.loop.time() < until:
            self._parts.loop.call_later(_LOOK, self._reply, data, until)
        else:
            self.send(_REPLY, data)

    def _process(self, key: tuple[str, str], index: int) -> dict[str, object]:
        app = self._parts.supervisor.apps.get(key)
        pm_id = None if app is None else self._parts.launcher.pm_id(app.spec, index)
        name = key[1] if app is None else app.spec.called
        return {"pm_id": pm_id, "name": name, "rev": None, "namespace": key[0]}

    def _key_of(self, name: str) -> tuple[str, str]:
        """Records have no namespace: of two apps of one name it may be the other one."""
        return next((key for key in self._parts.supervisor.apps if key[1] == name), ("default", name))

    def _wake(self) -> None:
        # In a later turn: this is called from within the relay.
        self._parts.loop.call_later(0, self._pass_on)

    def _pass_on(self) -> None:
        if self._follower is None:
            return
        for line in self._follower.take().splitlines():
            record = fields_of(line)
            topic = _STREAMS.get(record.get("stream", ""))
            if topic and "app" in record:
                key = self._key_of(record["app"])
                process = self._process(key, record.get("instance", 0))
                text = record.get("message", line.decode(errors="replace"))
                self.send(topic, {"process": process, "at": _now_ms(), "data": f"{text}\n"})
        if self._follower.lost:  # more came than could be told: from here on again
            self._follower = self._parts.relay.follow(self._wake)


def _now_ms() -> int:
    return int(time.time() * 1000)
