"""The monitor: one sample for all apps, the right figure for each, and decisions on real processes."""

import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import harness
import pytest
from stage import FakeClock

from pidone.contracts import InstanceId
from pidone.ecosystem.spec import AppSpec, MemoryScope, MemoryShare
from pidone.host.memory import Memory
from pidone.host.processes import ProcessUsage, TreeSampler, TreeUsage
from pidone.supervise.memory.decisions import Decision, Recycle, Soften
from pidone.supervise.memory.monitor import IDLE_INTERVAL, Monitor
from pidone.supervise.memory.policy import MemoryWatch
from pidone.supervise.memory.usage import FRESH, UsageBook

MIB = 1 << 20


def process(pid: int, mib: int, cpu_s: float = 0.0) -> ProcessUsage:
    """A process that uses `mib`."""
    return ProcessUsage(
        pid=pid, ppid=1, pgrp=pid, session=pid, started_ticks=1, rss=mib * MIB, cpu_s=cpu_s, threads=1
    )


class FakeHost:
    """Processes and a container that are as the test says; also the fleet."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.trees: dict[int, tuple[ProcessUsage, ...]] = {}
        self.pids: dict[InstanceId, int] = {}
        self.samples = 0
        self.decisions: list[Decision] = []
        self.watch = MemoryWatch(random=lambda: 0.0)
        self.limit = 1000 * MIB
        self.resizes: list[tuple[int | None, int | None]] = []

    def monitor(self, *, guarded: bool = False) -> Monitor:
        return Monitor(
            clock=self.clock,
            usage=self.book(),
            container=self,
            watch=self.watch,
            fleet=self,
            guarded=guarded,
        )

    def book(self) -> UsageBook:
        return UsageBook(
            self.pids.values,
            now=self.clock.time,
            call_soon=lambda call: self.clock.call_later(0, call),
            sampler=self,
        )

    def run(self, who: InstanceId, *mib: int) -> None:
        """An incarnation is online with these processes, the main one first."""
        pid = 100 * (1 + len(self.pids))
        self.pids[who] = pid
        self.trees[pid] = tuple(process(pid + n, size) for n, size in enumerate(mib))
        self.watch.online(who, self.clock.now)

    def sample(self, roots: Iterable[int]) -> Mapping[int, TreeUsage]:
        self.samples += 1
        return {
            pid: TreeUsage(self.trees[pid][0], self.trees[pid][1:], self.clock.now)
            for pid in roots
            if pid in self.trees
        }

    def memory(self) -> Memory:
        return Memory(limit=self.limit, usage=1)

    def resized(self, before: int | None, now: int | None) -> None:
        self.resizes.append((before, now))

    def processes(self) -> Mapping[InstanceId, int]:
        return self.pids

    def carry_out(self, decision: Decision) -> None:
        self.decisions.append(decision)


def spec(name: str = "api", **keys: Any) -> AppSpec:
    """An app with these memory keys."""
    return AppSpec(name=name, argv=("/bin/app",), **keys)


API, WORKER = InstanceId("api", 0, 1), InstanceId("worker", 0, 1)


def test_one_sample_serves_all_apps() -> None:
    """Two apps with limits: one pass a second, and each gets its decision."""
    host = FakeHost()
    monitor = host.monitor()
    for name in ("api", "worker"):
        monitor.adopt(spec(name, max_memory_restart=100 * MIB), instances=1)
    host.run(API, 50)
    host.run(WORKER, 150)
    host.clock.advance(1)
    assert host.samples == 1
    assert [d.who for d in host.decisions if isinstance(d, Recycle)] == [WORKER]
    host.clock.advance(3)
    assert host.samples == 4


def test_an_app_with_a_longer_interval_is_judged_less_often() -> None:
    """Its samples in a row are its own interval apart, although the other app is measured each second."""
    host = FakeHost()
    monitor = host.monitor()
    monitor.adopt(spec("api", max_memory_restart=100 * MIB), instances=1)
    monitor.adopt(
        spec("worker", max_memory_restart=100 * MIB, memory_interval=5, memory_samples=3), instances=1
    )
    host.run(WORKER, 150)
    host.clock.advance(10.5)
    assert host.decisions == []
    host.clock.advance(1)
    assert len(host.decisions) == 1


def test_without_limits_it_measures_for_people_only() -> None:
    """Every five seconds; every second when the container is guarded."""
    host = FakeHost()
    host.monitor().adopt(spec(), instances=1)
    host.clock.advance(2 * IDLE_INTERVAL)
    assert host.samples == 2
    guarded = FakeHost()
    guarded.monitor(guarded=True).adopt(spec(), instances=1)
    guarded.clock.advance(3)
    assert guarded.samples == 3


@pytest.mark.parametrize(("scope", "decided"), [(MemoryScope.TREE, 1), (MemoryScope.PROCESS, 0)])
def test_scope(scope: MemoryScope, decided: int) -> None:
    """A child's memory counts, except with PM2's way of counting the main process only."""
    host = FakeHost()
    host.monitor().adopt(spec(max_memory_restart=100 * MIB, memory_scope=scope), instances=1)
    host.run(API, 20, 130)
    host.clock.advance(1)
    assert len(host.decisions) == decided


def test_latest_figures() -> None:
    """CPU use is over the last interval, and what has vanished is left out at the next sample."""
    host = FakeHost()
    book = host.book()
    host.run(API, 50)
    host.clock.advance(1)
    book.usage()
    host.trees[100] = (process(100, 60, cpu_s=0.25),)
    host.clock.advance(1)
    assert book.usage()[100].cpus == 0.25
    assert book.usage()[100].tree.rss == 60 * MIB
    del host.trees[100]
    host.clock.advance(1)
    assert book.usage() == {}


def test_people_and_limits_share_a_sample() -> None:
    """Whoever asks between two ticks gets the figures of the last one, and a tick those of a moment ago."""
    host = FakeHost()
    book = host.book()
    monitor = Monitor(clock=host.clock, usage=book, container=host, watch=host.watch, fleet=host)
    monitor.adopt(spec(max_memory_restart=100 * MIB), instances=1)
    host.run(API, 50)
    host.clock.advance(1)
    book.usage()
    assert host.samples == 1
    host.clock.advance(FRESH + 0.01)
    book.usage()
    assert host.samples == 2
    host.clock.advance(0.99 - FRESH)
    assert host.samples == 2
    host.clock.advance(1)
    assert host.samples == 3


def test_another_limit_of_the_container_is_told_once() -> None:
    """What was measured at the beginning is what it is compared with."""
    host = FakeHost()
    monitor = host.monitor()
    monitor.adopt(spec(max_memory_restart=MemoryShare(fraction=0.5)), instances=1)
    host.clock.advance(2)
    host.limit = 500 * MIB
    host.clock.advance(3)
    assert host.resizes == [(1000 * MIB, 500 * MIB)]


def test_equal_names_in_two_namespaces_are_two_apps() -> None:
    """Each has its own limit, and the memory of one is not taken for the other's."""
    host = FakeHost()
    monitor = host.monitor()
    small, large = InstanceId("api", 0, 1, "small"), InstanceId("api", 0, 1, "large")
    monitor.adopt(spec(namespace="small", max_memory_restart=100 * MIB), instances=1)
    monitor.adopt(spec(namespace="large", max_memory_restart=300 * MIB), instances=1)
    host.run(small, 50)
    host.run(large, 200)
    host.clock.advance(3)
    assert host.decisions == []
    monitor.forget(("small", "api"))
    host.trees[200] = (process(200, 400),)
    host.clock.advance(1)
    assert [decision.who for decision in host.decisions if isinstance(decision, Recycle)] == [large]


