"""Why a program cannot be executed, in words that help: the kernel has one error for several reasons."""

import errno
import os

from pidone.regular import read_regular

_HEAD = 256
"""What the kernel looks at of a script, BINPRM_BUF_SIZE."""


def explain(command: str, failure: OSError) -> str:
    """What `execve` meant by this error for a command line's first word."""
    path = _find(command) if failure.errno == errno.ENOENT else None
    return (path and _what_is_missing(path)) or failure.strerror or str(failure)


def _what_is_missing(path: str) -> str:
    """The file is there, so what is missing is what it names."""
    try:
        head = read_regular(path, _HEAD)
    except OSError:
        return ""
    if head.startswith(b"#!"):
        line = head[2:].partition(b"\n")[0].strip(b" \t")
        interpreter = os.fsdecode(line.split(maxsplit=1)[0].rstrip(b"\r")) if line.strip() else ""
        if line.endswith(b"\r"):
            return (
                "its first line ends with CR LF, as Windows writes it, and there is no interpreter "
                f"{interpreter + chr(13)!r}: save it with LF line ends"
            )
        return f"its interpreter {interpreter} does not exist"
    if head.startswith(b"\x7fELF"):
        return "its dynamic loader does not exist: it was built for another C library (glibc or musl)"
    return ""


def _find(command: str) -> "str | None":
    folders = [""] if "/" in command else os.environ.get("PATH", os.defpath).split(":")
    return next(
        (path for path in (os.path.join(each, command) for each in folders) if os.path.isfile(path)), None
    )
