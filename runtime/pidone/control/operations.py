"""What can be done to a running ecosystem, each as one method; called by the API, and by nobody else yet.

Nothing here waits: an operation begins, and the views show how it goes.
"""

import asyncio
import select
from collections.abc import Iterable
from typing import Any, Final

from pidone.control.http.messages import Refusal
from pidone.control.targets import Target, resolve
from pidone.ecosystem.spec import Seconds
from pidone.in_time import in_time
from pidone.signames import parse_signal, signal_name
from pidone.supervise.app import App
from pidone.supervise.instances.instance import Instance
from pidone.supervise.ledger import Happening
from pidone.supervise.run.session import Parts
from pidone.supervise.supervisor import Phase
from pidone.supervise.wanted import ReloadState

MOST_INSTANCES: Final = 1024
"""More is a slip of the finger."""
REPLY_TIME: Final[Seconds] = 10.0
"""How long an app may take to answer a triggered action."""
LINE_BYTES: Final = select.PIPE_BUF
"""A longer line might arrive in part."""


class Operations:
    """The verbs."""

    def __init__(self, parts: Parts) -> None:
        """Act on the supervisor of `parts`."""
        self._supervisor = parts.supervisor
        self._ledger = parts.ledger
        self._launcher = parts.launcher
        self._loop = parts.loop
        self._deadlines = parts.deadlines
        self._questions: list[_Question] = []
        parts.ledger.listeners.append(self._happened)

    def targets(self, text: str) -> list[Target]:
        """What `text` means. Raises Refusal (404)."""
        return resolve(text, self._supervisor.apps.values(), self._launcher.pm_id)

    def start(self, targets: Iterable[Target]) -> None:
        """Start what does not run."""
        for app, slots in self._chosen(targets):
            app.start(slots=slots)

    def stop(self, targets: Iterable[Target]) -> None:
        """Stop it and keep it stopped. The runtime stays, even if nothing else is left."""
        for app, slots in self._chosen(targets):
            app.stop(slots=slots)

    def restart(self, targets: Iterable[Target]) -> None:
        """End it and start it afresh, all instances at once."""
        for app, slots in self._chosen(targets):
            app.restart(slots=slots)

    def reload(self, targets: Iterable[Target]) -> None:
        """Replace the instances one after the other, the new ones ready before the old ones leave."""
        chosen = self._chosen(targets)
        for app, _ in chosen:
            if app.wanted.reload is not None and app.wanted.reload.state is ReloadState.RUNNING:
                raise Refusal(409, f"{app.name} is being reloaded already")
        for app, slots in chosen:
            app.reload(slots=slots)

    def delete(self, targets: Iterable[Target]) -> None:
        """Stop it and forget it."""
        self.check_running()
        chosen = list(targets)
        apps = list(dict.fromkeys(target.app for target in chosen))
        for app in apps:
            indexes = {target.index for target in chosen if target.app is app}
            if None not in indexes and indexes != set(app.instances):
                raise Refusal(409, f"only the whole of {app.name} can be deleted; scale makes it smaller")
            if needed := [
                other.name for other in self._supervisor.fleet.dependents(app) if other not in apps
            ]:
                raise Refusal(409, f"{', '.join(needed)} depends on {app.name}")
        for app in apps:
            self._supervisor.fleet.remove(app)

    def scale(self, targets: Iterable[Target], wish: object) -> None:
        """Have that many instances: `4`, `"+1"`, `"-1"` or `"max"` for the CPUs of the container."""
        for app, _ in self._chosen(targets):
            before = app.count
            count = _wished(wish, before, self._supervisor.ecosystem.cpus)
            if count == before == app.wanted.count:
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
        """Send a signal to the main processes; the name of what was sent. Raises Refusal if there is none."""
        if not isinstance(name, str | int):
            raise Refusal(400, "signal: expected a name or a number")
        try:
            number = parse_signal(name)
        except ValueError as error:
            raise Refusal(400, str(error)) from None
        running = [instance for instance in _instances(targets) if instance.process is not None]
        if not running:
            raise Refusal(409, "no process is running there")
        for instance in running:
            instance.signal(number)
            process = instance.life.process
            if instance.state.has_process and process is not None and process.refused:
                raise Refusal(403, process.refused)
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

    def those_that_know(self, action: str, targets: Iterable[Target]) -> list[Target]:
        """All but processes that have announced other actions only: they would never answer."""
        return [
            Target(target.app, instance.index)
            for target in targets
            for instance in target.instances
            if not instance.life.actions or action in instance.life.actions
        ]

    async def trigger(
        self, targets: Iterable[Target], action: str, parameter: object = None
    ) -> list[dict[str, Any]]:
        """Run a PM2-style action in each process and collect the replies (`axm:reply` messages).

        Raises:
            Refusal: nobody can hear it, or knows it.
        """
        targets = list(targets)
        able = self.those_that_know(action, targets)
        if targets and not able:
            known = {name: None for instance in _instances(targets) for name in instance.life.actions}
            raise Refusal(404, f"nobody there has an action {action}; announced: {', '.join(known)}")
        message: object = action if parameter is None else {"msg": action, "opts": parameter}
        asked: list[_Question] = []
        for target in able:
            for instance in target.instances:
                if instance.process is None or not instance.process.send(message):
                    continue
                if self._heard not in target.app.message_listeners:
                    target.app.message_listeners.append(self._heard)
                asked.append(_Question(instance, action, self._loop.create_future()))
        if not asked:
            raise Refusal(409, "no process with an IPC channel is running there")
        self._questions += asked
        try:
            answers = asyncio.wait([question.answer for question in asked])
            await in_time(answers, REPLY_TIME, self._deadlines)
        except TimeoutError:
            pass  # each that has not answered says so
        finally:
            self._questions = [question for question in self._questions if question not in asked]
        return [question.reply() for question in asked]

    # -- helpers ---------------------------------------------------------------------------------------

    def _chosen(self, targets: Iterable[Target]) -> list[tuple[App, list[int] | None]]:
        """Each app that is meant, once, with the slots that are: None is all of it. Raises Refusal (409)."""
        self.check_running()
        chosen: dict[App, set[int] | None] = {}
        for target in targets:
            if target.app.wanted.is_removed:
                raise Refusal(409, f"{target.app.name} is being deleted")
            slots = chosen.setdefault(target.app, set())
            if target.index is None or slots is None:
                chosen[target.app] = None
            else:
                slots.add(target.index)
        return [(app, None if slots is None else sorted(slots)) for app, slots in chosen.items()]

    def check_running(self) -> None:
        """Raise Refusal (409) once a stop is under way."""
        if self._supervisor.phase is not Phase.RUNNING:
            raise Refusal(409, "the runtime is stopping")

    def _heard(self, instance: Instance, value: object) -> None:
        """A reply names its action (PM2's io does); of two questions alike, the first is answered first."""
        if not isinstance(value, dict) or value.get("type") != "axm:reply":
            return
        data = value.get("data")
        reply = data.get("return") if isinstance(data, dict) else data
        named = data.get("action_name") if isinstance(data, dict) else None
        waiting = [each for each in self._questions if each.who == instance.who and not each.answer.done()]
        for question in waiting:
            if named is None or question.action == named:
                question.answer.set_result(reply)
                return

    def _happened(self, happening: Happening) -> None:
        """Who has ended answers nothing any more."""
        if happening.event == "instance.exit":
            for question in self._questions:
                if question.pid == happening.details.get("pid"):
                    question.answer.cancel()


class _Question:
    """A triggered action that one process has not answered yet."""

    def __init__(self, instance: Instance, action: str, answer: "asyncio.Future[object]") -> None:
        self.instance = instance
        self.pid = instance.pid
        self.who = instance.who
        """Whose answer it is: the next life of the slot was asked something else."""
        self.action = action
        self.answer = answer

    def reply(self) -> dict[str, Any]:
        """As the API shows it."""
        shown: dict[str, Any] = {"app": self.instance.app.name, "instance": self.instance.index}
        if self.answer.cancelled():
            return {**shown, "error": "it ended before it answered"}
        if self.answer.done():
            return {**shown, "return": self.answer.result()}
        self.answer.cancel()
        return {**shown, "error": f"no reply within {REPLY_TIME:g} s"}


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
