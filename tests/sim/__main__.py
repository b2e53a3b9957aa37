"""`python -m sim --seed N` replays one history; `--seeds FIRST-LAST` plays many, over all CPUs."""

import argparse
import collections
import gc
import multiprocessing
import os
import sys
import time
from typing import Final

from sim.directed import directed
from sim.history import Result, history_of, play
from sim.setups import Setup
from sim.shrink import described, shrink
from sim.steps import Step

_CHUNK: Final = 50
"""Histories that a process gets at once: few, so that none is left alone with the last of them."""
_SWEPT: Final = 5
"""Histories after which what they have left behind is swept up, while it is still in the caches."""
_SHOWN: Final = 80
"""Lines of what happened before a failure."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one, and tell what happens in it")
    parser.add_argument("--seeds", default="0-19999", help="FIRST-LAST, or how many")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--most", type=int, default=3, help="failures that are shrunk and shown")
    parser.add_argument("--no-shrink", action="store_true")
    told = parser.parse_args()
    if told.seed is not None:
        return replay(told.seed, shrinks=not told.no_shrink)
    first, dash, last = told.seeds.partition("-")
    start, end = (int(first), int(last) + 1) if dash else (0, int(first))
    return many(start, end, jobs=told.jobs, most=told.most)


def replay(seed: int, *, shrinks: bool) -> int:
    """Show one history; if it fails, the shrunk one."""
    setup, steps = history_of(seed)
    result = play(setup, steps)
    if shrinks and result.violations:
        setup, steps, result = shrink(setup, steps)
    show(setup, steps, result)
    return 1 if result.violations else 0


def show(setup: Setup, steps: tuple[Step, ...], result: Result) -> None:
    """What it consists of, and what happened."""
    print(described(setup, steps))
    print("\n".join(result.log[-_SHOWN:]))
    for violation in result.violations:
        print(violation)


def many(start: int, end: int, *, jobs: int, most: int) -> int:
    """Play all; show the first few that fail."""
    failed = [name for name, history in directed().items() if play(*history).violations]
    for name in failed:
        print(f"\n=== {name}:")
        show(*shrink(*directed()[name]))
    began = time.monotonic()
    chunks = [(first, min(first + _CHUNK, end)) for first in range(start, end, _CHUNK)]
    failures: dict[int, str] = {}
    with multiprocessing.Pool(jobs, _begin) as pool:
        for found in pool.imap_unordered(failing, chunks):
            failures |= found
    took = time.monotonic() - began
    print(f"{end - start} histories in {took:.1f} s ({start} to {end - 1}), {len(failures)} failed")
    kinds = collections.Counter(failures.values())
    for what, count in kinds.most_common():
        print(f"  {count} x {what}, first: {min(seed for seed, each in failures.items() if each == what)}")
    for seed in sorted(failures)[:most]:
        print(f"\n=== seed {seed} (make sim SEED={seed}), shrunk:")
        replay(seed, shrinks=True)
    return 1 if failures or failed else 0


def _begin() -> None:
    """Nothing but what a world leaves behind is looked at when that is swept up."""
    gc.disable()
    gc.collect()
    gc.freeze()


def failing(seeds: tuple[int, int]) -> dict[int, str]:
    """Which fail, and how."""
    found = {}
    for number, seed in enumerate(range(*seeds), 1):
        if what := play(*history_of(seed)).what:
            found[seed] = what
        if number % _SWEPT == 0:
            gc.collect()
    return found


if __name__ == "__main__":
    sys.exit(main())
