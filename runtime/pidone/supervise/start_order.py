"""Who of all apps may start: what each one waits for, and whether that can still come.

In what order they stop is `ecosystem/stopping.py`, by which `Supervisor._stop_next` goes.
"""

from collections.abc import Callable, Mapping

from pidone.ecosystem.spec import Dependency
from pidone.ecosystem.stopping import AppKey
from pidone.supervise.app import App
from pidone.supervise.collaborators import World
from pidone.supervise.wanted import Run


class StartOrder:
    """The rule, looked at again whenever something has changed."""

    def __init__(self, apps: Mapping[AppKey, App], world: World, held_back: Callable[[App], str]) -> None:
        """`apps` are those of the supervisor, at any time.

        `held_back` tells what else an app waits for, that goes or comes in the place of another one.
        """
        self._apps = apps
        self._held_back = held_back
        self._world = world
        self._blocked: set[App] = set()
        """Waiting apps of which it was told that they wait in vain."""

    def waits(self, app: App) -> bool:
        """Whether it has not begun yet, and still may."""
        return app.wanted.run is Run.WAITING and app not in self._blocked

    def waits_for(self, app: App) -> str:
        """What stands between the wish for an app and what is there, in words; empty if nothing does."""
        if app.wanted.run is not Run.WAITING:
            return app.waits_for or self._held_back(app)
        apps = ", ".join(f"{each.app} to be {each.condition}" for each in self._missing(app))
        return apps or self._held_back(app) or self._world.delegate.waits_for(app)

    def begin(self) -> None:
        """Let those start that wait for nobody any more, and tell of those that wait in vain."""
        self._blocked.intersection_update(self._apps.values())
        for app in [app for app in self._apps.values() if app.wanted.run is Run.WAITING]:
            missing = self._missing(app)
            if not missing:
                self._blocked.discard(app)
                if not self._held_back(app):
                    self._begin_unless_outside(app)
            elif self.waits(app):
                self._tell_if_blocked(app, missing)

    def _tell_if_blocked(self, app: App, missing: list[Dependency]) -> None:
        first = next((needed for needed in missing if not self._may_come(app, needed)), None)
        if first is not None:
            self._blocked.add(app)
            text = f"waits for {first.app} to be {first.condition}, which will not happen"
            self._world.log.event("error", "app.blocked", text, **app.spec.labels())

    def _begin_unless_outside(self, app: App) -> None:
        """Let it start, unless it waits for a service outside."""
        outside = self._world.delegate.outside(app)
        if outside is None or outside.is_there:
            app.begin()
        elif outside.failure:
            app.refuse(outside.failure)

    def _missing(self, app: App) -> list[Dependency]:
        """What an app still waits for. One whose dependency has been removed waits for nobody."""
        found = [(needed, self._dependency(app, needed.app)) for needed in app.spec.depends_on]
        return [
            needed
            for needed, other in found
            if other is not None and (other.wanted.exchange or not other.satisfies(needed.condition))
        ]

    def _dependency(self, app: App, name: str) -> App | None:
        """The app a dependency names, of the same namespace if there is one; None if it is gone."""
        same = self._apps.get((app.spec.namespace, name))
        if same is not None and not same.wanted.is_removed:
            return same
        others = (other for other in self._apps.values() if other.name == name)
        return next((other for other in others if not other.wanted.is_removed), None)

    def _may_come(self, app: App, dependency: Dependency) -> bool:
        other = self._dependency(app, dependency.app)
        if other is None:
            return True
        if other.wanted.exchange is not None:
            return other.wanted.exchange.run is not Run.OFF
        if other.wanted.run is Run.WAITING:
            return other not in self._blocked
        return other.can_satisfy(dependency.condition)
