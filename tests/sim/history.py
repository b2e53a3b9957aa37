"""One history: a world, a runtime in it, steps from outside, then calm, and the end."""

import signal
from functools import partial
from random import Random
from typing import Final

from sim.adapter import Runtime
from sim.judge import Judge, Main, Violation, ViolationError
from sim.loop import EndlessTurnsError
from sim.setups import BROKEN, Setup, setup_of
from sim.steps import Step, steps_of
from sim.wishes import Wishes
from sim.world import World

from pidone.record import Record

CALM: Final = 30.0
"""Seconds without input after which it is looked whether everything is as it is wanted."""
LOOKS: Final = 16
"""Most looks, after which it has to be."""
PROBES: Final = 40
BETWEEN_PROBES: Final = 6.0
_BY_ITSELF: Final = ("completed", "app", "gave-up", "idle")
BETWEEN_LOOKS: Final = 7.3
LONGEST_STOP: Final = 300.0


class Result(Record):
    """What came of a history."""

    violations: tuple[Violation, ...]
    happened: tuple[tuple[object, ...], ...]
    """When, and words: hardly ever read, so that it is put together when somebody does."""

    @property
    def log(self) -> list[str]:
        """What has happened, in lines."""
        return [f"t={at:g} {' '.join(map(_told, words))}" for at, *words in self.happened]

    @property
    def what(self) -> str:
        """The kind of the first violation; empty if there is none."""
        return self.violations[0].what if self.violations else ""


