"""Why and with which code the container ends."""

from collections.abc import Collection

from pidone.init.exitcodes import ExitCode
from pidone.record import Record
from pidone.supervise.app import App
from pidone.supervise.instances.restart import Fate


class Ending(Record):
    """Why and how the container ends."""

    code: int
    reason: str
    """A stable word: `signal`, `completed`, `app`, `gave-up`, `essential`, `deadline`, `stdout`, `idle`."""
    message: str = ""
    app: str | None = None

    @property
    def is_abnormal(self) -> bool:
        """Whether somebody should look at it."""
        return self.code != ExitCode.OK


def over(apps: Collection[App]) -> Ending:
    """Nothing is left to run: how that is to be called."""
    failed = [app for app in apps if app.actual.has_given_up]
    if failed:
        last = max(
            failed, key=lambda app: max(i.life.started_at + i.life.uptime for i in app.instances.values())
        )
        gave_up = [app for app in failed if any(i.fate is Fate.GAVE_UP for i in app.instances.values())]
        return ended_by(gave_up[-1] if gave_up else last, "app")
    if any(app.ended_by_itself for app in apps):
        return Ending(ExitCode.OK, "completed", "every app has completed")
    return Ending(ExitCode.OK, "idle", "nothing is left to run")


def ended_by(app: App, reason: str) -> Ending:
    """The end of this app is that of the container."""
    ended = [i for i in app.instances.values() if i.fate not in (None, Fate.COMPLETED)]
    if not ended:
        return Ending(ExitCode.OK, reason, f"{app.name} has completed", app.name)
    instance = ended[-1]
    status = instance.last_exit
    code = status.shell_code if status else ExitCode.INTERNAL
    how = str(status) if status else "nothing to tell"
    if instance.fate is Fate.GAVE_UP:
        message = f"{app.name}: {instance.reason}"
        if status is not None:
            message += f"; the last end was {how}"
        return Ending(ExitCode.GAVE_UP, "gave-up", message, app.name)
    return Ending(code, reason, f"{app.name} ended with {how}", app.name)
