"""What must hold, whatever happens: at every signal and spawn, after every turn and step, at rest."""

import signal
from collections.abc import Iterable, Iterator
from typing import Final

from sim.adapter import AppFacts, InstanceFacts, Runtime
from sim.kernel import Proc
from sim.setups import BROKEN
from sim.wishes import AppWish, Wishes
from sim.world import World

from pidone.ecosystem.spec import AppSpec, Condition, ExecMode, OnReadyTimeout
from pidone.record import Record

FINAL: Final = ("stopped", "errored", "completed")
_ON_THE_WAY: Final = ("backoff", "preparing", "starting", "stopping", "draining", "leaving")
_ENDING: Final = ("leaving", "draining", "stopping")
_EARLY: Final = 0.001


class Violation(Record):
    """Something that must not be."""

    at: float
    what: str
    """A stable word."""
    text: str

    def __str__(self) -> str:
        return f"t={self.at:g} {self.what}: {self.text}"


class ViolationError(BaseException):
    """Ends a history that has shown a violation, whatever the runtime would do about an exception."""


def can_overlap(app: AppSpec) -> bool:
    """Whether two processes of one slot can serve at the same time."""
    shares = app.exec_mode is ExecMode.CLUSTER or bool(app.listen) or app.share is not None
    return shares and app.max_surge > 0


class Main:
    """What is known of a main process."""

    def __init__(self, proc: Proc, spec: AppSpec, born: float) -> None:
        self.proc = proc
        self.spec = spec
        self.born = born
        slot, _, incarnation = proc.mark.rpartition(":")
        self.app, _, index = slot.partition("/")[2].rpartition(":")
        self.index, self.incarnation = int(index), int(incarnation)
        self.asked_at: float | None = None
        """To drain or to stop."""
        self.heard_at: float | None = None
        """To stop."""
        self.is_free = False
        """Somebody asked for something that may leave a gap here."""

    def __str__(self) -> str:
        return f"{self.app}:{self.index} (life {self.incarnation}, pid {self.proc.pid})"


