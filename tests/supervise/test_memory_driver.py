"""The driver: one sample for all apps, the right figure for each, and wishes filed with real apps."""

import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any, cast

import harness
import pytest
from stage import FakeProcess, Stage, Turns

from pidone.ecosystem.spec import AppSpec, Listen, MemoryLimit, MemoryScope, MemoryShare, RuntimeSpec
from pidone.host.cgroup import Box
from pidone.host.memory import Memory
from pidone.host.processes import ProcessUsage, TreeSampler, TreeUsage
from pidone.host.usage import FRESH, Sampler, UsageBook
from pidone.supervise.app import App
from pidone.supervise.instances.states import Goal, State
from pidone.supervise.memory.driver import MemoryDriver
from pidone.supervise.memory.policy import IDLE_INTERVAL, RETRY_DELAY

MIB = 1 << 20


def process(pid: int, mib: int, cpu_s: float = 0.0) -> ProcessUsage:
    """A process that uses `mib`."""
    return ProcessUsage(
        pid=pid, ppid=1, pgrp=pid, session=pid, started_ticks=1, rss=mib * MIB, cpu_s=cpu_s, threads=1
    )


class Measured:
    """Apps, processes and a container that are as the test says."""

    def __init__(self, guard: MemoryLimit | None = None, sampler: Sampler | None = None) -> None:
        self.stage = Stage(random=lambda: 0.0)
        self.clock = self.stage.clock
        self.trees: dict[int, tuple[ProcessUsage, ...]] = {}
        self.samples = 0
        self.limit = 1000 * MIB
        self.book = UsageBook(
            lambda: [each.pid for each in self.stage.launcher.alive()],
            now=self.clock.time,
            call_soon=lambda call: self.clock.call_later(0, call),
            sampler=sampler or self,
        )
        self.driver = MemoryDriver(
            RuntimeSpec(memory_guard=guard),
            clock=self.clock,
            log=self.stage.log,
            random=lambda: 0.0,
            box=cast("Box", self),
            usage=self.book,
            on_sample=lambda: None,
        )

    def run(self, app: AppSpec, *mib: int, pid: int | None = None) -> App:
        """Its one instance is online with these processes, the main one first."""
        running = App(app, 1, self.stage.world, Turns(self.clock))
        running.start()
        self.clock.advance()
        last = self.stage.launcher.last
        if pid is not None:
            last.pid = pid
        self.use(last, *mib)
        self.driver.sync(running)
        return running

    def use(self, main: FakeProcess, *mib: int) -> None:
        """From now on its processes use so much."""
        self.trees[main.pid] = tuple(process(main.pid + n, size) for n, size in enumerate(mib))

    def replaced(self) -> list[str]:
        """The apps of which one was to be replaced, in order."""
        return [each["app"] for each in self.stage.log.named("instance.memory")]

    def sample(self, roots: Iterable[int]) -> Mapping[int, TreeUsage]:
        self.samples += 1
        return {
            pid: TreeUsage(self.trees[pid][0], self.trees[pid][1:], self.clock.now)
            for pid in roots
            if pid in self.trees
        }

    def memory(self) -> Memory:
        return Memory(limit=self.limit, usage=1)

    def take_notes(self) -> tuple[str, ...]:
        return ()


def spec(name: str = "api", **keys: Any) -> AppSpec:
    """An app with these memory keys, online as soon as it was started."""
    return AppSpec(name=name, argv=("/bin/app",), **{"ready_delay": 0.0, **keys})


def test_one_sample_serves_all_apps() -> None:
    """Two apps with limits: one pass a second, and the one that is too large is replaced."""
    host = Measured()
    host.run(spec("api", max_memory_restart=100 * MIB), 50)
    worker = host.run(spec("worker", max_memory_restart=100 * MIB), 150)
    host.clock.advance(1)
    assert host.samples == 1
    assert host.replaced() == ["worker"]
    assert worker.instances[0].ends_to is Goal.RENEW
    host.clock.advance(3)
    assert host.samples == 4


def test_an_app_with_a_longer_interval_is_judged_less_often() -> None:
    """Its samples in a row are its own interval apart, although the other app is measured each second."""
    host = Measured()
    host.run(spec("api", max_memory_restart=100 * MIB), 50)
    host.run(spec("worker", max_memory_restart=100 * MIB, memory_interval=5, memory_samples=3), 150)
    host.clock.advance(10.5)
    assert host.replaced() == []
    host.clock.advance(1)
    assert host.replaced() == ["worker"]


def test_without_limits_it_measures_for_people_only() -> None:
    """Every five seconds; every second when the container is guarded."""
    host = Measured()
    host.run(spec(), 50)
    host.clock.advance(2 * IDLE_INTERVAL)
    assert host.samples == 2
    guarded = Measured(guard=900 * MIB)
    guarded.run(spec(), 50)
    guarded.clock.advance(3)
    assert guarded.samples == 3


@pytest.mark.parametrize(("scope", "decided"), [(MemoryScope.TREE, ["api"]), (MemoryScope.PROCESS, [])])
def test_scope(scope: MemoryScope, decided: list[str]) -> None:
    """A child's memory counts, except with PM2's way of counting the main process only."""
    host = Measured()
    host.run(spec(max_memory_restart=100 * MIB, memory_scope=scope), 20, 130)
    host.clock.advance(1)
    assert host.replaced() == decided


