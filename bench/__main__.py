"""`python -m bench [NAME...]`: run all benchmarks, or those named, and print their figures.

A benchmark is a module `bench/bench_<name>.py` with `def run() -> Iterable[Figure]`.
"""

import argparse
import difflib
import importlib
import signal
import sys
from pathlib import Path

NAMES = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def wanted() -> list[str]:
    """The benchmarks that the command line names, or all; ends with 2 where there is none of that name."""
    parser = argparse.ArgumentParser("python -m bench", description="Measure, and print the figures.")
    parser.add_argument("name", nargs="*", help=f"of {', '.join(NAMES)}; without one all are run")
    names: list[str] = parser.parse_args().name
    for name in names:
        if name not in NAMES:
            close = difflib.get_close_matches(name, NAMES, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(NAMES)}"
            parser.error(f"no benchmark {name}; {hint}")
    return names or NAMES


def main() -> int:
    """Run and print; exit code 1 if a target was missed."""
    missed = 0
    names = wanted()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what has been started ends with it
    for name in names:
        print(f"== {name}", flush=True)
        for figure in importlib.import_module(f"bench.bench_{name}").run():
            print(figure.line(), flush=True)
            missed += figure.met is False
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