class Judge:
    """The witness of one history."""

    def __init__(self, wishes: Wishes) -> None:
        self.wishes = wishes
        self.violations: list[Violation] = []
        self.failed: set[str] = set()
        """Apps of which a reload was called off: they may be what they were before."""
        self.is_overdue = False
        """The runtime says that the time for the whole stop is up."""
        self._doubtful: list[Main] = []
        """Started in this instant."""
        self._was_leaving: set[str] = set()
        """Marks of those whose hook before a stop ran already when the stop of the whole began."""
        self._mains: dict[str, Main] = {}
        """By mark."""
        self._world: World
        self._runtime: Runtime

    def attend(self, world: World, runtime: Runtime) -> None:
        """This is what to watch."""
        self._world, self._runtime = world, runtime
        world.complain = self.complain

    def complain(self, what: str, text: str) -> None:
        self.violations.append(Violation(self._world.loop.now, what, text))

    def live(self, app: str | None = None) -> list[Main]:
        """Main processes that live, of an app or of all."""
        mains = self._mains.values()
        return [each for each in mains if each.proc.code is None and (app is None or app == each.app)]

    def free(self, app: str, slots: list[int]) -> None:
        """Something was asked for that may leave a gap."""
        for each in self.live(app):
            if each.index in slots:
                each.is_free = True

    def whole_stops(self) -> None:
        """The runtime says that it stops, and has not asked anybody to yet."""
        self._was_leaving = {
            f"default/{name}:{each.index}:{each.incarnation}"
            for name, app in self._runtime.apps().items()
            for each in app.instances
            if each.state == "leaving"
        }

    # -- as a witness ----------------------------------------------------------------------------------

    def spawned(self, proc: Proc) -> None:
        if proc.role != "main":
            return
        spec = self._world.broker.preparing
        assert spec is not None
        before = self._mains.get(proc.mark)
        main = Main(proc, spec, self._world.loop.now)
        if before is not None and before.proc.alive:
            self.complain("mark", f"{main} has the mark of a process that lives: pid {before.proc.pid}")
        others = [each for each in self.live(main.app) if each.index == main.index]
        self._mains[proc.mark] = main
        if others and not can_overlap(spec):
            self.complain("two", f"{main} beside {', '.join(map(str, others))}")
        elif others:
            surplus = self._surplus(main.app)
            most = max(each.spec.max_surge for each in self.live(main.app))  # of a change that is under way
            if surplus > most:
                self.complain("surge", f"{main}: {surplus} more than one in a slot; max_surge {most}")
        self._doubtful.append(main)

    def _surplus(self, app: str) -> int:
        lives = self.live(app)
        return len(lives) - len({each.index for each in lives})

    def _check_wish(self, main: Main) -> None:
        """Of one that was started; who is told to stop in the same instant was overtaken by the wish."""
        if main.asked_at is not None or not main.proc.alive or self._state_of(main) in _ENDING:
            return
        if self._runtime.phase not in ("NEW", "RUNNING", "LINGERING"):
            if not self._is_needed(main):
                self.complain("late", f"{main} is started in phase {self._runtime.phase}")
            return
        app = self.wishes.apps.get(main.app)
        if app is None or not (app.is_named or self._has_heir(app)):
            self.complain("unwanted", f"{main} is started, and nobody has named it")
        elif not app.is_named:
            return  # it serves on, with as many as somebody has said
        elif main.app in self.failed:
            return
        elif main.index >= app.most:
            self.complain("unwanted", f"{main} is started, where {len(app.slots)} are wanted")
        elif main.index < len(app.slots) and app.slots[main.index] is False:
            self.complain("unwanted", f"{main} is started, but somebody has stopped it")

    def is_replaced(self, main: Main) -> bool:
        """Whether another one holds its slot already."""
        fact = self._fact_of(main)
        return fact is not None and fact.place == "leaving"

    def _state_of(self, main: Main) -> str:
        """What the runtime says of it; a hook before its stop runs while it is `leaving`."""
        fact = self._fact_of(main)
        return "" if fact is None else fact.state

    def _fact_of(self, main: Main) -> InstanceFacts | None:
        app = self._runtime.app(main.app)
        members = app.instances if app is not None else ()
        same = (each for each in members if (each.index, each.incarnation) == (main.index, main.incarnation))
        return next(same, None)

    def asked(self, proc: Proc, what: str) -> None:
        main = self._mains.get(proc.mark)
        if main is None:
            return
        now = self._world.loop.now
        if main.asked_at is None:
            main.asked_at = now
            self._check_capacity(main)
            self._check_order(main)
        if what != "drain" and main.heard_at is None:
            main.heard_at = now

    def signalled(self, proc: Proc, number: int) -> None:
        main = self._mains.get(proc.mark)
        if main is None:
            return
        if number == signal.SIGKILL:
            if proc is main.proc and proc.alive:
                self._check_kill(main)
        elif number == main.spec.kill_signal and proc.alive and not self._is_leftover(main, proc):
            self.asked(proc, "signal")

    @staticmethod
    def _is_leftover(main: Main, proc: Proc) -> bool:
        return proc is not main.proc and not main.proc.alive

    def ended(self, proc: Proc) -> None: ...

    def _check_capacity(self, main: Main) -> None:
        app = self.wishes.apps.get(main.app)
        program = self._world.programs[main.proc.mark]
        if main.is_free or not program.online or app is None:
            return
        if "pre_stop" in main.spec.hooks:
            return  # it was decided when the hook began, and who serves instead may have ended since
        if program.behaviour.unhealthy_after is not None or main.spec.max_memory_restart is not None:
            return  # who is sick may go at once, and who does not fit its limit is ended
        self._check_heir(main, app)
        if not self._counts(main, app):
            return
        if main.born == self._world.loop.now:
            return  # what calls it off was decided before it was there: nobody could count on it yet
        for other in self._mains.values():
            if (other.app, other.index) != (main.app, main.index) or other is main:
                continue
            if not self._is_there(other):
                continue
            if self._world.programs[other.proc.mark].online and other.asked_at is None:
                return
        self.complain("capacity", f"{main} has to leave, and nobody serves in its place")

    def _check_heir(self, main: Main, app: AppWish) -> None:
        """Of an app that another one comes for, which is wanted: one of the two serves."""
        heir = None if app.is_named else self._heir(app)
        if heir is None:
            return
        name, is_wanted = heir.spec.name, all(slot is True for slot in heir.slots)
        if not (
            self._runtime.is_running
            and is_wanted
            and app.is_heir_sure
            and name not in self.failed
            and all(map(can_overlap, (heir.spec, app.spec, *app.earlier)))
        ):
            return
        there = [
            each
            for each in self._mains.values()
            if each.app in (name, main.app) and each is not main and self._is_there(each)
        ]
        if not any(self._world.programs[each.proc.mark].online for each in there):
            self.complain("capacity", f"{main} has to leave, and {name}, which comes for it, is not there")

    def _is_there(self, main: Main) -> bool:
        """As far as anybody can know: not dead, or not buried yet; itself, or whom it has named instead."""
        procs, said = self._world.kernel.procs, self._world.programs[main.proc.mark].new_main
        itself = procs.get(main.proc.pid) is main.proc
        return itself or (said is not None and procs.get(said.pid) is said)

    def _counts(self, main: Main, app: AppWish) -> bool:
        return (
            self._runtime.is_running
            and app.is_named
            and main.index < len(app.slots)
            and app.slots[main.index] is True
            and all(can_overlap(spec) for spec in (main.spec, app.spec, *app.earlier))
        )

    def _check_order(self, main: Main) -> None:
        others = (each for each in self.live(main.app) if each is not main and each.index == main.index)
        if any(each.asked_at is None for each in others):
            return  # it is one of two, and the other serves on
        if self._world.programs[main.proc.mark].behaviour.unhealthy_after is not None:
            return  # who does not work is no use to anybody
        is_ready = self._world.programs[main.proc.mark].online
        if main.spec.on_ready_timeout is OnReadyTimeout.FAIL and not is_ready:
            return  # nor is who does not get ready: `ready_timeout` ends it, whoever waits for it
        wish = self.wishes.apps.get(main.app)
        if wish is not None and wish.is_stopped(main.index):
            return  # somebody has stopped it, whoever depends on it: the last word is theirs
        if main.proc.mark in self._was_leaving:
            return  # it was decided when its hook began
        if self._runtime.phase == "STOPPING" and self.is_orderly and (up := self._dependents(main)):
            self.complain("order", f"{main} is stopped before {up[0]}, which depends on it")

    def _is_needed(self, main: Main) -> bool:
        """Whether anything is left of who depends on it, and may need it until its own end."""
        there = [each.mark for each in self._world.kernel.procs.values()]
        # Deleted ones live on, and what they have left behind.
        specs = (
            *self.wishes.ecosystem.apps,
            *(self._mains[mark].spec for mark in there if mark in self._mains),
        )
        names = {each.name for each in specs for d in each.depends_on if d.app == main.app}
        left = (mark.partition("/")[2].rpartition(":") for mark in there)
        if any(slot.rpartition(":")[0] in names for slot, _, _ in left):
            return True
        facts = map(self._runtime.app, names)
        return any(each.state not in FINAL for app in facts if app is not None for each in app.instances)

    def _dependents(self, main: Main) -> list[Main]:
        """Who lives and depends on it, as the file says and the spec it was started from."""
        return [
            each
            for spec in self.wishes.ecosystem.apps
            if any(dependency.app == main.app for dependency in spec.depends_on)
            for each in self.live(spec.name)
            if any(dependency.app == main.app for dependency in each.spec.depends_on)
        ]

    def _check_kill(self, main: Main) -> None:
        if not self.is_orderly or self.wishes.signals_failed:
            return
        if main.heard_at is None:
            self.complain("unheard", f"{main} is killed and was never asked to stop")
            return
        if self.is_overdue and any(each.behaviour.extends for each in self._world.programs.values()):
            return  # the whole gets more time once: who asks for ever takes it from those he depends on
        app = self.wishes.apps.get(main.app)
        specs = [main.spec, *([app.spec, *app.earlier] if app else [])]
        patience = min(spec.kill_timeout for spec in specs)
        # Without a time of its own, a drain is part of `kill_timeout`.
        shares = any(spec.drain_timeout is None for spec in specs)
        begun = main.asked_at if shares and main.asked_at is not None else main.heard_at
        had = self._world.loop.now - begun
        if had < patience - _EARLY:
            self.complain("early", f"{main} is killed after {had:g} s of its {patience:g} s")

    def said_to_be_killed(self, app: str, index: int, why: str) -> None:
        """A deadline is judged after whatever has happened by then, be it told late or not at all."""
        slot = f"default/{app}:{index}:"
        if why.startswith("still there") and not any(
            proc.alive and proc.mark.startswith(slot) for proc in self._world.kernel.procs.values()
        ):
            self.complain("dead", f"{app}:{index} is {why}, and had ended")

    def said_to_be_late(self) -> None:
        """The time of the whole stop is up."""
        self.is_overdue = True
        if not any(proc.alive for proc in self._world.kernel.procs.values()):
            self.complain("dead", "the time of the stop is up, and everybody had ended")

    @property
    def is_orderly(self) -> bool:
        """Whether nobody has set a time for the whole stop, or asked twice."""
        return not self.wishes.hurried and self.wishes.ecosystem.runtime.shutdown_timeout is None

    # -- after a turn, a step, and at rest ---------------------------------------------------------------

    def after_turn(self) -> None:
        if self._doubtful and self._world.loop.next_due != self._world.loop.now:
            doubtful, self._doubtful = self._doubtful, []
            for main in doubtful:
                self._check_wish(main)
        if errors := self._world.loop.errors:
            for error in errors:
                self.complain("raised", error)
            errors.clear()
        if self.violations:
            raise ViolationError

    def after_step(self) -> None:
        if self._runtime.is_running:
            for app in self._runtime.apps().values():
                slots = app.slots.values()
                if not app.wanted and (online := [each for each in slots if each.state == "online"]):
                    self.complain("wanted", f"{app.name}:{online[0].index} is online with wanted: false")
                self._check_main_pids(app.name, slots)
            for text in self._runtime.neglected():
                self.complain("neglected", text)
        self.after_turn()

    def _check_main_pids(self, app: str, slots: Iterable[InstanceFacts]) -> None:
        for each in slots:
            if each.state not in ("online", "starting"):
                continue
            main = self._mains.get(f"default/{app}:{each.index}:{each.incarnation}")
            if main is None or not main.proc.alive:
                continue
            said = self._world.programs[main.proc.mark].new_main
            if said is None or not said.alive or each.pid == said.pid:
                continue
            if not self._world.kernel.has_failed("descriptors"):
                self.complain("main", f"{main}: MAINPID={said.pid} was said, and pid {each.pid} counts")

    def at_rest(self, *, complain: bool) -> bool:
        """Nothing was asked for for a while, and nothing goes wrong: whether all is as it is wanted."""
        differences = list(self._at_rest())
        for text in differences if complain else ():
            self.complain("rest", text)
        self.after_turn()
        return not differences

    def _at_rest(self) -> Iterator[str]:
        facts = self._runtime.apps()
        for name, wish in self.wishes.apps.items():
            yield from self._differences(wish, facts.get(name))
        for main in self.live():
            fact = facts.get(main.app)
            if not any(
                each.incarnation == main.incarnation and each.index == main.index
                for each in (fact.instances if fact else ())
            ):
                yield f"{main} lives, and is no instance"

    def _differences(self, wish: AppWish, fact: AppFacts | None) -> Iterator[str]:
        name = wish.spec.name
        if not wish.is_named:
            if fact is not None and not self._has_heir(wish):
                yield f"{name} is there, and nobody has named it"
            return
        if fact is None:
            yield f"{name} is not there"
            return
        slots = fact.slots
        counts = name not in self.failed and wish.is_wanted and not self._waits(wish)
        if len(slots) != len(wish.slots) and counts:
            yield f"{name} has {len(slots)} instances instead of {len(wish.slots)}"
            return
        by_the_clock = wish.spec.max_age is not None or wish.spec.cron_restart is not None
        if not by_the_clock and any(
            each.place != "slot" and each.state not in FINAL for each in fact.instances
        ):
            yield f"{name}: somebody still arrives or leaves: {_states(fact)}"
        specs = [each.spec.but(instances=1) for each in slots.values() if each.state == "online"]
        if name not in self.failed and any(spec != specs[0] for spec in specs):
            yield f"{name}: instances of several specs: {[spec.argv for spec in specs]}"
        if name not in self.failed and specs and specs[0] != wish.spec.but(instances=1):
            yield f"{name} is not what the file says: {specs[0].argv} and {wish.spec.argv}"
        for index, wanted in enumerate(self._clear_slots(wish, fact)):
            if (each := slots.get(index)) is not None and wanted is not None:
                yield from self._slot(wish, each, wanted=wanted)

    def _has_heir(self, wish: AppWish) -> bool:
        """Whether another one comes in its place that is not ready, or has only just got so: it serves on."""
        heir = self._heir(wish)
        if heir is None or heir.is_wanted is False:
            return False
        fact = self._runtime.app(heir.spec.name)
        if fact is None:
            return False
        settled = self._world.loop.now - heir.spec.settle_time
        return any(each.state != "online" or each.online_since >= settled for each in fact.slots.values())

    def _heir(self, wish: AppWish) -> AppWish | None:
        """Who has come in its place, if both can serve side by side."""
        heir = self.wishes.apps.get(wish.heir)
        can_serve_on = any(map(can_overlap, (wish.spec, *wish.earlier)))
        return heir if heir is not None and heir.is_named and can_serve_on else None

    def _clear_slots(self, wish: AppWish, fact: AppFacts) -> list[bool | None]:
        """What is wanted of each slot; of some nobody can say."""
        if wish.spec.name in self.failed and not fact.wanted and False in wish.slots:
            # What a change was to bring was not there yet when somebody stopped all there was.
            return [wanted and None for wanted in wish.slots]
        return list(wish.slots)

    def _slot(self, wish: AppWish, fact: InstanceFacts, *, wanted: bool) -> Iterator[str]:
        name = f"{wish.spec.name}:{fact.index}"
        if not wanted:
            if fact.state not in FINAL:
                yield f"{name} is {fact.state}, and somebody has stopped it"
            return
        if fact.state == "online" or fact.has_fate or wish.spec.schedule is not None:
            return
        by_the_clock = wish.spec.max_age is not None or wish.spec.cron_restart is not None
        if (fact.spec.argv[0] == BROKEN or by_the_clock) and fact.state in _ON_THE_WAY:
            return  # it tries for ever, or is being replaced just now
        if not self._waits(wish):
            yield f"{name} is {fact.state}, and is wanted"

    def _waits(self, wish: AppWish) -> bool:
        """Whether something that it depends on is not there."""
        if wish.was_started:
            return False
        for dependency in wish.spec.depends_on:
            fact = self._runtime.app(dependency.app)
            there = "completed" if dependency.condition is Condition.COMPLETED else "online"
            if fact is None or any(each.state != there for each in fact.slots.values()):
                return True
        return False


def _states(fact: AppFacts) -> str:
    return ", ".join(f"{each.place} {each.index}: {each.state}" for each in fact.instances)
