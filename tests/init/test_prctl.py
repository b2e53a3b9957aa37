"""prctl(2), seen from a process that uses it."""

import signal
import subprocess

import pytest
from harness import PYTHON, Running, alive, eventually

from pidone.init import prctl


def python(code: str) -> str:
    return subprocess.run([PYTHON, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_a_subreaper_adopts_the_orphans_of_its_descendants() -> None:
    """After `set_child_subreaper` an orphaned grandchild's parent is the subreaper."""
    said = python(
        "import os; from pidone.init import prctl\n"
        "assert not prctl.is_subreaper(); prctl.set_child_subreaper(); assert prctl.is_subreaper()\n"
        "r, w = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0: os.read(r, 1); print(os.getppid(), flush=True)\n"
        "    os._exit(0)\n"
        "os.wait(); os.write(w, b'x'); os.wait(); print(os.getpid())\n"
    )
    adopter, subreaper = said.split()
    assert adopter == subreaper


def test_no_new_privs_is_set_for_good() -> None:
    """`set_no_new_privs` shows in /proc/self/status."""
    said = python(
        "from pidone.init import prctl; prctl.set_no_new_privs(); print(open('/proc/self/status').read())"
    )
    assert "NoNewPrivs:\t1" in said


def test_the_parents_death_sends_the_signal() -> None:
    """A child with a parent-death signal ends when its parent is killed."""
    code = (
        "import os, signal, time; from pidone.init import prctl\n"
        "if os.fork() == 0:\n"
        "    prctl.set_parent_death_signal(signal.SIGUSR1); print(os.getpid(), flush=True)\n"
        "time.sleep(60)\n"
    )
    with Running([PYTHON, "-c", code]) as parent:
        child = int(parent.expect_line(""))
        parent.signal(signal.SIGKILL)
        assert parent.wait() == 128 + signal.SIGKILL
        eventually(lambda: not alive(child), "the child to end")
        eventually(lambda: _reaped(child), "the child to be collected")


def _reaped(pid: int) -> bool:
    import os

    return os.waitpid(pid, os.WNOHANG)[0] == pid


def test_a_python_without_ctypes_says_so() -> None:
    """The caller gets the one kind of error it has to expect anyway."""
    said = python(
        "import sys; sys.modules['ctypes'] = None; from pidone.init import prctl\n"
        "try: prctl.set_child_subreaper()\n"
        "except OSError as error: print(error.strerror)\n"
    )
    assert said == "this Python has no ctypes"


def test_a_refused_call_raises_its_errno() -> None:
    """A signal that does not exist is EINVAL, as an OSError."""
    with pytest.raises(OSError, match="Invalid argument"):
        prctl.set_parent_death_signal(4711)
