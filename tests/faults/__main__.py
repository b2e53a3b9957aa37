"""`python -m faults`: the sweep. A real runtime lives once for each call, errno and occurrence."""

import argparse
import errno
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import harness
from faults.calls import CANNOT_FAIL, FOREVER
from faults.cases import LIFE, Case, all_cases, parse, share
from faults.judge import Verdict, judge
from faults.notifier import Fault
from faults.played import Seen, play

RESULTS: Final = Path(".cache/sweep.jsonl")
ATTEMPTS: Final = 3
MOST_PATIENCE: Final = 30.0
_patience = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument(
        "cases", nargs="*", help="CALL:ERRNO:N or CALL:ERRNO:forever; CALL alone is all of its"
    )
    parser.add_argument(
        "--jobs", type=int, default=2 * len(os.sched_getaffinity(0)), help="half of a life is waiting"
    )
    parser.add_argument("--share", action="store_true", help="the fixed tenth that CI plays")
    parser.add_argument("--exhaustive", action="store_true", help="each n-th with each errno, not by turns")
    parser.add_argument("--whole", action="store_true", help="only the first and each occurrence")
    parser.add_argument("--results", type=Path, default=RESULTS, help="what is in there is not played again")
    parser.add_argument("--fresh", action="store_true", help="forget the results")
    parser.add_argument("--show", action="store_true", help="what was seen of each")
    told = parser.parse_args()
    harness.become_subreaper()
    cases = chosen(told)
    if told.show:
        return show(cases)
    told.results.parent.mkdir(parents=True, exist_ok=True)
    if told.fresh:
        told.results.unlink(missing_ok=True)
    done = _read(told.results)
    left = sorted((case for case in cases if str(case) not in done), key=lambda case: case.draw)
    began = time.monotonic()
    print(f"{len(cases)} faults, {len(left)} to be played", flush=True)
    with (
        told.results.open("a") as file,
        multiprocessing.Pool(told.jobs, _be_a_player, maxtasksperchild=50) as pool,
    ):
        for result in pool.imap_unordered(_played, map(str, left)):
            done[result["case"]] = result
            file.write(json.dumps(result) + "\n")
            file.flush()
            if result["outcome"] == "harmed":
                print(f"{result['case']}: {'; '.join(result['details'])}", flush=True)
    return _report([done[str(case)] for case in cases], time.monotonic() - began)


def chosen(told: argparse.Namespace) -> list[Case]:
    """What the command line asks for; lives without a fault tell which calls there are.

    Not so for the share: what decides about a change has to be repeatable.
    """
    if told.share:
        return share(all_cases(LIFE, LIFE, exhaustive=False))
    exact = [parse(word) for word in told.cases if ":" in word]
    if told.cases and len(exact) == len(told.cases):
        return exact
    counts, at_start = Counter(LIFE), Counter(LIFE)
    for pid1 in (False, True)[: 2 if os.geteuid() == 0 else 1]:
        for _ in range(3):  # asked about every call, it is slow, and a signal may interrupt what never is
            with tempfile.TemporaryDirectory(prefix="pidone-sweep-") as folder:
                seen = play(None, Path(folder) / "life", pid1=pid1, patience=MOST_PATIENCE)
            verdict = judge(None, seen)
            if verdict.outcome == "unharmed":
                break
        strangers = seen.unknown - CANNOT_FAIL.keys()
        if verdict.outcome != "unharmed" or strangers:
            sys.exit(f"without a fault: {verdict}; calls that the table does not know: {sorted(strangers)}")
        counts |= Counter(seen.counts)
        at_start |= Counter(seen.at_start)
    found = all_cases(counts, at_start, exhaustive=told.exhaustive)
    if told.cases:
        found = [case for case in found if case.call in told.cases] + exact
    if told.whole:
        found = [case for case in found if case.when in (1, FOREVER)]
    return found


