"""What happens to the world from outside, by chance: operators, files, signals, failures."""

import signal
from random import Random
from typing import Final

from sim.setups import AGAIN, NAMES, Setup

from pidone.record import Record

MOST: Final = 24


class Step(Record):
    """One thing that happens, some time after the one before."""

    after: float
    """Seconds."""
    what: str
    """A method of History's `do_...`."""
    args: tuple[str | int | float, ...] = ()

    def __str__(self) -> str:
        return f"+{self.after:g} s  {self.what} {' '.join(str(arg) for arg in self.args)}".rstrip()


_PAUSES: Final = (0.0, 0.0, 0.0, 0.0, 0.05, 0.1, 0.1, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
_VERBS: Final = ("start", "stop", "stop", "restart", "reload", "reload", "scale", "scale", "delete")
_WHATS: Final = (
    *("verb",) * 14,
    *("file",) * 5,
    *("crash",) * 3,
    *("leak", "touch", "forward", "trigger", "reset"),
    *("hold", "stall"),
    *("break_next",) * 2,
)
_EFFECTS: Final = ("spawn", "signal", "descriptors", "bind", "log")


def steps_of(setup: Setup, random: Random) -> tuple[Step, ...]:
    """A history by chance."""
    steps = [_step(setup, random) for _ in range(random.randint(1, MOST))]
    if random.random() < 0.3:
        steps.append(Step(random.choice(_PAUSES), "stop_whole"))
        if random.random() < 0.3:
            steps += [Step(random.choice((0.0, 0.5, 2.0)), "verb", ("start", "api"))]
        if random.random() < 0.3:
            steps.append(Step(random.choice((0.0, 0.5, 2.0)), "stop_whole"))
    return tuple(steps)


def _step(setup: Setup, random: Random) -> Step:
    what = random.choice(_WHATS)
    return Step(random.choice(_PAUSES), what, _args(what, setup, random))


def _args(what: str, setup: Setup, random: Random) -> tuple[str | int | float, ...]:
    if what == "verb":
        return _verb(random)
    if what == "file":
        return (random.randrange(len(setup.versions)) if random.random() > 0.08 else -1,)
    name = random.choice(NAMES)
    return {
        "crash": (name, random.randrange(3), random.choice((1, 0, 9, 11))),
        "forward": (int(random.choice((signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH))),),
        "trigger": (name, *random.choice((("fast",), ("slow", "fast"), ("fast", "slow")))),
        "reset": (_target(random),),
        "hold": (random.choice((0.05, 0.2, 1.0)),),
        "stall": (random.choice((0.06, 0.5, 3.0, 12.0)),),
        "break_next": (random.choice(_EFFECTS), random.choice((1, 1, 1, 2, 5, 20))),
    }.get(what, (name,))


def _verb(random: Random) -> tuple[str | int | float, ...]:
    verb, target = random.choice(_VERBS), _target(random)
    if verb == "delete" and random.random() < 0.6:
        verb = "start"
    if verb == "scale":
        return (verb, target.partition(":")[0], random.choice((1, 1, 2, 3, 4)))
    return (verb, target)


def _target(random: Random) -> str:
    kind = random.random()
    if kind < 0.05:
        return "all"
    name = random.choice(NAMES) + AGAIN * (random.random() < 0.05)
    return name if kind < 0.65 else f"{name}:{random.randrange(3)}"
