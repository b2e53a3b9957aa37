"""A machine that is too busy, for one program only."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

_STARVES = """
import os
os.sched_setaffinity(0, {CPU})
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
for _ in range(3_000_000): pass
"""


def starves(cpu: int) -> str:
    """Python code that gets no further while somebody is busy on that processor, until `feed`."""
    return _STARVES.replace("CPU", str(cpu))


def feed(pid: int) -> None:
    """Let it have what all others have: it need not wait until they want nothing."""
    os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
    os.sched_setaffinity(pid, os.sched_getaffinity(0))


@contextlib.contextmanager
def busy(cpu: int) -> Iterator[None]:
    """Somebody who takes all of a processor from those who only want what is left of it."""
    spin = f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", spin]) as process:
        try:
            yield
        finally:
            process.kill()