def one(case: Case, patience: float = 1.0) -> tuple[Seen, Verdict]:
    """Play it: half of them as process 1, where that can be had.

    What looks like a harm, and might be a machine that is too slow, is played again with more patience:
    twice the seconds that a life without a fault takes at that moment; limits are made for one of a second.
    Whatever else is wrong counts at once.
    """
    pid1 = os.geteuid() == 0 and case.draw % 2 == 1
    for attempt in range(ATTEMPTS):
        if attempt:
            patience = 2 * max(patience, unharmed_s())
        with tempfile.TemporaryDirectory(prefix="pidone-sweep-") as folder:
            fault = Fault(case.call, case.error, case.when)
            life = Path(folder) / "life"
            seen = play(fault, life, pid1=pid1, is_short=case.when > 1, patience=patience)
        verdict = judge(case, seen)
        if verdict.outcome != "harmed" or not verdict.may_be_slowness:
            break
    return seen, verdict


def unharmed_s() -> float:
    """How long a whole life takes on this machine just now."""
    for _ in range(ATTEMPTS):
        with tempfile.TemporaryDirectory(prefix="pidone-sweep-") as folder:
            never = Fault("bpf", errno.EPERM, 0)
            seen = play(never, Path(folder) / "life", pid1=False, patience=MOST_PATIENCE)
        if judge(None, seen).outcome == "unharmed":
            return min(MOST_PATIENCE, seen.took_s)
    sys.exit(f"without a fault: {judge(None, seen)}")


def show(cases: Iterable[Case]) -> int:
    """Everything about each."""
    harmed = 0
    for case in cases:
        seen, verdict = one(case)
        harmed += verdict.outcome == "harmed"
        lines = [line for line in seen.out if b'"message":"flood ' not in line]
        print(f"=== {case}, struck {seen.times} times, {seen.took_s:.1f} s: {verdict}")
        print(b"".join(lines).decode(errors="replace"), seen.err, *seen.journal, seen.left, sep="\n")
    return 1 if harmed else 0


def _be_a_player() -> None:
    global _patience  # noqa: PLW0603 (a process of a pool has nothing else to keep it in)
    harness.become_subreaper()
    _patience = max(1.0, unharmed_s())


def _played(name: str) -> dict[str, Any]:
    case = parse(name)
    seen, verdict = one(case, _patience)
    return {
        "case": name,
        "outcome": verdict.outcome,
        "details": verdict.details,
        "code": seen.code,
        "times": seen.times,
        "took_s": round(seen.took_s, 2),
    }


def _read(file: Path) -> dict[str, dict[str, Any]]:
    if not file.exists():
        return {}
    return {result["case"]: result for result in map(json.loads, file.read_text().splitlines())}


def _report(results: list[dict[str, Any]], took_s: float) -> int:
    """The table: call and errno, and how many lives of each occurrence had which outcome."""
    rows: dict[tuple[str, str], dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for result in results:
        call, error, when = result["case"].split(":")
        column = {"1": "first", "forever": "forever"}.get(when, "n-th")
        outcome = result["outcome"] if result["outcome"] != "ended" else f"ended {result['code']}"
        rows[call, error][column][outcome if result["times"] else "not reached"] += 1
    print(f"{'call':<18}{'errno':<16}{'first':<18}{'n-th of the start':<44}forever")
    for (call, error), columns in sorted(rows.items()):
        first, nth, forever = (_cell(columns[name]) for name in ("first", "n-th", "forever"))
        print(f"{call:<18}{error:<16}{first:<18}{nth:<44}{forever}")
    total = Counter(result["outcome"] for result in results)
    counts = ", ".join(f"{total[what]} {what}" for what in ("unharmed", "told", "ended", "harmed"))
    print(f"{len(results)} faults in {took_s:.0f} s: {counts}")
    for result in results:
        if result["outcome"] == "harmed":
            print(f"harmed by {result['case']}: {'; '.join(result['details'])}")
    print("sweep: failed" if total["harmed"] else "sweep: passed, nothing was harmed", flush=True)
    return 1 if total["harmed"] else 0


def _cell(found: Counter[str]) -> str:
    if sum(found.values()) == 1:
        return next(iter(found))
    return ", ".join(f"{count} {what}" for what, count in found.most_common())


if __name__ == "__main__":
    sys.exit(main())
