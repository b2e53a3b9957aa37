"""What the configuration of each app says shall happen to its lines, and what is remembered of it."""

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from pidone.ecosystem.spec import AppSpec, Bytes, Seconds
from pidone.logs.encoder import Encoder
from pidone.logs.formats.shape import Format, RecordIdentity, Shape
from pidone.logs.limits import DropReport, RateLimit
from pidone.logs.pipeline import Counts, Put, Stages
from pidone.logs.timestamps import Timestamps, WallClock
from pidone.throttle import Throttle

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from pathlib import Path

    from pidone.bounded_search import BoundedSearch
    from pidone.logs.files.logfiles import FileSet, LogFiles
    from pidone.logs.filters.line_filter import LineFilter
    from pidone.logs.multiline import Joiner

AppKey: TypeAlias = tuple[str, str]
"""Namespace and name."""

_RATE_LIMIT: Final = "rate_limit"
_OVERFLOW: Final = "overflow"
_STREAMS: Final = ("stdout", "stderr")


class Tell(Protocol):
    """`LogSink.event`."""

    def __call__(self, level: str, event: str, /, message: str = "", **fields: object) -> None: ...


class AppStreams:
    """Plans the pipeline of every stream; the instances of an app share limits, counts, reports and files."""

    def __init__(
        self,
        loop: "AbstractEventLoop",
        shown: Format,
        timestamps: Timestamps,
        *,
        clock: WallClock,
        tell: Tell,
        outputs: tuple[int, ...],
        on_room: Callable[[], None],
    ) -> None:
        """`shown` is stdout's format, `outputs` are the descriptors of stdout and stderr.

        `on_room` is called when a file that is full (`FileSet.full`) may have room again.
        """
        self._loop = loop
        self._shown = shown
        self._timestamps = timestamps
        self._clock = clock
        self._tell = tell
        self._outputs = outputs
        self._on_room = on_room
        self._limits: dict[AppKey, RateLimit] = {}
        self._drops: dict[tuple[AppKey, str], DropReport] = {}
        self._searches: dict[AppKey, BoundedSearch] = {}
        self._files: LogFiles | None = None
        self._throttle = Throttle(time.monotonic)
        self.counts: dict[tuple[AppKey, str], Counts] = {}
        """Per app and stream, since the start."""

    def begin(self, app: AppSpec, stream: str) -> bool:
        """Count from now on; whether its pipeline is to be made at once, and not for its first line.

        What the instances of an app share goes by the rules of who has begun last.
        """
        self._count(app, stream)
        return bool(app.rate_limit or app.out_file or app.error_file or app.log_file)

    def stages(
        self,
        app: AppSpec,
        origin: RecordIdentity,
        put: Put,
        is_full: Callable[[], bool],
        on_line: Callable[[str], object] | None,
    ) -> Stages:
        """For one stream of one incarnation; `is_full` tells whether its output has no room now."""
        shape = self._shape(app, origin)
        drops = app.overflow == "drop"
        encoder = Encoder(shape, level=level_of(app, origin.stream), max_line=app.max_line)
        return Stages(
            encoder=encoder,
            timestamps=self._timestamps,
            counts=self._count(app, origin.stream),
            put=None if app.disable_logs else put,
            verbatim=shape.verbatim,
            on_line=on_line,
            limit=self._limit(app) if app.rate_limit else None,
            limited=self._drop_report(app, _RATE_LIMIT) if app.rate_limit else None,
            files=self._file_set(app, origin),
            line_filter=self._line_filter(app),
            joiner=None if shape.verbatim else self._joiner(app, encoder.room),
            is_full=is_full if drops else None,
            overflowed=self._drop_report(app, _OVERFLOW) if drops else None,
        )

    def _count(self, app: AppSpec, stream: str) -> Counts:
        return self.counts.setdefault((app.key(), stream), Counts())

    def _shape(self, app: AppSpec, origin: RecordIdentity) -> Shape:
        shape = self._shown.shape(origin)
        if not (app.dates_output and (app.log_date_format or app.log_type)):
            return shape
        from pidone.logs.formats.dated import dated  # noqa: PLC0415 (few apps want that)

        return dated(shape, app, origin, self._clock)

    def reopen(self) -> None:
        """Open all log files anew; also those that have failed."""
        if self._files is not None:
            self._files.reopen()

    def forget(self, app: AppKey) -> None:
        """The app was removed for good."""
        self._limits.pop(app, None)
        self._searches.pop(app, None)
        for reason in (_OVERFLOW, _RATE_LIMIT):
            if report := self._drops.pop((app, reason), None):
                report.flush()
        if self._files is not None:
            self._files.forget(app)
        for name in _STREAMS:
            self.counts.pop((app, name), None)

    def report_overflow(self) -> None:
        """stdout has room again: tell what it had none for."""
        for (_, reason), report in self._drops.items():
            if reason == _OVERFLOW:
                report.flush()

    def report(self) -> None:
        """Tell what is still to be told."""
        for report in self._drops.values():
            report.flush()

    def helpers(self) -> list[int]:
        """See `LogFiles.helpers`."""
        return [] if self._files is None else self._files.helpers()

    def drain(self, patience: Seconds, until: Seconds) -> None:
        """See `LogFiles.drain`."""
        if self._files is not None:
            self._files.drain(patience, until)

    def close(self) -> None:
        """The end."""
        if self._files is not None:
            self._files.close()

    def _file_set(self, app: AppSpec, origin: RecordIdentity) -> "FileSet | None":
        """The files of a stream, for the few apps that want any."""
        if not (app.out_file or app.error_file or app.log_file):
            return None
        if self._files is None:
            from pidone.logs.files.logfiles import LogFiles  # noqa: PLC0415 (pathlib comes with it)

            self._files = LogFiles(self._clock, self, self._outputs, self._loop, self._on_room)
        return self._files.of(app, origin)

    def _limit(self, app: AppSpec) -> RateLimit:
        """One for all instances; a new value of the key makes a new one."""
        rate = app.rate_limit or 0
        limit = self._limits.get(app.key())
        if limit is None or limit.rate != rate:
            limit = self._limits[app.key()] = RateLimit(rate, time.monotonic)
        return limit

    def _drop_report(self, app: AppSpec, reason: str) -> DropReport:
        """One for all instances. What a full stdout had no room for is told when there is room again."""

        def report(lines: int) -> None:
            told = f"{lines} lines dropped: {reason}"
            self._tell("warning", "log.dropped", told, **app.labels(), lines=lines, reason=reason)

        later = self._loop.call_later if reason == _RATE_LIMIT else _never
        return self._drops.setdefault((app.key(), reason), DropReport(report, later))

    def _line_filter(self, app: AppSpec) -> "LineFilter | None":
        if not (app.log_drop or app.log_redact or app.strip_colors):
            return None
        from pidone.logs.filters.line_filter import line_filter  # noqa: PLC0415 (few apps filter lines)

        return line_filter(
            drop=app.log_drop,
            redact=app.log_redact,
            strip_colors=app.strip_colors,
            search=self._search(app),
        )

    def _joiner(self, app: AppSpec, room: Bytes) -> "Joiner | None":
        if not app.multiline:
            return None
        from pidone.logs.multiline import joiner  # noqa: PLC0415 (few apps join lines)

        return joiner(app.multiline, room, self._search(app))

    def _search(self, app: AppSpec) -> "BoundedSearch":
        """One for all instances: they share what time is lost with their lines."""
        if app.key() not in self._searches:
            from pidone.bounded_search import BoundedSearch  # noqa: PLC0415 (few apps have patterns)

            self._searches[app.key()] = BoundedSearch(functools.partial(self._pattern_failed, app))
        return self._searches[app.key()]

    def _pattern_failed(self, app: AppSpec, told: str) -> None:
        if count := self._throttle.due((app.key(), told)):
            self._tell("warning", "log.pattern_failed", told, **app.labels(), count=count)

    def pipe_failed(self, app: AppSpec, error: OSError) -> None:
        """The kernel does not watch a pipe, or does not let it be read."""
        if count := self._throttle.due(app.key()):
            told = f"the pipe of an instance is not watched: {error.strerror}"
            self._tell("warning", "log.pipe_failed", told, **app.labels(), error=str(error), count=count)

    def file_failed(self, app: AppSpec, path: "Path", what: str, error: OSError, count: int) -> None:
        """See `AppFileNews`."""
        told = f"{path} is not {what}: {error.strerror}" + (f" ({count} times)" if count > 1 else "")
        self._tell(
            "warning",
            "log.file_failed",
            told,
            **app.labels(),
            path=str(path),
            error=str(error),
            count=count,
        )

    def file_restored(self, app: AppSpec, path: "Path", lost: int) -> None:
        """See `AppFileNews`."""
        told = f"{path} is written again, without {lost} lines"
        self._tell("info", "log.file_restored", told, **app.labels(), path=str(path), lines=lost)


def _never(_delay: Seconds, _callback: Callable[[], None]) -> None:
    """Somebody else sees to it."""


def level_of(app: AppSpec, stream: str) -> str:
    """Of lines that do not tell theirs."""
    return app.stderr_level if stream == "stderr" else "info"
