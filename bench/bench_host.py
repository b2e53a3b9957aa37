"""What knowing the box costs: counting CPUs at each start, sampling all processes each second."""

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

import psutil

from bench.figures import Figure
from pidone.host.cgroup import Box
from pidone.host.cpus import available_cpus
from pidone.host.processes import TreeSampler, tree_pss

PROCESSES = 100
ROUNDS = 15

_TREE = """
import os, sys, time
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        time.sleep(600)
print("up", flush=True)
time.sleep(600)
"""


def run() -> Iterable[Figure]:
    """Measure with 10 instances of 10 processes each, beside psutil doing the same."""
    roots = [
        subprocess.Popen(
            [sys.executable, "-c", _TREE, str(PROCESSES // 10 - 1)],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        for _ in range(10)
    ]
    try:
        for root in roots:
            assert root.stdout is not None
            root.stdout.readline()
        yield from _figures([root.pid for root in roots])
    finally:
        for root in roots:
            os.killpg(root.pid, 9)
            root.communicate()


def _figures(pids: list[int]) -> Iterable[Figure]:
    sampler = TreeSampler()
    trees = sampler.sample(pids)
    assert sum(len(tree.processes) for tree in trees.values()) == PROCESSES
    ours, peer, naive = _alternate(
        lambda: sampler.sample(pids), lambda: _psutil_pass(pids), lambda: _psutil_children(pids)
    )
    every = len(psutil.pids())
    # One sample per second: milliseconds of CPU time per sample / 10 is percent of a core.
    yield Figure(
        f"sampling {PROCESSES} processes each second ({every} in /proc)",
        "% of a core",
        [value / 10 for value in ours],
        [value / 10 for value in peer],
        "psutil, one pass",
        "below 2 %",
        met=sorted(ours)[len(ours) // 2] / 10 < 2,
    )
    yield Figure(
        "the same, children(recursive=True) per instance",
        "% of a core",
        [value / 10 for value in ours],
        [value / 10 for value in naive],
        "psutil",
    )
    (pss,) = _alternate(lambda: [tree_pss(tree) for tree in trees.values()])
    yield Figure(f"PSS of {PROCESSES} small processes, on request", "ms", pss)
    (cpus,) = _alternate(available_cpus)
    yield Figure("available_cpus(), on every start", "ms", cpus, target="below 2 ms", met=sorted(cpus)[7] < 2)
    box = Box.find()
    (guard,) = _alternate(lambda: (box.memory(), box.oom_kills()))
    yield Figure("container memory and OOM counters, each second", "ms", guard)


def _alternate(*tasks: Callable[[], object]) -> list[list[float]]:
    """Milliseconds of CPU time of each task, taken in turns so that all see the same machine."""
    spent: list[list[float]] = [[] for _ in tasks]
    for _ in range(ROUNDS):
        for times, task in zip(spent, tasks, strict=True):
            gc.collect()
            start = time.process_time()
            task()
            times.append((time.process_time() - start) * 1e3)
    return spent


def _psutil_pass(roots: list[int]) -> dict[int, int]:
    """RSS and CPU time per root, all processes read once."""
    parents, usage = {}, {}
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                parents[process.pid] = process.ppid()
                usage[process.pid] = (
                    process.memory_info().rss,
                    sum(process.cpu_times()[:4]),
                    process.num_threads(),
                )
        except psutil.Error:
            continue
    sums = dict.fromkeys(roots, 0)
    for pid, (rss, _, _) in usage.items():
        owner: int | None = pid
        while owner is not None and owner not in sums:
            owner = parents.get(owner)
        if owner is not None:
            sums[owner] += rss
    return sums


def _psutil_children(roots: list[int]) -> dict[int, int]:
    """The usual way: ask each root for its descendants, each descendant for its numbers."""
    sums = {}
    for pid in roots:
        root = psutil.Process(pid)
        sums[pid] = 0
        for process in (root, *root.children(recursive=True)):
            with process.oneshot():
                sums[pid] += process.memory_info().rss
                process.cpu_times()
    return sums