def test_a_stopped_monitor_does_nothing() -> None:
    """No timer is left."""
    host = FakeHost()
    monitor = host.monitor()
    monitor.adopt(spec(max_memory_restart=100 * MIB), instances=1)
    monitor.stop()
    host.clock.advance(10)
    assert host.samples == 0
    assert host.clock.pending == 0


LEAKING_GRANDCHILD = """
import os, sys
if os.fork() == 0:
    hoard = []
    for line in sys.stdin:
        hoard.append(b"x" * (5 << 20))
        print("grown", flush=True)
os.wait()
"""


class RealFleet(FakeHost):
    """One real process, and the decisions about it."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.pids = {API: pid}


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
        fleet = RealFleet(running.pid)
        book = UsageBook(fleet.pids.values, now=fleet.clock.time, call_soon=print, sampler=TreeSampler())
        monitor = Monitor(clock=fleet.clock, usage=book, container=fleet, watch=fleet.watch, fleet=fleet)
        monitor.adopt(spec(memory_soft_limit=60 * MIB, max_memory_restart=120 * MIB), instances=1)
        fleet.watch.online(API, fleet.clock.now)

        def recycled() -> list[Recycle]:
            grow(running)
            fleet.clock.advance(1)
            return [decision for decision in fleet.decisions if isinstance(decision, Recycle)]

        (decision,) = harness.eventually(recycled, "the limit")
        assert isinstance(fleet.decisions[0], Soften)
        assert decision.usage >= 120 * MIB
        assert book.usage()[running.pid].tree.root.rss < 60 * MIB
        assert running.process.stdin is not None
        running.process.stdin.close()  # the child's end, and then its parent's
        running.wait()
