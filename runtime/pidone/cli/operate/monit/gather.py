"""Asks the runtime, in threads of its own, so that no key ever waits for an answer."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any, Final

from pidone.cli.operate import description
from pidone.cli.operate.client import Client, CommandError
from pidone.cli.operate.monit import actions
from pidone.cli.operate.monit.state import CommandRequest, Description, Snapshot
from pidone.cli.operate.patterns import target_of
from pidone.cli.operate.table import harmless
from pidone.ecosystem.spec import Seconds
from pidone.logs.escape import printable_word
from pidone.logs.fields import fields_of
from pidone.logs.formats.text import in_words
from pidone.record import Record

REFRESH: Final[Seconds] = 1.0
_HISTORY: Final = 120
_STDERR: Final = 12


class Answered(Record):
    """What became of a request."""

    text: str
    style: str


News = Snapshot | Description | Answered


class Gatherer:
    """Polls what there is, and does what is asked for; `tell` is called in its thread."""

    def __init__(self, runtime: Client, tell: Callable[[News], None]) -> None:
        """Nothing is asked yet."""
        self._runtime = runtime
        self._tell = tell
        self._wanted = ""
        self._wake = threading.Event()
        self._requests: queue.SimpleQueue[CommandRequest] = queue.SimpleQueue()
        self._cpu: dict[str, deque[float]] = {}
        self._before: tuple[Seconds, Mapping[str, Any]] | None = None
        self._last = Snapshot()
        self._sees: bool | None = None

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._poll, daemon=True).start()
        threading.Thread(target=self._act, daemon=True).start()

    def describe(self, key: str) -> None:
        """Tell about this app from now on; about none if it is empty."""
        if key != self._wanted:
            self._wanted = key
            self._wake.set()

    def ask(self, request: CommandRequest) -> None:
        """Ask the runtime for a change."""
        self._requests.put(request)

    def _poll(self) -> None:
        while True:
            self._tell(self.look())
            if self._wanted:
                self._tell(self._description(self._wanted))
            self._wake.wait(REFRESH)
            self._wake.clear()

    def look(self) -> Snapshot:
        """How everything is now; if nobody answers, how it was last."""
        try:
            overview = harmless(self._runtime.get("api"))
            apps = tuple(harmless(self._runtime.get("api", "apps")["apps"]))
            container = self._runtime.get("api", "container")
        except CommandError as error:
            why = printable_word(str(error))
            text = f"the runtime does not answer ({why}); q leaves, else this goes on when it is back"
            return self._last.but(trouble=text)
        self._last = Snapshot(
            overview=overview,
            apps=apps,
            container=container,
            rates=self._rates(container),
            cpu=self._history(apps),
        )
        return self._last

    def _rates(self, container: Mapping[str, Any]) -> Mapping[str, float]:
        now, before = (time.monotonic(), container), self._before
        self._before = now
        if before is None or now[0] - before[0] <= 0:
            return {}
        cpu, was = container["cpu"], before[1]["cpu"]
        rates = {}
        if cpu["usage_s"] is not None and was["usage_s"] is not None:
            rates["cpu"] = (
                max(0.0, cpu["usage_s"] - was["usage_s"]) / (now[0] - before[0]) / container["cpus"]
            )
        if periods := cpu["periods"] - was["periods"]:
            rates["throttled"] = (cpu["throttled_periods"] - was["throttled_periods"]) / periods
        return rates

    def _history(self, apps: tuple[Mapping[str, Any], ...]) -> Mapping[str, tuple[float, ...]]:
        seen = set()
        for app in apps:
            key = target_of(app)
            values = {f"{key}:{each['index']}": each["cpu_percent"] or 0.0 for each in app["instances"]}
            for name, value in {**values, key: sum(values.values())}.items():
                self._cpu.setdefault(name, deque(maxlen=_HISTORY)).append(value)
                seen.add(name)
        self._cpu = {name: past for name, past in self._cpu.items() if name in seen}
        return {name: tuple(past) for name, past in self._cpu.items()}

    def _description(self, key: str) -> Description:
        try:
            shown = harmless(description.ask(self._runtime, key, live=self._sees_processes()))
            stderr = self._runtime.get("api", "logs", app=key, err="1", lines=str(_STDERR))["records"]
            env = harmless(self._runtime.get("api", "apps", key, "env")["apps"])
        except CommandError as error:
            return Description(key=key, stderr=(printable_word(str(error)),))
        return Description(
            key=key,
            shown=shown,
            stderr=_counted(filter(None, map(_message, stderr))),
            environment=tuple(sorted(env[0]["env"].items())) if env else (),
        )

    def _sees_processes(self) -> bool:
        if self._sees is None:
            from pidone.cli.operate.live import sees_processes_of

            self._sees = sees_processes_of(self._runtime)
        return self._sees

    def _act(self) -> None:
        while True:
            asked = self._requests.get()
            words = actions.in_words(asked)
            try:
                for target in asked.targets:
                    self._runtime.post("api", "apps", target, asked.verb, body=dict(asked.body) or None)
                self._tell(Answered(f"{words}: the runtime does it", "good"))
            except CommandError as error:
                self._tell(Answered(f"{words}: {printable_word(str(error))}", "bad"))
            self._wake.set()


def _counted(lines: Iterable[str]) -> tuple[str, ...]:
    """Lines that say the same one after the other once, with how often."""
    groups = [(line, len(list(same))) for line, same in groupby(lines)]
    return tuple(line if count == 1 else f"{line} ({count} times)" for line, count in groups)


def _message(record: str) -> str:
    """The words of a record of stderr; those of our own events stand in the timeline."""
    fields = fields_of(record)
    if "stream" not in fields:
        return ""
    hidden = ("app", "instance", "namespace", "pid", "stream", "timestamp", "level")
    return printable_word(in_words({key: value for key, value in fields.items() if key not in hidden}))
