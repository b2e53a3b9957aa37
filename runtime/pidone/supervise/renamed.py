"""Apps that a file calls otherwise from now on: who goes leaves sockets and place to who comes."""

from collections.abc import Collection, Mapping

from pidone.contracts import Clock
from pidone.ecosystem.spec import AppSpec, Ecosystem
from pidone.ecosystem.stopping import AppKey
from pidone.supervise.app import App, AppObserver
from pidone.supervise.plan import can_overlap


class RenamedApps:
    """Which old app goes in favour of which new one, for as long as both are there.

    Where the two can serve side by side, the old one goes when the new one is ready, and stays if that never
    is; elsewhere the new one waits for its end, as the new process of a slot would.
    """

    def __init__(self, apps: Mapping[AppKey, App], clock: Clock, observer: AppObserver) -> None:
        """`apps` are all there are, at any time."""
        self._apps = apps
        self._clock = clock
        self._observer = observer
        self._new_of: dict[AppKey, AppKey] = {}
        """The new app, by the old one."""

    @property
    def leaving(self) -> Collection[AppKey]:
        """Who goes, and may serve until then."""
        return self._new_of.keys()

    def found(self, old: Ecosystem, new: Mapping[AppKey, AppSpec]) -> dict[AppKey, AppSpec]:
        """By each app that is not among the new ones: the one that it is called now, if there is any.

        Who goes is what its processes are, and what the old file said if that did not get ready.
        """
        gone = [app.spec for key, app in self._apps.items() if key not in new]
        gone += [spec for spec in old.apps if spec.key() in self._apps and spec.key() not in new]
        come = [
            spec for key, spec in new.items() if key not in self._apps or self._apps[key].wanted.is_removed
        ]
        come += [new[key] for key in self._new_of.values() if key in new]
        pairs = (
            (each.key(), next((spec for spec in come if _is_renamed(each, spec)), None)) for each in gone
        )
        found = {key: spec for key, spec in pairs if spec is not None}
        for key, becomes in self._new_of.items():  # under way: whatever has become of the new one
            spec = new.get(becomes) or found.get(becomes)
            if spec is not None and key in self._apps and key not in new:
                found.setdefault(key, spec)
        return found

    def settle(self, renamed: Mapping[AppKey, AppSpec], *, apart: Collection[AppKey]) -> None:
        """These come, and the old ones go; what an earlier file said about that is over.

        Of those that come, `apart` cannot serve beside the old one.
        """
        self._new_of = {key: spec.key() for key, spec in renamed.items()}
        for key, spec in renamed.items():
            app = self._apps[key]
            if spec.key() in apart or not (spec.autostart and can_overlap(spec) and can_overlap(app.spec)):
                app.remove()

    def keep(self, key: AppKey) -> None:
        """This one does not go after all."""
        self._new_of.pop(key, None)

    def look(self) -> None:
        """Let those go whose time has come."""
        for key, becomes in tuple(self._new_of.items()):
            old, new = self._apps.get(key), self._apps.get(becomes)
            if old is None:
                del self._new_of[key]
            elif not old.wanted.is_removed and (
                not old.wanted.is_on  # it serves nobody
                or old.is_down
                or new is None
                or (new.wanted.exchange or new.wanted).was_stopped  # so nobody wants either
                or self._is_there(new)
            ):
                old.remove()

    def waits_for(self, app: App) -> str:
        """What an app waits for that goes or comes, in words; empty if there is nothing."""
        key = app.spec.key()
        for old, new in self._new_of.items():
            if old == key and not app.wanted.is_removed:
                return f"{new[1]} to be ready, which takes its place"
            if new == key and old in self._apps and self._apps[old].wanted.is_removed:
                return f"the end of {old[1]}, whose place it takes"
        return ""

    def has_to_wait(self, app: App) -> bool:
        """Whether it cannot start yet, whoever wants it to: who has its place cannot serve beside it."""
        if not self._new_of or not app.wanted.is_on or not app.actual.is_final:
            return False
        olds = (self._apps.get(old) for old, new in self._new_of.items() if new == app.spec.key())
        return any(
            old.wanted.is_removed and not (can_overlap(old.spec) and can_overlap(app.spec))
            for old in olds
            if old is not None
        )

    def _is_there(self, new: App) -> bool:
        """It is ready, and every instance has been for a while."""
        if not (new.wanted.is_on and new.is_ready):
            return False
        since = max((each.online_since for each in new.instances.values()), default=0.0)
        left = since + new.spec.settle_time - self._clock.time()
        if left > 0:
            self._clock.call_later(left, lambda: self._observer.app_changed(new))
        return left <= 0


def _is_renamed(old: AppSpec, new: AppSpec) -> bool:
    """The same program, or another one at the same address."""
    ours, theirs = ({(each.kind, each.host, each.port) for each in app.listen} for app in (new, old))
    if ours & theirs:
        return True
    return (new.argv, new.cwd, new.env, new.exec_mode) == (old.argv, old.cwd, old.env, old.exec_mode)