class History:
    """Plays it."""

    def __init__(self, setup: Setup, steps: tuple[Step, ...]) -> None:
        self._steps = steps
        self._happened: list[tuple[object, ...]] = []
        self._wishes = Wishes(setup.versions[0])
        self._judge = Judge(self._wishes)
        self._world = world = World(setup, self._judge)
        self._runtime = Runtime(world)
        self._judge.attend(world, self._runtime)
        self._before_reading: Wishes | None = None
        self._answers = 0
        world.loop.after_turn = self._judge.after_turn
        world.on_loaded = self._file_is_read
        world.log.on_event = self._said

    def play(self) -> Result:
        """From the start to the end, or to the first violation."""
        judge = self._judge
        try:
            self._runtime.run(self._drive)
            if self._runtime.ending is not None:
                self._after_the_end()
        except ViolationError:
            pass
        except EndlessTurnsError as error:
            judge.complain("endless", str(error))
        except Exception as error:  # noqa: BLE001 (of the runtime's: that is the question)
            self._world.loop.call_exception_handler({"exception": error})
            judge.complain("raised", self._world.loop.errors[-1])
        return Result(tuple(judge.violations), tuple(self._happened))

    # -- the course of it --------------------------------------------------------------------------------

    def _drive(self) -> None:
        loop = self._world.loop
        for step in self._steps:
            loop.advance(step.after)
            if loop.stopped:
                return
            self._happened.append((loop.now, step.what, *step.args))
            loop.run(getattr(self, f"do_{step.what}"), *step.args)
            self._judge.after_turn()
            loop.advance()
            self._judge.after_step()
        self._world.calm = True
        self._world.kernel.mend()
        self._note("calm")
        if self._runtime.phase in ("NEW", "RUNNING"):
            loop.advance(CALM)
            self._rest()
            self._probe()
            if not loop.stopped:
                self._note("stop")
                self.do_stop_whole()
        loop.advance(LONGEST_STOP)
        if not loop.stopped:
            self._judge.complain("endless", f"still in phase {self._runtime.phase} after {LONGEST_STOP:g} s")
            self._judge.after_turn()

    def _rest(self) -> None:
        """What runs by the clock may be under way just now: look some more times."""
        for left in reversed(range(LOOKS)):
            if self._world.loop.stopped:
                return
            self._judge.after_step()
            if self._judge.at_rest(complain=left == 0):
                return
            self._world.loop.advance(BETWEEN_LOOKS)

    def _probe(self) -> None:
        """Whether what shall replace instances does so: a reload, a limit, a changed file, the time."""
        if self._world.loop.stopped:
            return
        kinds = ("reload", "leak", "touch", "age")
        kind = kinds[self._world.setup.seed % len(kinds)]
        old = {name: mains for name in self._wishes.apps if (mains := self._to_be_replaced(name, kind))}
        if not old:
            return
        self._note(f"{kind}: {', '.join(old)}")
        for name in old:
            if kind == "reload":
                self._world.loop.run(self.do_verb, "reload", name)
            elif kind != "age":
                self._world.loop.run(getattr(self, f"do_{kind}"), name)
        for _ in range(PROBES):
            self._world.loop.advance(BETWEEN_PROBES)
            self._judge.after_step()
            if not any(main.proc.alive for mains in old.values() for main in mains):
                self._rest()
                return
        left = [str(main) for mains in old.values() for main in mains if main.proc.alive]
        self._judge.complain(kind, f"{', '.join(left)} should have been replaced")
        self._judge.after_turn()

    def _to_be_replaced(self, name: str, kind: str) -> list[Main]:
        """The processes of an app that a probe concerns."""
        wish = self._wishes.apps[name]
        spec = wish.spec
        concerned = {
            "reload": spec.argv[0] != BROKEN,
            "leak": spec.max_memory_restart is not None,
            "touch": bool(spec.watch),
            "age": bool(spec.max_age or spec.cron_restart),
        }
        if name in self._judge.failed or not (wish.is_named and spec.autorestart and concerned[kind]):
            return []
        return [main for main in self._judge.live(name) if self._world.programs[main.proc.mark].online]

    def _after_the_end(self) -> None:
        ending = self._runtime.ending
        assert ending is not None
        self._note(f"ended with {int(ending.code)}, {ending.reason}: {ending.message}")
        left = self._judge.live()
        if left and not self._wishes.signals_failed:
            self._judge.complain("left", f"{left[0]} lives on")
        ends_all = any(spec.essential for spec in self._wishes.ecosystem.apps)
        by_itself = not (self._wishes.whole_stops or ends_all) and ending.reason in _BY_ITSELF
        if by_itself and (rests := self._wishes.rests()):
            self._judge.complain("ended", f"{ending.reason}, though {', '.join(rests)} was put to rest")

    def _note(self, text: str) -> None:
        self._happened.append((self._world.loop.now, "--", text))

    def _said(self, level: str, event: str, message: str, fields: dict[str, object]) -> None:
        self._happened.append((self._world.loop.now, "  ", event, fields, message))
        if event in ("runtime.error", "runtime.refused"):
            self._world.loop.errors.append(str(fields.get("exc_info", message)))
        elif event == "instance.kill":
            self._judge.said_to_be_killed(str(fields["app"]), int(str(fields["instance"])), message)
        elif event == "runtime.deadline":
            self._judge.said_to_be_late()
        elif event == "runtime.stop":
            self._judge.whole_stops()
        elif event == "app.reload_failed":
            self._judge.failed.add(str(fields["app"]))
        elif event == "config.rejected" and self._before_reading is not None:
            self._restore(self._before_reading)
            self._before_reading = None
        elif event == "config.reload":
            self._before_reading = None
        elif event == "hook.failed" and level == "error" and fields.get("app"):
            self._judge.failed.add(str(fields["app"]))

    def _file_is_read(self) -> None:
        if self._runtime.is_running and self._world.loaded is not None:
            self._before_reading = self._wishes.copy()
            self._wishes.read(self._world.loaded, self._judge.failed)

    def _restore(self, wishes: Wishes) -> None:
        self._wishes.__dict__.update(wishes.__dict__)

    # -- what happens from outside -----------------------------------------------------------------------

    def do_verb(self, verb: str, target: str, *args: object) -> None:
        if not self._runtime.is_running or self._runtime.operations is None:
            self._runtime.verb(verb, target, *args)
            return
        before = self._wishes.copy()
        name = target.partition(":")[0]
        (self._wishes.begun.add if self._judge.live(name) else self._wishes.begun.discard)(name)
        self._wishes.verb(verb, target, *args)
        index = target.partition(":")[2]
        for app in self._wishes.apps if target == "all" else (name,):
            live = self._judge.live(app)
            if verb != "reload":
                self._judge.free(app, [int(index)] if index else [each.index for each in live])
            meant = {f"{app}:{each.index}" for each in live if not index or each.index == int(index)}
            if verb == "stop":
                gone = {f"{app}:{each.index}" for each in live if self._judge.is_replaced(each)}
                self._wishes.put_to_rest |= meant - gone
            elif verb in ("start", "restart", "delete", "reload"):
                whose = target if index else f"{app}:"
                rests = self._wishes.put_to_rest
                self._wishes.put_to_rest = {each for each in rests if not each.startswith(whose)}
        if not self._runtime.verb(verb, target, *args):
            self._happened.append((self._world.loop.now, "   refused"))
            self._restore(before)

    def do_file(self, number: int) -> None:
        self._world.file = self._world.setup.versions[number] if number >= 0 else None
        self._world.inbox.post(signal.SIGHUP)

    def do_crash(self, app: str, slot: int, how: int) -> None:
        for main in self._judge.live(app):
            if main.index == slot:
                self._world.kernel.exit(main.proc, *((how, 0) if how < 2 else (0, how)))
                return

    def do_leak(self, app: str) -> None:
        for program in self._world.of(app):
            program.leak()

    def do_stubborn(self, app: str) -> None:
        for program in self._world.of(app):
            program.be_stubborn()

    def do_extend(self, app: str) -> None:
        for program in self._world.of(app):
            program.ask_for_more()

    def do_hand_over(self, app: str) -> None:
        for program in self._world.of(app):
            program.hand_over()

    def do_touch(self, app: str) -> None:
        self._world.touch(app)

    def do_forward(self, number: int) -> None:
        self._world.inbox.post(number)

    def do_trigger(self, app: str, *actions: str) -> None:
        """Several people ask at once, and each wants an answer to what was asked."""
        asked = self._judge.live(app)
        for action in actions:
            self._runtime.trigger(app, action, partial(self._answered, action, asked))

    def _answered(self, action: str, asked: list[Main], answers: list[dict[str, object]]) -> None:
        for answer in answers:
            said = str(answer.get("return", ""))
            if said and not said.endswith(f":{action}"):
                self._judge.complain("trigger", f"asked for {action!r}, was told {said!r}")
            silent = [each for each in asked if each.index == answer["instance"]]
            if not said and len(silent) == 1 and silent[0].proc.alive and silent[0].asked_at is None:
                self._judge.complain("trigger", f"asked {silent[0]} for {action!r}, it told, {answer}")

    def do_reset(self, target: str) -> None:
        self._runtime.verb("reset", target)

    def do_hold(self, seconds: float) -> None:
        self._world.inbox.hold(seconds)

    def do_stall(self, seconds: float) -> None:
        self._world.loop.stall(seconds)

    def do_break_next(self, effect: str, times: int) -> None:
        if effect == "signal":
            self._wishes.signals_failed = True
        self._world.kernel.break_next(effect, times)

    def do_stop_whole(self) -> None:
        self._wishes.hurried = self._wishes.whole_stops
        self._wishes.whole_stops = True
        self._world.inbox.post(signal.SIGTERM)


def _told(word: object) -> str:
    """Of an event's fields, what it is about."""
    if not isinstance(word, dict):
        return str(word)
    return " ".join(str(word[key]) for key in ("app", "instance", "pid") if key in word)


def history_of(seed: int) -> tuple[Setup, tuple[Step, ...]]:
    """Setup and steps of a seed."""
    random = Random(seed)
    setup = setup_of(seed, random)
    return setup, steps_of(setup, random)


def play(setup: Setup, steps: tuple[Step, ...]) -> Result:
    """What comes of it."""
    return History(setup, steps).play()
