"""Become another program, as execvp(3) does it, with the environment byte for byte as it was given to us."""

import errno
import os

_SKIP = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENODEV, errno.ETIMEDOUT)
"""execvp(3) goes on to the next directory of PATH after these; EACCES it remembers."""


def execvp(argv: list[str]) -> OSError:
    """Replace this process by `argv`, found through PATH; returns only if that fails, and says why.

    A text file without a `#!` line is given to /bin/sh. The environment passed on is the C library's own,
    so variables that Python cannot represent survive.
    """
    name = argv[0]
    if "/" in name:
        return _execute(name, argv)
    error = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    denied = None
    for directory in os.environ.get("PATH", os.defpath).split(":") if name else ():
        error = _execute(f"{directory}/{name}" if directory else name, argv)
        if error.errno == errno.EACCES:
            denied = error
        elif error.errno not in _SKIP:
            return error
    return denied or error


def _execute(path: str, argv: list[str]) -> OSError:
    try:
        os.execv(path, argv)  # noqa: S606 - no shell is what we want
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            return error
    try:
        os.execv("/bin/sh", ["/bin/sh", path, *argv[1:]])  # noqa: S606 - as execvp(3) does
    except OSError as error:
        return error


def undo_locale_coercion() -> None:
    """Take back the LC_CTYPE that Python put into the environment in a C locale (PEP 538), if it did."""
    if os.environ.get("LC_CTYPE") not in ("C.UTF-8", "C.utf8", "UTF-8"):
        return
    from pidone.procfs import read_bytes  # noqa: PLC0415 (hardly ever)

    try:
        given = read_bytes("/proc/self/environ")
    except OSError:
        return
    for entry in given.split(b"\0"):
        if entry.startswith(b"LC_CTYPE="):
            os.environ["LC_CTYPE"] = os.fsdecode(entry.partition(b"=")[2])
            return
    del os.environ["LC_CTYPE"]


def readdress_socket_activation(former_pid: int) -> None:
    """In the child: sockets handed to `former_pid` by sd_listen_fds(3)'s protocol are now ours."""
    if os.environ.get("LISTEN_PID") == str(former_pid):
        os.environ["LISTEN_PID"] = str(os.getpid())
