"""A replacement played on a turned clock."""

from typing import Any

from stage import FakeProcess, Stage, Turns, spec

from pidone.ecosystem.spec import AppSpec, ExecMode, Readiness
from pidone.record import Record
from pidone.supervise.app import App
from pidone.supervise.instances.states import State
from pidone.supervise.wanted import Replacement


class Outcome(Record):
    """How a replacement ended, as it was told."""

    replaced: int
    failure: str = ""


class Play:
    """A cluster app, started and online."""

    def __init__(self, count: int = 3, *, says_ready: bool = True, **keys: Any) -> None:
        self.stage = Stage()
        keys = {"exec_mode": ExecMode.CLUSTER, "ready": Readiness(ipc=True), **keys}
        self.spec: AppSpec = spec("app", instances=count, **keys)
        self.app = App(self.spec, count, self.stage.world, Turns(self.stage.clock))
        self.app.start()
        self.after(0)
        for process in list(self.alive()):
            if says_ready:
                process.report.ready("ipc")
        self.after(1.0)

    def after(self, seconds: float) -> None:
        self.stage.clock.advance(seconds)

    def alive(self) -> list[FakeProcess]:
        return self.stage.launcher.alive()

    def reload(self, **keys: Any) -> None:
        self.app.replace(Replacement(reason="reload", **keys))
        self.after(0)

    @property
    def outcomes(self) -> list[Outcome]:
        told = [e for e in self.stage.log.events if e["event"] in ("app.reloaded", "app.reload_failed")]
        return [
            Outcome(e["replaced"], e["message"] if e["event"] == "app.reload_failed" else "") for e in told
        ]

    @property
    def newest(self) -> FakeProcess:
        return self.stage.launcher.last

    def serving(self) -> int:
        """Instances that are online."""
        return sum(i.state is State.ONLINE for i in self.app.instances.values())

    def told_to_stop(self) -> list[tuple[int, int]]:
        return [(p.who.index, p.who.incarnation) for p in self.alive() if p.signals]
