"""Apps that a file calls otherwise from now on: who goes leaves sockets and place to who comes."""

from collections.abc import Collection, Mapping

from pidone.contracts import Clock
from pidone.ecosystem.spec import AppSpec, Ecosystem
from pidone.ecosystem.stopping import AppKey
from pidone.supervise.app import App, AppObserver
from pidone.supervise.plan import can_overlap


class Succession:
    """Who of the apps goes in favour of whom, for as long as both are there.

    Where the two can serve side by side, the old one goes when the new one is ready, and stays if that never
    is; elsewhere the new one waits for its end, as the new process of a slot would.
    """

    def __init__(self, apps: Mapping[AppKey, App], clock: Clock, observer: AppObserver) -> None:
        """`apps` are all there are, at any time."""
        self._apps = apps
        self._clock = clock
        self._observer = observer
        self._heirs: dict[AppKey, AppKey] = {}
        """Who comes, by who goes."""

    @property
    def leaving(self) -> Collection[AppKey]:
        """Who goes, and may serve until then."""
        return self._heirs.keys()

    def heirs(self, old: Ecosystem, new: Mapping[AppKey, AppSpec]) -> dict[AppKey, AppSpec]:
        """By who is not among the new ones: the one that comes for it, if there is any.

        Who goes is what its processes are, and what the old file said if that did not get ready.
        """
        gone = [app.spec for key, app in self._apps.items() if key not in new]
        gone += [spec for spec in old.apps if spec.key() in self._apps and spec.key() not in new]
        come = [
            spec for key, spec in new.items() if key not in self._apps or self._apps[key].wanted.is_removed
        ]
        come += [new[heir] for heir in self._heirs.values() if heir in new]
        found = ((each.key(), next((heir for heir in come if _is_heir(heir, each)), None)) for each in gone)
        return {key: heir for key, heir in found if heir is not None}

    def settle(self, heirs: Mapping[AppKey, AppSpec]) -> None:
        """These come, and their predecessors go; what an earlier file said about that is over."""
        self._heirs = {key: heir.key() for key, heir in heirs.items()}
        for key, heir in heirs.items():
            app = self._apps[key]
            if not (heir.autostart and can_overlap(heir) and can_overlap(app.spec)):
                app.remove()

    def keep(self, key: AppKey) -> None:
        """This one does not go after all."""
        self._heirs.pop(key, None)

    def look(self) -> None:
        """Let those go whose time has come."""
        for key, heir in tuple(self._heirs.items()):
            app, successor = self._apps.get(key), self._apps.get(heir)
            if app is None:
                del self._heirs[key]
            elif not app.wanted.is_removed and (
                app.is_down
                or successor is None
                or (successor.wanted.exchange or successor.wanted).was_stopped  # so nobody wants either
                or self._is_there(successor)
            ):
                app.remove()

    def waits_for(self, app: App) -> str:
        """What an app waits for that goes or comes, in words; empty if there is nothing."""
        key = app.spec.key()
        for old, heir in self._heirs.items():
            if old == key and not app.wanted.is_removed:
                return f"{heir[1]} to be ready, which takes its place"
            if heir == key and old in self._apps and self._apps[old].wanted.is_removed:
                return f"the end of {old[1]}, whose place it takes"
        return ""

    def _is_there(self, successor: App) -> bool:
        """It is ready, and every instance has been for a while."""
        if not (successor.wanted.is_on and successor.is_ready):
            return False
        since = max((each.online_since for each in successor.instances.values()), default=0.0)
        left = since + successor.spec.settle_time - self._clock.time()
        if left > 0:
            self._clock.call_later(left, lambda: self._observer.app_changed(successor))
        return left <= 0


def _is_heir(new: AppSpec, old: AppSpec) -> bool:
    """The same program, or another one at the same address."""
    ours, theirs = ({(each.kind, each.host, each.port) for each in app.listen} for app in (new, old))
    if ours & theirs:
        return True
    return (new.argv, new.cwd, new.env, new.exec_mode) == (old.argv, old.cwd, old.env, old.exec_mode)
