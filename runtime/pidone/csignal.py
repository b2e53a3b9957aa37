"""The `signal` module without its enums, for programs whose start is waited for.

`signal` is `_signal`, which is built into the interpreter, plus a conversion of all constants into enums;
that imports seven modules and takes a fifth of the time between the start of `pidone exec` and its command's.
"""

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    import signal
else:
    try:
        import _signal as signal
    except ImportError:  # not CPython
        import signal

__all__ = ["signal"]
