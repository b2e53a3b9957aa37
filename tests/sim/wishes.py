"""What operators and files want, written down by who plays them: nobody asks the runtime."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from pidone.ecosystem.spec import AppSpec, Ecosystem


def _is_same(one: AppSpec, other: AppSpec) -> bool:
    """The same program or port, by whatever name."""
    if one.listen and one.listen == other.listen:
        return True
    return (one.argv, one.cwd, one.exec_mode) == (other.argv, other.cwd, other.exec_mode)


class AppWish:
    """One app."""

    def __init__(self, spec: AppSpec) -> None:
        self.spec = spec
        """As the file that was read last has it."""
        self.earlier: list[AppSpec] = []
        """What it may be instead, if a reload to `spec` has failed."""
        self.slots: list[bool | None] = [spec.autostart] * spec.instances
        """Whether each shall run; None where nobody has a clear word about it."""
        self.is_named = True
        """Whether the file, as far as it counts, has it at all."""
        self.was_started = False
        """By a person, which needs no dependencies."""
        self.unclear: set[int] = set()
        """Slots that somebody has stopped, and that a file which may never have counted did away with."""
        self.most = spec.instances
        """There may be as many until a change of the file is carried out."""
        self.heir = ""
        """The name by which the file calls it now, or what it was before a change that may have failed."""
        self.is_heir_sure = False
        """Whether that is so whatever has become of its last change."""

    def copy(self) -> "AppWish":
        """As it is now."""
        other = AppWish.__new__(AppWish)
        other.__dict__.update(
            self.__dict__, earlier=[*self.earlier], slots=[*self.slots], unclear={*self.unclear}
        )
        return other

    @property
    def is_wanted(self) -> bool | None:
        if not self.is_named:
            return False
        if any(self.slots):
            return True
        return None if None in self.slots else False

    def is_stopped(self, slot: int) -> bool:
        """Whether somebody has stopped it: itself, or the whole app where a file did away with the slot."""
        return self.slots[slot] is False if slot < len(self.slots) else not any(self.slots)


class Wishes:
    """All apps, by name."""

    def __init__(self, ecosystem: Ecosystem) -> None:
        self.ecosystem = ecosystem
        self.apps = {spec.name: AppWish(spec) for spec in ecosystem.apps}
        self.whole_stops = False
        self.hurried = False
        self.put_to_rest: set[str] = set()
        """Instances (`app:slot`) that ran until somebody stopped them, and will start them again."""
        self.signals_failed = False
        self.begun: set[str] = set()
        """Apps that have had a process."""

    def copy(self) -> "Wishes":
        """As they are now."""
        other = Wishes.__new__(Wishes)
        apps = {name: app.copy() for name, app in self.apps.items()}
        changes = {"apps": apps, "put_to_rest": {*self.put_to_rest}, "begun": {*self.begun}}
        other.__dict__.update(self.__dict__, **changes)
        return other

    def read(self, ecosystem: Ecosystem, failed: AbstractSet[str] = frozenset()) -> None:
        """A file was read and taken. Apps that have `failed` to change are to change again."""
        self.ecosystem = ecosystem
        named = {spec.name: spec for spec in ecosystem.apps}
        self._find_heirs(named)
        for name, app in self.apps.items():
            if name not in named:
                app.is_named = False
        for name, spec in named.items():
            known = self.apps.get(name)
            if known is None or not known.is_named:
                fresh = AppWish(spec)
                self.put_to_rest = {each for each in self.put_to_rest if not each.startswith(f"{name}:")}
                self.begun.discard(name)
                if known is not None:
                    fresh.earlier = [*known.earlier, known.spec]
                    fresh.most = max(fresh.most, known.most, len(known.slots))
                    if known.heir and any(known.slots):  # it may have served on, as it was
                        fresh.slots = [
                            (spec.autostart and not known.is_stopped(slot)) or None
                            for slot in range(spec.instances)
                        ]
                self.apps[name] = fresh
            else:
                self._change(known, spec, is_due=name in failed)

    def _find_heirs(self, named: Mapping[str, AppSpec]) -> None:
        """Who comes for those that are not named any more; who came for one stays that."""
        gone = {name: app for name, app in self.apps.items() if name not in named}
        heirs = {app.heir for app in gone.values()}
        come = [
            spec
            for name, spec in named.items()
            if name in heirs or name not in self.apps or not self.apps[name].is_named
        ]
        before = {name: (app.heir, app.is_heir_sure) for name, app in gone.items()}
        for app in gone.values():
            of_now, of_then = (
                next((spec.name for spec in come if any(_is_same(spec, one) for one in specs)), "")
                for specs in ([app.spec], app.earlier)
            )
            app.heir, app.is_heir_sure = of_now or of_then, bool(of_now)
        for name, app in gone.items():
            heir, is_sure = before[name]
            if not app.heir and (heir in named or heir in gone):
                app.heir, app.is_heir_sure = (heir, is_sure) if heir in named else (gone[heir].heir, False)

    def _change(self, app: AppWish, spec: AppSpec, *, is_due: bool) -> None:
        if spec != app.spec:
            app.earlier.append(app.spec)
        differs = is_due or spec.but(instances=app.spec.instances) != app.spec
        app.spec = spec
        most = max(app.most, len(app.slots))
        self._resize(app, spec.instances)
        app.most = max(most, spec.instances)
        if differs:
            app.was_started = False  # what it depends on counts again
            if not any(app.slots):
                app.slots = [None] * len(app.slots)

    def _resize(self, app: AppWish, count: int) -> None:
        new = app.is_wanted
        run_on = range(len(app.slots), app.most)  # nobody has stopped those that an earlier file left
        app.most = count
        gone = {f"{app.spec.name}:{slot}" for slot in range(count, len(app.slots))}
        self.put_to_rest -= gone  # there is nothing left to be started again
        app.unclear |= {slot for slot in range(count, len(app.slots)) if app.slots[slot] is not True}
        added = range(len(app.slots), count)
        unclear = app.unclear if new else run_on
        app.slots = [*app.slots[:count], *(None if slot in unclear else new for slot in added)]

    def rests(self) -> list[str]:
        """Who was put to rest, as far as there is such a slot."""
        counts = {name: len(app.slots) for name, app in self.apps.items() if app.is_named}
        named = (each.partition(":") for each in self.put_to_rest)
        return [f"{name}:{slot}" for name, _, slot in named if int(slot) < counts.get(name, 0)]

    def _meant(self, target: str) -> list[tuple[AppWish, list[int], bool]]:
        """Apps, slots, and whether the whole of each is meant."""
        if target == "all":
            return [(app, list(range(len(app.slots))), True) for app in self.apps.values() if app.is_named]
        name, _, index = target.partition(":")
        app = self.apps.get(name)
        if app is None or not app.is_named:
            return []
        if not index:
            return [(app, list(range(len(app.slots))), True)]
        if int(index) >= len(app.slots):
            app.unclear.add(int(index))
        return [(app, [int(index)], False)] if int(index) < len(app.slots) else []

    def verb(self, verb: str, target: str, *args: object) -> None:
        """An operator asked for it, and was not refused."""
        for app, slots, is_whole in self._meant(target):
            if not is_whole and verb in ("start", "restart", "reload") and app.spec.name not in self.begun:
                app.slots = [None if wanted else wanted for wanted in app.slots]
            if verb in ("start", "restart", "stop"):
                for slot in slots:
                    app.slots[slot] = verb != "stop"
                app.was_started = app.was_started or verb != "stop"
            elif verb == "reload":
                self._reload(app, slots, is_whole=is_whole)
            elif verb == "scale":
                self._resize(app, int(str(args[0])))
            elif verb == "delete":
                self._delete(app)
        if verb == "scale":
            self._scale_leaving(target, int(str(args[0])))

    def _delete(self, app: AppWish) -> None:
        app.is_named = False
        apps = tuple(spec for spec in self.ecosystem.apps if spec.name != app.spec.name)
        self.ecosystem = self.ecosystem.but(apps=apps)

    def _scale_leaving(self, target: str, count: int) -> None:
        """Those that serve on under their old names are meant, too."""
        for name, app in self.apps.items():
            if app.heir and not app.is_named and target in ("all", name):
                app.most = max(app.most, count)

    @staticmethod
    def _reload(app: AppWish, slots: list[int], *, is_whole: bool) -> None:
        app.was_started = True
        if not any(app.slots):
            # Where the file's count is not carried out yet, there may be slots that nobody has stopped: then
            # the app runs, and its reload leaves alone what was stopped.
            clear = is_whole and None not in app.slots and app.most <= len(app.slots)
            app.slots = [True if clear else None] * len(app.slots)
            return
        for slot in slots:
            if app.slots[slot] is not True:
                app.slots[slot] = None
