"""The real runtime, whose children that try a pattern get a signal: `python -I -S harming.py WHEN ...`.

What follows are the number of the signal, the folder of the package and the program. WHEN is `before` they
look, or `amid` what they answer. A program of its own, because such a child lives for a few milliseconds, and
nobody outside would be sure to meet it.
"""

import os
import runpy
import sys
from collections.abc import Callable
from typing import Any

PART = 1000
"""Bytes of an answer that still arrive."""


def harm_searches(when: str, number: int) -> None:
    """Put another beginning of the child in the place of its own."""
    from pidone import bounded_search  # the program is told where it is

    whole: Callable[..., Any] = bounded_search._be_the_child

    def instead(look: Callable[[bytes], bytes], text: bytes, write: int) -> object:
        if when == "before":
            os.kill(os.getpid(), number)
        os.write = part_of  # only in this child
        return whole(look, text, write)

    def part_of(fd: int, data: Any) -> int:
        write(fd, data[:PART])
        os.kill(os.getpid(), number)
        return PART

    write = os.write
    bounded_search._be_the_child = instead  # type: ignore[assignment]


if __name__ == "__main__":
    when, signal_number, packages = sys.argv[1:4]
    sys.path.append(packages)
    harm_searches(when, int(signal_number))
    sys.argv[:] = sys.argv[4:]
    runpy.run_path(sys.argv[0], run_name="__main__")