def test_latest_figures() -> None:
    """CPU use is over the last interval, and what has vanished is left out at the next sample."""
    host = Measured()
    host.run(spec(), 50)
    pid = host.stage.launcher.last.pid
    host.clock.advance(1)
    host.book.usage()
    host.trees[pid] = (process(pid, 60, cpu_s=0.25),)
    host.clock.advance(1)
    assert host.book.usage()[pid].cpus == 0.25
    assert host.book.usage()[pid].tree.rss == 60 * MIB
    del host.trees[pid]
    host.clock.advance(1)
    assert host.book.usage() == {}


def test_people_and_limits_share_a_sample() -> None:
    """Whoever asks between two ticks gets the figures of the last one, and a tick those of a moment ago."""
    host = Measured()
    host.run(spec(max_memory_restart=100 * MIB), 50)
    host.clock.advance(1)
    host.book.usage()
    assert host.samples == 1
    host.clock.advance(FRESH + 0.01)
    host.book.usage()
    assert host.samples == 2
    host.clock.advance(0.99 - FRESH)
    assert host.samples == 2
    host.clock.advance(1)
    assert host.samples == 3


def test_another_limit_of_the_container_is_told_once() -> None:
    """What was measured at the beginning is what it is compared with."""
    host = Measured()
    host.run(spec(max_memory_restart=MemoryShare(fraction=0.5)), 50)
    host.clock.advance(2)
    host.limit = 500 * MIB
    host.clock.advance(3)
    (told,) = host.stage.log.named("host.resize")
    assert (told["previous"], told["now"]) == (1000 * MIB, 500 * MIB)


def test_equal_names_in_two_namespaces_are_two_apps() -> None:
    """Each has its own limit, and the memory of one is not taken for the other's."""
    host = Measured()
    small = host.run(spec(namespace="small", max_memory_restart=100 * MIB), 50)
    large = host.run(spec(namespace="large", max_memory_restart=300 * MIB), 200)
    host.clock.advance(3)
    assert host.replaced() == []
    small.stop()
    host.driver.sync(small)
    host.use(host.stage.launcher.last, 400)
    host.clock.advance(1)
    (told,) = host.stage.log.named("instance.memory")
    assert told["namespace"] == "large"
    assert large.instances[0].ends_to is Goal.RENEW


def test_a_replacement_that_did_not_come_up_is_tried_again_after_a_pause() -> None:
    """The successor ends at once, and the large one serves on."""
    host = Measured()
    web = spec(max_memory_restart=100 * MIB, listen=(Listen(name="web", port=80),), ready_delay=0.5)
    app = host.run(web, 150)
    host.clock.advance(0.5)
    host.driver.sync(app)
    host.clock.advance(1)
    assert host.replaced() == ["api"]
    host.stage.launcher.last.exit(1)
    host.clock.advance()
    host.driver.sync(app)
    assert app.instances[0].state is State.ONLINE
    host.clock.advance(RETRY_DELAY - 2)
    assert host.replaced() == ["api"]
    host.clock.advance(3)
    assert host.replaced() == ["api", "api"]


def test_a_stopped_driver_does_nothing() -> None:
    """No timer is left."""
    host = Measured()
    host.run(spec(max_memory_restart=100 * MIB), 50)
    before = host.clock.pending
    host.driver.stop()
    host.clock.advance(10)
    assert host.samples == 0
    assert host.clock.pending == before - 1


LEAKING_GRANDCHILD = """
import os, sys
if os.fork() == 0:
    hoard = []
    for line in sys.stdin:
        hoard.append(b"x" * (5 << 20))
        print("grown", flush=True)
os.wait()
"""


def grow(running: harness.Running) -> None:
    """Have it leak a little more, and wait until it has."""
    assert running.process.stdin is not None
    assert running.out is not None
    before, said = len(running.out), running.out
    running.process.stdin.write(b"\n")
    running.process.stdin.flush()
    harness.eventually(lambda: len(said) > before, "it to grow")


def test_a_real_leak_in_a_child_is_caught() -> None:
    """The main process is small, its child grows: asked at the soft limit, replaced at the hard one."""
    argv = [sys.executable, "-c", LEAKING_GRANDCHILD]
    with harness.Running(argv, start_new_session=True, stdin=subprocess.PIPE) as running:
        host = Measured(sampler=TreeSampler())
        limited = spec(memory_soft_limit=60 * MIB, max_memory_restart=120 * MIB)
        app = host.run(limited, pid=running.pid)

        def replaced() -> bool:
            grow(running)
            host.clock.advance(1)
            return bool(host.stage.log.named("instance.memory"))

        harness.eventually(replaced, "the limit")
        assert host.stage.log.named("instance.memory_soft")
        (told,) = host.stage.log.named("instance.memory")
        assert told["rss_bytes"] >= 120 * MIB
        assert app.instances[0].state is not State.STOPPED
        assert host.book.usage(within=9)[running.pid].tree.root.rss < 60 * MIB
        assert running.process.stdin is not None
        running.process.stdin.close()  # the child's end, and then its parent's
        running.wait()
