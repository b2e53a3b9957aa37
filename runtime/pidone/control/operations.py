"""What can be done to a running ecosystem, each as one method; called by the API, and by nobody else yet.

Nothing here waits: an operation begins, and the views show how it goes.
"""

import asyncio
import select
from collections.abc import Callable, Iterable
from typing import Any, Final

from pidone.control.messages import Refusal
from pidone.control.targets import Target, resolve
from pidone.ecosystem.spec import Seconds
from pidone.record import Record
from pidone.signames import parse_signal, signal_name
from pidone.supervise.app import App
from pidone.supervise.instance import Instance
from pidone.supervise.rollout import Outcome
from pidone.supervise.session import Parts
from pidone.supervise.states import Event, State
from pidone.supervise.supervisor import Phase

MOST_INSTANCES: Final = 1024
"""More is a slip of the finger."""
REPLY_TIME: Final[Seconds] = 10.0
"""How long an app may take to answer a triggered action."""
LINE_BYTES: Final = select.PIPE_BUF
"""A longer line might arrive in part."""


class Reload(Record):
    """How a rolling reload goes."""

    state: str
    """`running`, `done` or `failed`."""
    message: str = ""


class Operations:
    """The verbs."""

    def __init__(self, parts: Parts) -> None:
        """Act on the supervisor of `parts`."""
        self._supervisor = parts.supervisor
        self._relay = parts.relay
        self._ledger = parts.ledger
        self._launcher = parts.launcher
        self._loop = parts.loop
        self._replies: dict[tuple[App, int], list[asyncio.Future[object]]] = {}
        self._reloads: dict[tuple[str, str], Reload] = {}

    def targets(self, text: str) -> list[Target]:
        """What `text` means. Raises Refusal (404)."""
        return resolve(text, self._supervisor.apps.values(), self._launcher.pm_id)

    def start(self, targets: Iterable[Target]) -> None:
        """Start what does not run."""
        self._check_running()
        for target in targets:
            if target.index is None:
                self._supervisor.start_app(target.app)
            else:
                target.app.wanted = True
                target.instances[0].handle(Event.START)

    def stop(self, targets: Iterable[Target]) -> None:
        """Stop it and keep it stopped. The runtime stays, even if nothing else is left."""
        self._check_running()
        for target in targets:
            if target.index is None:
                self._supervisor.stop_app(target.app)
            else:
                target.instances[0].handle(Event.STOP)
                target.app.wanted = any(not each.state.is_final for each in target.app.instances.values())

    def restart(self, targets: Iterable[Target]) -> None:
        """End it and start it afresh, all instances at once."""
        self._check_running()
        for target in targets:
            if target.index is not None:
                target.app.wanted = True
                target.instances[0].handle(Event.RESTART)
            elif target.app.is_down:
                self._supervisor.start_app(target.app)
            else:
                target.app.restart()

    def reload(self, targets: Iterable[Target]) -> None:
        """Replace the instances one after the other, the new ones ready before the old ones leave."""
        self._check_running()
        chosen: dict[App, set[int] | None] = {}
        for target in targets:
            slots = chosen.setdefault(target.app, set())
            if target.index is None or slots is None:
                chosen[target.app] = None
            else:
                slots.add(target.index)
        for app in chosen:
            if app.is_replacing:
                raise Refusal(409, f"{app.name} is being reloaded already")
        for app, indexes in chosen.items():
            if app.is_down:
                self.start([Target(app)])
                self._reloads[app.spec.key()] = Reload("done")
                continue
            self._reloads[app.spec.key()] = Reload("running")
            app.reload(indexes=indexes, on_done=self._reload_done(app))

    def last_reload(self, app: App) -> Reload | None:
        """How the last reload of an app went, or goes."""
        reload = self._reloads.get(app.spec.key())
        if reload is not None and reload.state == "running" and not app.is_replacing:
            return Reload("failed", "a later command overrules it")
        return reload

    def delete(self, targets: Iterable[Target]) -> None:
        """Stop it and forget it."""
        self._check_running()
        chosen = list(targets)
        apps = list(dict.fromkeys(target.app for target in chosen))
        for app in apps:
            indexes = {target.index for target in chosen if target.app is app}
            if None not in indexes and indexes != set(app.instances):
                raise Refusal(409, f"only the whole of {app.name} can be deleted; scale makes it smaller")
            if needed := [other.name for other in self._supervisor.dependents(app) if other not in apps]:
                raise Refusal(409, f"{', '.join(needed)} depends on {app.name}")
        for app in apps:
            self._supervisor.remove(app)
            self._reloads.pop(app.spec.key(), None)

    def scale(self, targets: Iterable[Target], wish: object) -> None:
        """Have that many instances: `4`, `"+1"`, `"-1"` or `"max"` for the CPUs of the container."""
        self._check_running()
        for app in dict.fromkeys(target.app for target in targets):
            before = len(app.instances)
            count = _wished(wish, before, self._supervisor.ecosystem.cpus)
            if count == before:
                continue
            app.scale(count)
            self._ledger.event(
                "info",
                "app.scale",
                f"from {before} to {count} instances",
                **app.spec.labels(),
                instances=count,
                previous=before,
            )

    def signal(self, targets: Iterable[Target], name: object) -> str:
        """Send a signal to the main processes; the name of what was sent."""
        if not isinstance(name, str | int):
            raise Refusal(400, "signal: expected a name or a number")
        try:
            number = parse_signal(name)
        except ValueError as error:
            raise Refusal(400, str(error)) from None
        for instance in _instances(targets):
            instance.signal(number)
        return signal_name(number)

    def reset(self, targets: Iterable[Target]) -> None:
        """Count restarts anew."""
        for instance in _instances(targets):
            instance.forgive()

    def send(self, targets: Iterable[Target], message: object) -> int:
        """Send an IPC message; to how many. Raises Refusal if nobody can hear it."""
        reached = sum(
            instance.process is not None and instance.process.send(message)
            for instance in _instances(targets)
        )
        if not reached:
            raise Refusal(409, "no process with an IPC channel is running there")
        return reached

    def send_line(self, targets: Iterable[Target], line: str) -> int:
        """Write a line to stdin; to how many. Raises Refusal if nobody reads one (`stdin = "pipe"`)."""
        data = line.encode() + b"\n"
        if len(data) > LINE_BYTES:
            raise Refusal(400, f"a line has at most {LINE_BYTES} bytes")
        reached = sum(
            instance.process is not None and instance.process.write(data) for instance in _instances(targets)
        )
        if not reached:
            raise Refusal(409, 'no process reads lines there (stdin = "pipe" lets an app do so)')
        return reached

    async def trigger(
        self, targets: Iterable[Target], action: str, parameter: object = None
    ) -> list[dict[str, Any]]:
        """Run a PM2-style action in each process and collect the replies (`axm:reply` messages)."""
        message: object = action if parameter is None else {"msg": action, "opts": parameter}
        asked: list[tuple[Instance, App, asyncio.Future[object]]] = []
        for target in targets:
            for instance in target.instances:
                if instance.process is None or not instance.process.send(message):
                    continue
                future: asyncio.Future[object] = self._loop.create_future()
                target.app.on_message = self._heard(target.app)
                self._replies.setdefault((target.app, instance.index), []).append(future)
                asked.append((instance, target.app, future))
        if not asked:
            raise Refusal(409, "no process with an IPC channel is running there")
        await asyncio.wait([future for _, _, future in asked], timeout=REPLY_TIME)
        replies = []
        for instance, app, future in asked:
            self._replies.get((app, instance.index), []).clear()
            reply: dict[str, Any] = {"app": app.name, "instance": instance.index}
            if future.done():
                reply["return"] = future.result()
            else:
                future.cancel()
                reply["error"] = f"no reply within {REPLY_TIME:g} s"
            replies.append(reply)
        return replies

    def drain(self) -> None:
        """Be ready no more; a stop will follow. Doing it twice changes nothing."""
        self._supervisor.begin_drain()

    # -- helpers ---------------------------------------------------------------------------------------

    def _check_running(self) -> None:
        if self._supervisor.phase is not Phase.RUNNING:
            raise Refusal(409, "the runtime is stopping")

    def _reload_done(self, app: App) -> Callable[[Outcome], None]:
        def done(outcome: Outcome) -> None:
            state = "failed" if outcome.failure else "done"
            self._reloads[app.spec.key()] = Reload(state, outcome.failure)

        return done

    def _heard(self, app: App) -> Callable[[Instance, object], None]:
        def hear(instance: Instance, value: object) -> None:
            if not isinstance(value, dict) or value.get("type") != "axm:reply":
                return
            data = value.get("data")
            reply = data.get("return") if isinstance(data, dict) else data
            waiting = self._replies.get((app, instance.index), [])
            if waiting and not waiting[0].done():
                waiting.pop(0).set_result(reply)

        return hear


def _instances(targets: Iterable[Target]) -> list[Instance]:
    return [instance for target in targets for instance in target.instances]


def _wished(wish: object, present: int, cpus: int) -> int:
    count = None
    if wish == "max":
        count = cpus
    elif isinstance(wish, int) and not isinstance(wish, bool):
        count = wish
    elif isinstance(wish, str) and len(wish) <= 6:
        sign, digits = (wish[0], wish[1:]) if wish[:1] in ("+", "-") else ("", wish)
        if digits.isascii() and digits.isdigit():
            count = {"+": present + int(digits), "-": present - int(digits), "": int(digits)}[sign]
    if count is None:
        raise Refusal(400, 'instances: expected a number, "+N", "-N" or "max"')
    if not 1 <= count <= MOST_INSTANCES:
        raise Refusal(400, f"an app has 1 to {MOST_INSTANCES} instances, not {count}")
    return count


def is_settled(app: App) -> bool:
    """Whether nothing is under way: every instance rests or serves."""
    return not app.leaving and all(
        instance.state is State.ONLINE or instance.state.is_final for instance in app.instances.values()
    )
