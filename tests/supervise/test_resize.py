"""When the container's CPUs are looked at, on a turned clock; tests/core/test_resize.py has real ones."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from host.trees import lay, v2
from stage import FakeClock, FakeLog, Stage, spec

from pidone.ecosystem.spec import INSTANCES_MAX, AppSpec, Ecosystem
from pidone.host.cpus import CpuFiles
from pidone.supervise.supervisor import Supervisor
from pidone.supervise.watching.resize import LOOK_EVERY, SETTLED, ResizeWatch


class FakeLoop(FakeClock):
    """With readers, of which the test says when they have something to read."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: dict[int, Callable[[], object]] = {}

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None:
        self.readers[fd] = callback

    def remove_reader(self, fd: int) -> bool:
        return self.readers.pop(fd, None) is not None

    def turn(self) -> None:
        for callback in list(self.readers.values()):
            callback()


class Box:
    """A recorded container whose quota is written like a real one's."""

    def __init__(self, folder: Path) -> None:
        self.root = lay(folder, v2("/", "/", {"cpu.max": "100000 100000\n"}))
        self.loop = FakeLoop()
        self.looks: list[int] = []
        self.watch = ResizeWatch(
            CpuFiles(self.root), loop=cast("Any", self.loop), log=FakeLog(), on_look=self.looks.append
        )
        self.loop.advance()

    def write(self, text: str) -> None:
        (self.root / "sys/fs/cgroup/cpu.max").write_text(text)


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    """Of one CPU, on a machine of many."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    made = Box(tmp_path)
    yield made
    made.watch.stop()
    assert not made.loop.readers
    assert made.loop.pending == 0


def test_a_change_is_looked_at_once_when_all_of_it_is_written(box: Box) -> None:
    """Engines write period, quota and cpuset one after the other."""
    assert box.looks == [1]
    for quota in (200_000, 300_000, 400_000):
        box.write(f"{quota} 100000")
        box.loop.turn()
        box.loop.advance(SETTLED / 2)
    assert box.looks == [1]
    box.loop.advance(SETTLED)
    assert box.looks == [1, 4]


def test_nothing_is_looked_at_while_nothing_happens(box: Box) -> None:
    """No timer, no wake-up."""
    box.loop.advance(3600)
    box.loop.turn()
    assert box.looks == [1]
    assert box.loop.pending == 0


def test_samples_are_used_but_not_each_of_them(box: Box) -> None:
    """Where nothing is heard, a sandbox's own files; samples may be as near as 50 ms."""
    box.write("250000 100000")
    for _ in range(40):
        box.loop.advance(0.1)
        box.watch.sampled()
    assert box.looks == [1, 3]
    box.loop.advance(LOOK_EVERY)
    box.watch.sampled()
    assert box.looks == [1, 3, 3]


def fleet(**keys: object) -> tuple[Stage, Supervisor]:
    """One app on four CPUs."""
    stage = Stage()
    app: AppSpec = spec("a", ready_delay=0.0, **keys)
    supervisor = Supervisor(
        Ecosystem(apps=(app,), cpus=4),
        stage.world,
        stage.broker,
        count=lambda each: each.count(supervisor.ecosystem.cpus),
        on_done=print,
    )
    supervisor.start()
    stage.clock.advance()
    return stage, supervisor


@pytest.mark.parametrize(
    ("instances", "counts"),
    [(INSTANCES_MAX, [4, 2, 1, 8]), (-1, [3, 1, 1, 7]), (3, [3, 3, 3, 3])],
)
def test_max_follows_and_is_never_below_one(instances: int, counts: list[int]) -> None:
    """So does one fewer; a number stays."""
    stage, supervisor = fleet(instances=instances)
    seen = [len(stage.launcher.alive())]
    for cpus in (2, 1, 8):
        supervisor.resize(cpus)
        stage.clock.advance(1)
        for process in stage.launcher.launched:
            if process.signals:
                process.exit()
        seen.append(len(stage.launcher.alive()))
    assert seen == counts
    assert len(stage.log.named("host.resize")) == 3


def test_what_somebody_has_scaled_stays() -> None:
    """The last word of a person counts."""
    stage, supervisor = fleet(instances=INSTANCES_MAX)
    supervisor.apps["default", "a"].scale(6)
    stage.clock.advance(1)
    supervisor.resize(2)
    stage.clock.advance(1)
    assert len(stage.launcher.alive()) == 6
    assert not stage.log.named("app.scale")


def test_during_a_stop_nothing_is_started() -> None:
    """Whatever the container is given then."""
    stage, supervisor = fleet(instances=INSTANCES_MAX)
    supervisor.stop_by_signal(15)
    supervisor.resize(8)
    stage.clock.advance(1)
    assert len(stage.launcher.launched) == 4


def test_a_reading_that_fails_ends_the_listening_and_no_more(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its descriptor would be readable, and fail, in every turn; beside samples it is looked at."""

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    box.write("200000 100000")
    with monkeypatch.context() as broken:
        broken.setattr("pidone.supervise.watching.inotify.os.read", fail)
        box.loop.turn()
    assert not box.loop.readers
    box.loop.advance(LOOK_EVERY)
    box.watch.sampled()
    assert box.looks == [1, 2]
