"""All apps there are, and what a file means for them: who comes, who goes, who becomes another one."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from pidone.contracts import SocketBroker
from pidone.ecosystem.spec import AppSpec, Ecosystem
from pidone.ecosystem.stopping import AppKey, dependencies
from pidone.errors import ListenError, PortTakenError, SilentError
from pidone.supervise.app import App, AppObserver
from pidone.supervise.collaborators import World
from pidone.supervise.instances.incarnation import Numbers
from pidone.supervise.plan import can_overlap
from pidone.supervise.renamed import RenamedApps
from pidone.supervise.revision import change, run_of, same_but_count
from pidone.supervise.wanted import Exchange, Run

_ADVICE: Final = (
    "who goes leaves its sockets to who comes; between two that stay, a port is taken from one by a first "
    "change of the file, and given to the other by a second"
)


class Fleet:
    """The apps by namespace and name. It changes the wishes of apps, and makes and forgets them."""

    def __init__(
        self,
        ecosystem: Ecosystem,
        world: World,
        broker: SocketBroker,
        observer: AppObserver,
        *,
        count: Callable[[AppSpec], int],
    ) -> None:
        """`count` resolves `instances`; `observer` hears of every app."""
        self.ecosystem = ecosystem
        """What the file says, as far as it is applied."""
        self.apps: dict[AppKey, App] = {}
        self._world = world
        self._broker = broker
        self._observer = observer
        self._count = count
        self.renamed = RenamedApps(self.apps, world.clock, observer)
        self._numbers: dict[AppKey, dict[int, Numbers]] = {}
        """Of every slot there ever was: no incarnation has the number of another one."""

    def open(self) -> None:
        """Bind every listening socket, before anything is started. Raises ListenError.

        One whose file system does not answer is asked for again when its app is started, which tells.
        """
        for spec in self.ecosystem.apps:
            with suppress(SilentError):
                self._broker.open(spec)

    def begin(self) -> None:
        """Every app of the file is there from now on, and waits for its turn to start."""
        for spec in self.ecosystem.apps:
            self._bring(spec)

    def ordered(self) -> list[AppSpec]:
        """What runs, in the order of the file that is applied, whichever version of it an app has reached."""
        named = {spec.key(): spec for spec in self.ecosystem.apps}
        return [
            app.spec.but(depends_on=named.get(key, app.spec).depends_on) for key, app in self.apps.items()
        ]

    def dependents(self, app: App) -> list[App]:
        """Who waits for this app when everything starts."""
        key = app.spec.key()
        graph = dependencies(other.spec for other in self.apps.values())
        return [other for other in self.apps.values() if key in graph[other.spec.key()]]

    def remove(self, app: App) -> None:
        """Stop an app and forget it, as if the file had never named it. Nothing may depend on it."""
        key = app.spec.key()
        self.ecosystem = self.ecosystem.but(
            apps=tuple(spec for spec in self.ecosystem.apps if spec.key() != key)
        )
        app.remove()

    def exchange(self, changed: Iterable[AppKey]) -> None:
        """Put the new spec in the place of an app that has ended for it; drop what nobody wants any more."""
        for key in tuple(changed):
            app = self.apps.get(key)
            if app is None or not (app.wanted.exchange or app.wanted.is_removed) or not app.is_down:
                continue
            exchange = app.wanted.exchange
            if exchange is not None:
                self._add(exchange, before=app)
            else:
                self._broker.close(app.spec)
                del self.apps[key]
                self._world.log.forget(key)

    def apply(self, ecosystem: Ecosystem) -> None:
        """Want what a re-read file says, touching only what differs.

        Raises ListenError if a socket cannot be opened; nothing has changed then.
        """
        new = {spec.key(): spec for spec in ecosystem.apps}
        renamed = self.renamed.found(self.ecosystem, new)
        waiting = self._open_instead(ecosystem, renamed)
        self.ecosystem, before = ecosystem, self.ecosystem
        present = {key: app.wanted.aim for key, app in self.apps.items() if not app.wanted.is_removed}
        removed = [key for key in present if key not in new]
        added = [key for key in new if key not in present]
        changed = [key for key in present if key in new and not same_but_count(present[key], new[key])]
        scaled = []
        self.renamed.settle(renamed, apart=waiting)
        for key in removed:
            if key not in renamed:
                self.apps[key].remove()
        for key, spec in new.items():
            count = self._count(spec)
            if key in added:
                self._bring(spec)
            elif key in changed:
                change(self.apps[key], spec, count, beside=key not in waiting)
            else:
                if count != self.apps[key].count:
                    scaled.append(key)
                self.apps[key].scale(count, spec)
        removed = [spec.key() for spec in before.apps if spec.key() in removed]  # others had been told of
        left = len(before.apps) - len(removed) - len(changed) - len(scaled)
        self._tell("the ecosystem was read again", added, removed, changed, scaled, left)

    def resize(self, cpus: int, *, follow: bool) -> None:
        """The container may use so many CPUs from now on: `instances = "max"` follows."""
        before, self.ecosystem = self.ecosystem.cpus, self.ecosystem.but(cpus=cpus)
        changed = f"the container may use {cpus} CPUs instead of {before}"
        log = self._world.log
        log.event("info", "host.resize", changed, resource="cpus", previous=before, now=cpus)
        for app in self.apps.values() if follow else ():
            spec, count = app.wanted.aim, app.count
            wanted = self._count(spec)
            if spec.instances <= 0 and spec.max_follows and count == spec.count(before) != wanted:
                app.scale(wanted)  # what somebody has scaled otherwise stays
                message = f"from {count} to {wanted} instances: {changed}"
                log.event("info", "app.scale", message, **spec.labels(), instances=wanted, previous=count)

    def lay_over(self, specs: Sequence[AppSpec], *, at_once: bool) -> tuple[list[AppKey], list[AppKey]]:
        """Want these apps beside those of other names, touching only what differs.

        What differs is ended and started `at_once`, or replaced without a gap where that is possible. A scale
        that somebody has asked for stays, unless the file's own number is another one. Returns who is new and
        who has changed. Raises ListenError if a socket cannot be opened; nothing has changed then.
        """
        present = {key: app.wanted.aim for key, app in self.apps.items() if not app.wanted.is_removed}
        named = {key: spec for key, spec in present.items() if key not in self.renamed.leaving}
        ecosystem = self.ecosystem.but(apps=tuple({**named, **{spec.key(): spec for spec in specs}}.values()))
        waiting = self._open_instead(ecosystem, {})
        self.ecosystem = ecosystem
        added, changed, scaled = [], [], []
        for spec in specs:
            key = spec.key()
            self.renamed.keep(key)
            before = present.get(key)
            if before is None:
                added.append(key)
                self._bring(spec)
            elif not same_but_count(before, spec):
                changed.append(key)
                same_count = spec.instances == before.instances
                count = self.apps[key].count if same_count else self._count(spec)
                apart = at_once or key in waiting
                self._exchange_on_request(self.apps[key], Exchange(spec, count, Run.ON), at_once=apart)
            elif spec.instances != before.instances:
                scaled.append(key)
                self.apps[key].scale(self._count(spec), spec)
        left = len(specs) - len(added) - len(changed) - len(scaled)
        self._tell("a file was read on request", added, [], changed, scaled, left)
        return added, changed

    def _exchange_on_request(self, app: App, new: Exchange, *, at_once: bool) -> None:
        runs = app.wanted.is_on and not app.is_down
        if runs and not at_once and can_overlap(app.spec) and can_overlap(new.spec):
            app.reload(spec=new.spec, count=new.count)
        else:
            app.become(new)

    def _open_instead(self, ecosystem: Ecosystem, renamed: Mapping[AppKey, AppSpec]) -> Collection[AppKey]:
        """Bind the sockets of a re-read file; on ListenError everything is as it was.

        `renamed` are new apps by the old ones, whose sockets they get. Returns whose sockets cannot be bound
        before the processes of the same app, or of the old one, have gone: they listen there themselves.
        """
        old = {spec.key(): self.apps[key] for key, spec in renamed.items()}
        waiting = set()
        try:
            for spec in ecosystem.apps:
                before = old.get(spec.key())
                holders = _processes(self.apps.get(spec.key()), before)
                if self._broker.open(spec, None if before is None else before.spec, holders):
                    waiting.add(spec.key())
        except ListenError as error:
            present = {key: app.wanted.aim for key, app in self.apps.items()}
            for spec in ecosystem.apps:
                if spec.key() not in present:
                    self._broker.close(spec)
            for key, spec in present.items():
                self._broker.open(spec, leaving=_processes(self.apps[key]))
            if isinstance(error, PortTakenError):
                raise PortTakenError(f"{error}; {_ADVICE}", *error.args[1:]) from None
            raise
        return waiting

    def _tell(
        self,
        message: str,
        added: Sequence[AppKey],
        removed: Sequence[AppKey],
        changed: Sequence[AppKey],
        scaled: Sequence[AppKey],
        unchanged: int,
    ) -> None:
        told = {"added": added, "removed": removed, "changed": changed, "scaled": scaled}
        names = {kind: [name for _, name in keys] for kind, keys in told.items()}
        self._world.log.event("info", "config.reload", message, **names, unchanged=unchanged)

    def _bring(self, spec: AppSpec) -> None:
        """It is new, or on its way out and shall come back."""
        fresh = Exchange(spec, self._count(spec), run_of(spec))
        if spec.key() in self.apps:
            self.apps[spec.key()].become(fresh)
        else:
            self._add(fresh)

    def _add(self, app: Exchange, before: App | None = None) -> None:
        key = app.spec.key()
        numbers = self._numbers.setdefault(key, {})
        self.apps[key] = App(app.spec, app.count, self._world, self._observer, numbers)
        self.apps[key].take_over(app, before)


def _processes(*apps: App | None) -> list[int]:
    """The main processes of these."""
    members = (member for app in apps if app is not None for member in app.members())
    return [member.pid for member in members if member.pid is not None]
