"""The variables an instance starts with: inherited, then the app's, then those that tell instances apart."""

import os
from collections.abc import Mapping
from typing import Final

from pidone.contracts import InstanceId
from pidone.ecosystem.spec import AppSpec
from pidone.supervise.process.leftovers import MARK

FOR_US: Final = (
    "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "WATCHDOG_PID", "WATCHDOG_USEC",
)  # fmt: skip
"""What we were told by sd_notify(3), sd_listen_fds(3) and sd_watchdog_enabled(3): an app that took it for its
own would speak in our name."""


def environment_of(app: AppSpec, inherited: Mapping[str, str]) -> dict[str, str]:
    """What every process in the name of an app has: as much of ours as it may inherit, and its own.

    Without the variables that are others in each instance.
    """
    env = _inherited(app, inherited)
    if "PWD" in env:  # of whoever started us; many a program takes it for the folder that it is in
        env["PWD"] = app.cwd
    env.update((name, value) for name, value in app.env.items() if name not in app.templates)
    return env


class Environment:
    """Makes environments, and hands out PM2's `pm_id`: one number per slot, over all apps, never reused."""

    def __init__(self, inherited: Mapping[str, str]) -> None:
        """`inherited` is the runtime's own environment."""
        self._inherited = inherited
        self._ids: dict[tuple[str, str, int], int] = {}

    def of(self, app: AppSpec, who: InstanceId) -> dict[str, str]:
        """The environment of one incarnation.

        PM2 exports its whole record of the app as well; apps rely on `NODE_APP_INSTANCE`, `pm_id` and `name`,
        and only those are kept: every other one of them has been seen to shadow somebody's real variable.
        """
        env = environment_of(app, self._inherited)
        env[app.instance_var] = str(who.index)
        env["pm_id"] = str(self.pm_id(app, who.index))
        env["name"] = app.called
        env[MARK] = self.mark(who)
        for name, template in app.templates.items():
            env[name] = template.filled({"app": app.name, "instance": str(who.index)})
        if app.otel:
            from pidone.supervise.process.telemetry import identity  # noqa: PLC0415 (few apps have it)

            env.update(identity(env, who, os.uname().nodename))
        if app.increment_var is not None:
            from pidone.listen.needs import port_variable  # noqa: PLC0415 (few apps have one)

            env.update(port_variable(app, who.index))
        return env

    def pm_id(self, app: AppSpec, index: int) -> int:
        """The number of a slot in PM2's sense."""
        return self._ids.setdefault((*app.key(), index), len(self._ids))

    def slot_of(self, pm_id: int) -> tuple[tuple[str, str], int] | None:
        """Key of the app and index of a number that was given, be the slot still there or not."""
        for (namespace, name, index), number in self._ids.items():
            if number == pm_id:
                return (namespace, name), index
        return None

    @staticmethod
    def mark(who: InstanceId) -> str:
        """What tells the processes of this incarnation from all others."""
        return f"{who.namespace}/{who.app}:{who.index}:{who.incarnation}"


def _inherited(app: AppSpec, inherited: Mapping[str, str]) -> dict[str, str]:
    if app.filter_env is True:
        return {}
    env = dict(inherited)
    for name in (*FOR_US, *app.unset_env):
        env.pop(name, None)
    for part in app.filter_env or ():
        env = {name: value for name, value in env.items() if part not in name}
    return env
