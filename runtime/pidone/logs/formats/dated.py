"""What PM2's `log_date_format` and `log_type` make of stdout's lines, under PM2's names.

As pm2-runtime 7 writes them, but for each line and not for each read() of the app's pipe.
"""

from collections.abc import Callable

from pidone.ecosystem.spec import AppSpec
from pidone.logs.files.dates import date_formatter
from pidone.logs.formats.pm2 import pm2_json_shape
from pidone.logs.formats.shape import Frame, RecordIdentity, Shape
from pidone.logs.timestamps import WallClock


def dated(shape: Shape, app: AppSpec, origin: RecordIdentity, clock: WallClock) -> Shape:
    """`shape` with the app's date before each line; raw lines become records where the app wants that."""
    pattern = app.log_date_format
    now = None if pattern is None else date_formatter(pattern)
    if app.log_type == "json" and shape.verbatim:  # in a record of `--json` there is no other one
        return _wrapped(origin, None if now is None else lambda: now(clock()))
    if now is None:
        return shape

    def around(timestamp: str, level: str, partial: bool) -> Frame:  # noqa: FBT001 - a fact about the line
        start, end = shape.around(timestamp, level, partial)
        return start + shape.escape(f"{now(clock())}: ".encode(errors="replace")), end

    return shape.but(around=around, verbatim=False)


def _wrapped(origin: RecordIdentity, date: Callable[[], str] | None) -> Shape:
    """PM2's record, whose timestamp is as the app wants its dates."""
    shape = pm2_json_shape(origin)
    if date is None:
        return shape

    def around(timestamp: str, level: str, partial: bool) -> Frame:  # noqa: FBT001 - a fact about the line
        del timestamp
        text = shape.escape(date().encode(errors="replace")).decode()
        return shape.around(text, level, partial)

    return shape.but(around=around)
