"""`python -m bench [NAME...]`: run all benchmarks, or those named, and print their figures.

A benchmark is a module `bench/bench_<name>.py` with `def run() -> Iterable[Figure]`.
"""

import importlib
import sys
from pathlib import Path


def main() -> int:
    """Run and print; exit code 1 if a target was missed."""
    here = Path(__file__).parent
    names = sys.argv[1:] or sorted(path.stem.removeprefix("bench_") for path in here.glob("bench_*.py"))
    missed = 0
    for name in names:
        print(f"== {name}", flush=True)
        for figure in importlib.import_module(f"bench.bench_{name}").run():
            print(figure.line(), flush=True)
            missed += figure.met is False
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
