"""What lines look like in a log file: as they were written, with a date before each, or as PM2's records."""

import codecs
from collections.abc import Callable
from typing import TypeAlias

from pidone.ecosystem.spec import AppSpec
from pidone.logs.files.dates import date_formatter
from pidone.logs.formats.pm2 import pm2_json_shape
from pidone.logs.formats.shape import RecordIdentity
from pidone.logs.timestamps import Timestamps, WallClock

LineFormat: TypeAlias = Callable[[bytes], bytes]
"""Text of one stream to what is in the file; pieces of a line that is too long come one by one."""


def line_format_of(app: AppSpec, origin: RecordIdentity, clock: WallClock) -> LineFormat:
    """As the app's `log_type` and `log_date_format` say."""
    stamp = date_formatter(app.log_date_format) if app.log_date_format else None
    if app.log_type == "json":
        if stamp is None:
            return _wrapped(origin, Timestamps(clock).now)
        return _wrapped(origin, lambda: stamp(clock()))
    if stamp is None:
        return lambda text: text
    return _dated(lambda: f"{stamp(clock())}: ".encode(errors="replace"))


def _dated(now: Callable[[], bytes]) -> LineFormat:
    """A date where a line begins."""
    amid_line = False

    def formatted(text: bytes) -> bytes:
        nonlocal amid_line
        date = now()
        start = b"" if amid_line else date
        amid_line = not text.endswith(b"\n")
        return start + (text if amid_line else text[:-1].replace(b"\n", b"\n" + date) + b"\n")

    return formatted


def _wrapped(origin: RecordIdentity, now: Callable[[], str]) -> LineFormat:
    """PM2's record for each line, and like PM2 for each piece of one that comes in several."""
    shape = pm2_json_shape(origin)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a piece may end amid a character
    amid_line = False

    def formatted(text: bytes) -> bytes:
        nonlocal amid_line
        was_amid_line, amid_line = amid_line, not text.endswith(b"\n")
        lines = shape.escape(decoder.decode(text, final=not amid_line).encode())
        if was_amid_line and lines == b"\n":
            return b""
        start, end = shape.around(now(), "info", False)
        return start + lines.removesuffix(b"\n").replace(b"\n", end + b"\n" + start) + end + b"\n"

    return formatted
