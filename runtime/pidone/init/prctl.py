"""The calls of prctl(2) that Python does not offer; ctypes is imported at the first call only."""

import errno
import os
import sys

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing at run time
if TYPE_CHECKING:
    from typing import Any

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4


def set_child_subreaper() -> None:
    """Adopt orphaned descendants as PID 1 does. It survives exec; children do not inherit it.

    Nothing is to be done where the native launcher has seen to it (`native.h`).

    Raises:
        OSError: EINVAL on a kernel older than 3.4.
    """
    if sys._xoptions.get("adopts") == str(os.getpid()):  # noqa: SLF001 - as documented for -X
        return
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def is_subreaper() -> bool:
    """Whether orphaned descendants are reparented to this process (always false for PID 1 by default)."""
    from ctypes import byref, c_int  # noqa: PLC0415 - costs milliseconds that PID 1 need not spend

    value = c_int()
    _prctl(_PR_GET_CHILD_SUBREAPER, byref(value))
    return bool(value.value)


def set_parent_death_signal(signum: int) -> None:
    """Have the kernel send us `signum` when the thread that created us ends; 0 turns it off.

    Cleared by fork and by executing a set-user-ID program. A parent that ended before the call is missed:
    compare `os.getppid()` afterwards.

    Raises:
        OSError: EINVAL if `signum` is not a signal.
    """
    _prctl(_PR_SET_PDEATHSIG, signum)


def set_no_new_privs() -> None:
    """Make set-user-ID bits and file capabilities ineffective for us and all we execute, for good."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def clear_ambient_capabilities() -> None:
    """Have the programs that we execute begin without capabilities; a set-user-ID root resets them itself.

    Raises:
        OSError: EINVAL on a kernel older than 4.3, which has none.
    """
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)


def prepare() -> None:
    """Load what a call takes, for who forks: after the fork it would be loaded for every child anew."""
    try:
        _libc()
    except OSError:  # whoever calls hears of it
        return


def _libc() -> "Any":
    if not _loaded:
        try:
            from ctypes import CDLL  # noqa: PLC0415 - as above
        except ImportError as error:  # a Python built without libffi
            raise OSError(errno.ENOSYS, "this Python has no ctypes") from error
        _loaded.append(CDLL(None, use_errno=True))
    return _loaded[0]


_loaded: "list[Any]" = []


def _prctl(option: int, argument: object) -> None:
    libc = _libc()
    from ctypes import c_ulong, get_errno  # noqa: PLC0415 - as above

    # prctl is variadic and reads unsigned longs; a bare int would leave the upper halves undefined.
    value = c_ulong(argument) if isinstance(argument, int) else argument
    if libc.prctl(option, value, c_ulong(0), c_ulong(0), c_ulong(0)) != 0:
        raise OSError(get_errno(), os.strerror(get_errno()))
