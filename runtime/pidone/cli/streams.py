"""The standard streams of a command: what stdout does not take is told, what stderr does not take is lost.

Python knows neither: it has no stream at all where a descriptor was closed, and finds out about a full disk
when it has done everything else.
"""

import errno
import io
import sys

from pidone.descriptors import occupy_standard
from pidone.init.bare.output import complain
from pidone.init.exitcodes import ExitCode

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TextIO


class StdoutError(Exception):
    """stdout did not take what was written, for the reason that is its cause."""


class _Stdout(io.FileIO):
    def write(self, data: "Any", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise StdoutError from error


class _Stderr(io.FileIO):
    def write(self, data: "Any", /) -> int:
        try:
            return super().write(data)
        except OSError:  # the exit code has to say it all
            return len(memoryview(data))


def run(command: "Callable[[list[str]], int]", words: list[str]) -> int:
    """Run what prints; its exit code, or that of a lost stdout, which is told."""
    occupy_standard()
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as we live
    if sys.stdout is sys.__stdout__:
        sys.stdout = _stream(_Stdout(1, "w", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _stream(_Stderr(2, "w", closefd=False), sys.stderr)
    try:
        code = command(words)
        sys.stdout.flush()
    except StdoutError as error:
        sys.stdout = None  # nothing is left to flush into
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno == errno.EPIPE:  # `pidone ls | head` is no mistake
            return 0
        complain(f"stdout: {getattr(cause, 'strerror', cause)}")
        return ExitCode.STDOUT_LOST
    return code


def _stream(raw: io.FileIO, python: "TextIO | None") -> io.TextIOWrapper:
    """Over `raw`, as Python has made its own, if it has."""
    encoding, errors, is_line_buffered = "utf-8", "backslashreplace", raw.isatty()
    if isinstance(python, io.TextIOWrapper):
        encoding, errors, is_line_buffered = python.encoding, python.errors or errors, python.line_buffering
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=is_line_buffered)
