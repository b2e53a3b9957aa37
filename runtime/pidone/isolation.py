"""Keeps out what an image has set for its apps' Python, where our interpreter was not started with -I.

The command does that. What is left is `python -m pidone`, and `pidone-direct` where there is no shell: a
second start, of about 9 ms, is the only cure there, and is taken only when something is set that matters.
"""

import os
import sys

_HARMLESS = (
    "PYTHONBREAKPOINT", "PYTHONCOERCECLOCALE", "PYTHONDONTWRITEBYTECODE", "PYTHONFAULTHANDLER",
    "PYTHONHASHSEED", "PYTHONNOUSERSITE", "PYTHONSAFEPATH", "PYTHONSTARTUP", "PYTHONUNBUFFERED",
)  # fmt: skip
"""All others change what is imported, how, or what is said about it."""


def isolate(program: str) -> None:
    """Run the file `program` again with -I if the environment reaches into this interpreter; else return."""
    if sys.flags.isolated or sys.flags.ignore_environment:
        return
    if any(_matters(name) for name in os.environ):
        called = f"pidone={sys.argv[0]}"
        os.execv(sys.executable, (sys.executable, "-I", "-X", "utf8", "-X", called, program, *sys.argv[1:]))  # noqa: S606 (it becomes itself)


def _matters(name: str) -> bool:
    """Python's own variables; those with an underscore are of its images, as PYTHON_VERSION."""
    return name.startswith("PYTHON") and not name.startswith("PYTHON_") and name not in _HARMLESS


def called_by() -> str:
    """The name that the command was called by, whatever had to be started in between."""
    return str(sys._xoptions.get("pidone", sys.argv[0]))  # noqa: SLF001 (as documented for -X)


def show_name(name: str) -> None:
    """Be called so in ps and top, where the interpreter's name says nothing: /proc/self/comm of proc(5)."""
    try:
        descriptor = os.open("/proc/self/comm", os.O_WRONLY)
        try:
            os.write(descriptor, os.fsencode(name)[:15])
        finally:
            os.close(descriptor)
    except OSError:  # no /proc, or one that is read-only
        return
