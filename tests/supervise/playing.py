"""A supervisor whose apps are played on a turned clock."""

from stage import Stage, spec

from pidone.ecosystem.spec import AppSpec, Condition, Dependency, Ecosystem, RuntimeSpec
from pidone.supervise.ending import Ending
from pidone.supervise.supervisor import Supervisor


class Play:
    """A supervisor on a stage; started."""

    def __init__(self, *apps: AppSpec, **runtime: object) -> None:
        self.stage = Stage()
        self.endings: list[Ending] = []
        self.supervisor = Supervisor(
            Ecosystem(apps=apps, runtime=RuntimeSpec().but(**runtime)),
            self.stage.world,
            self.stage.broker,
            count=lambda app: app.instances,
            on_done=self.endings.append,
        )
        self.supervisor.open()
        self.supervisor.start()
        self.after(0)

    def after(self, seconds: float) -> None:
        self.stage.clock.advance(seconds)

    def running(self) -> list[str]:
        return [p.who.app for p in self.stage.launcher.alive()]

    def exit(self, app: str, code: int | None = 0, *, by: int | None = None) -> None:
        self.stage.launcher.of(app).exit(code, signal=by)
        self.after(0)

    @property
    def code(self) -> int | None:
        return self.endings[0].code if self.endings else None


def needs(app: str, condition: Condition = Condition.READY) -> tuple[Dependency, ...]:
    return (Dependency(app=app, condition=condition),)


def job(name: str, **keys: object) -> AppSpec:
    return spec(name, autorestart=False, **keys)
