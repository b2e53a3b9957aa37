"""Who counts as hung, hour by hour: time, the processor and the process are simulated."""

import heapq
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from pidone.listen.readiness.heartbeat import Heartbeat

PATIENCE_S = 30.0
HOUR_S = 3600.0
PID = 7


class Timer:
    """What `call_later` returns."""

    is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Machine:
    """Time and what is due when: a loop as the heartbeat needs it, and a process as the kernel shows it.

    The process turns its loop when it is asked: a turn takes `work` seconds of a processor, of which it gets
    `share`, and a `work` of None is one that never ends. `burns`: whether it computes meanwhile, or waits.
    """

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        self.share = 1.0
        self.work: Callable[[], float | None] = lambda: 0.0
        self.burns = True
        self.tracer = 0
        self.stopped = False
        self.hung: list[str] = []
        self.lateness: Callable[[], float] = lambda: 0.0
        self._cpu = 0.0
        self._left: float | None = 0.0
        self._is_asked = False
        self._ran_until = self.now
        self._due: list[tuple[float, int, Timer, Callable[[], Any]]] = []
        self._numbers = itertools.count()
        self._folder = folder / f"{PID}/task/{PID}"
        self._folder.mkdir(parents=True)
        self._shown: dict[str, str] = {}
        self.heartbeat = Heartbeat(
            cast("Any", self), PATIENCE_S, self._ask, self.hung.append, proc=str(folder)
        )
        self.heartbeat.spawned(PID)
        self._show()
        self.heartbeat.begin()

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, what: Callable[..., Any], *args: Any) -> Timer:
        timer = Timer()
        heapq.heappush(self._due, (self.now + delay, next(self._numbers), timer, lambda: what(*args)))
        return timer

    def run(self, seconds: float) -> None:
        """Time goes by; the runtime is late by as much as `lateness` says."""
        end = self.now + seconds
        while self._due and self._due[0][0] <= end and not self.hung:
            due, _, timer, what = heapq.heappop(self._due)
            self._pass(max(self.now, due) + self.lateness())
            if not timer.is_cancelled:
                what()
        self._pass(max(self.now, end))

    def jump(self, seconds: float) -> None:
        """The clock goes on, and nobody runs: a frozen container, a snapshot that is taken up again."""
        self.now += seconds
        self._ran_until = self.now

    def _ask(self) -> bool:
        self._is_asked, self._left = True, self.work()
        return True

    def _pass(self, until: float) -> None:
        """The process runs until then, a tenth of a second at a time."""
        while self._ran_until < until:
            step = min(0.1, until - self._ran_until)
            self._ran_until += step
            if not self._is_asked or self.stopped or self.tracer:
                continue
            got = step * self.share
            self._cpu += got if self.burns else 0.0
            self._left = None if self._left is None else self._left - got
            if self._left is not None and self._left <= 0:
                self._is_asked = False
                self.now = max(self.now, self._ran_until)
                self.heartbeat.answered()
        self.now = max(self.now, until)
        self._show()

    def _show(self) -> None:
        state = "t" if self.tracer and self.stopped else "T" if self.stopped else "S"
        if state == "S" and self._is_asked and self.burns:
            state = "R"
        rest = " ".join(["0"] * 10 + [str(int(self._cpu * 100))] + ["0"] * 30)
        self._write("stat", f"{PID} (a b) {state} {rest}\n")
        self._write("status", f"Name:\ta b\nTracerPid:\t{self.tracer}\n")
        self._write("wchan", "futex_wait")

    def _write(self, name: str, text: str) -> None:
        if self._shown.get(name) != text:
            self._shown[name] = text
            (self._folder / name).write_text(text)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def hangs(machine: Machine) -> None:
    """From now on it answers nobody, which is found however it was before."""
    machine.work = lambda: None
    machine.share, machine.lateness = 1.0, lambda: 0.0
    machine.run(3 * PATIENCE_S)
    assert len(machine.hung) == 1


@pytest.mark.parametrize(
    ("burns", "doing"), [(True, "computes without an end"), (False, "waits in the kernel")]
)
def test_one_that_hangs_is_found_in_its_time(machine: Machine, *, burns: bool, doing: str) -> None:
    """Not before its patience is over, and not much later."""
    machine.run(10 * PATIENCE_S)
    machine.work, machine.burns = (lambda: None), burns
    machine.run(0.7 * PATIENCE_S)
    assert not machine.hung
    machine.run(0.8 * PATIENCE_S)
    (why,) = machine.hung
    assert doing in why


@pytest.mark.parametrize("seed", range(2))
def test_an_hour_of_a_machine_that_has_three_times_too_much_to_do(machine: Machine, seed: int) -> None:
    """It gets a third or less of a processor, for turns of seconds, and the runtime is late, too."""
    chance = random.Random(seed)
    machine.work = lambda: chance.expovariate(1 / 2.0) % 10
    machine.lateness = lambda: chance.expovariate(1 / 1.0)
    for _ in range(int(HOUR_S / 10)):
        machine.share = chance.uniform(0.02, 0.34)
        machine.run(10)
    assert not machine.hung
    hangs(machine)


def test_a_long_turn_that_gets_no_processor_is_not_held_against_it(machine: Machine) -> None:
    """Ten seconds of work that take it a quarter of an hour."""
    machine.work, machine.share = (lambda: 10.0), 0.011
    machine.run(HOUR_S)
    assert not machine.hung
    hangs(machine)


def test_busy_with_progress(machine: Machine) -> None:
    """Turns of a third of its patience, one after the other, by a whole processor."""
    machine.work = lambda: PATIENCE_S / 3
    machine.run(HOUR_S)
    assert not machine.hung


@pytest.mark.parametrize("seconds", [PATIENCE_S / 2, 2 * PATIENCE_S, 8 * HOUR_S])
def test_everything_stands_still_and_the_clock_does_not(machine: Machine, seconds: float) -> None:
    """`docker pause`, SIGSTOP of everybody, a suspended machine: again and again, also within a turn."""
    machine.work = lambda: 1.0
    for _ in range(30):
        machine.run(7.3)
        machine.jump(seconds)
    assert not machine.hung
    hangs(machine)


def test_it_stands_still_again_and_again_in_one_turn(machine: Machine) -> None:
    """A database that needs 25 s: no more than that was waited, by the clock it was ten minutes."""
    machine.work, machine.burns = (lambda: 25.0), False
    for _ in range(40):
        machine.run(2.5)
        machine.jump(2 * PATIENCE_S)
    assert not machine.hung


def test_the_process_comes_back_later_than_the_runtime(machine: Machine) -> None:
    """Whoever thaws a container or sends SIGCONT does so to one after the other."""
    for _ in range(20):
        machine.jump(2 * PATIENCE_S)
        machine.stopped = True
        machine.run(2 * PATIENCE_S)
        machine.stopped = False
        machine.run(10)
    assert not machine.hung
    hangs(machine)


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped by it", "goes on under it"])
def test_an_hour_in_a_debugger(machine: Machine, *, stopped: bool) -> None:
    """gdb and strace: it may stand at a breakpoint, or wait for whoever traces its calls."""
    machine.tracer, machine.stopped, machine.burns = 99, stopped, False
    machine.run(HOUR_S)
    assert not machine.hung
    machine.tracer, machine.stopped = 0, False
    hangs(machine)
