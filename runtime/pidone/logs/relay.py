"""The relay: where the lines of all apps and the runtime's own events become one stream of records."""

import functools
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from pidone.contracts import LogSource, Outlet
from pidone.ecosystem.spec import AppSpec, Bytes, RuntimeSpec, Seconds
from pidone.logs.encoder import Encoder
from pidone.logs.formats.choice import FORMATS, choose_format, wants_colour
from pidone.logs.formats.shape import Format, Origin
from pidone.logs.history import Follower, History
from pidone.logs.limits import DropReport, RateLimit
from pidone.logs.output import Output
from pidone.logs.own import OwnEvents
from pidone.logs.pipeline import Counts, LinePipeline, Stages
from pidone.logs.pipes import Gate, PipeOutlet, PipeReader
from pidone.logs.timestamps import Timestamps, WallClock
from pidone.record import EMPTY
from pidone.throttle import Throttle

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from logging import LogRecord
    from pathlib import Path

    from pidone.logs.files.logfiles import FileSet, LogFiles
    from pidone.logs.filters import LineFilter
    from pidone.logs.multiline import Joiner

AppKey: TypeAlias = tuple[str, str]
"""Namespace and name."""

_STORED: Final = "json"
"""The format of what is kept in memory, whatever stdout shows."""
_RATE_LIMIT: Final = "rate_limit"
_OVERFLOW: Final = "overflow"
_STREAMS: Final = ("stdout", "stderr")


class Relay:
    """`LogSink` for one asyncio loop."""

    def __init__(
        self,
        loop: "AbstractEventLoop",
        runtime: RuntimeSpec,
        *,
        stdout_fd: int = 1,
        stderr_fd: int = 2,
        clock: WallClock = time.time,
        on_stdout_lost: Callable[[OSError], None] = lambda _error: None,
    ) -> None:
        """Make it ready for apps; nothing is written before the loop runs.

        Args:
            loop: Does all the waiting.
            runtime: Format and level of the runtime's own events.
            stdout_fd: Where records go.
            stderr_fd: Where stderr goes in the format `raw`, and the runtime's own events with it.
            clock: Wall clock of the records.
            on_stdout_lost: Called once, from the loop, when stdout is found closed or broken.
        """
        self._loop = loop
        name = choose_format(runtime.log_format, stdout_fd)
        self._format = FORMATS[name](wants_colour(stdout_fd))
        self._stored = self._format if name == _STORED else FORMATS[_STORED](False)
        self._timestamps = Timestamps(clock)
        self._output = Output(loop, stdout_fd, on_lost=on_stdout_lost, on_room=self._resume)
        self._errors = self._output
        if name == "raw":
            self._errors = Output(loop, stderr_fd, on_lost=lambda _error: None, on_room=self._resume)
        self._readers: OrderedDict[PipeReader, None] = OrderedDict()
        self._history = History()
        self._counts: dict[tuple[AppKey, str], Counts] = {}
        self._limits: dict[AppKey, RateLimit] = {}
        self._clock = clock
        self._throttle = Throttle(time.monotonic)
        self._outputs = (stdout_fd, stderr_fd)
        self._files: LogFiles | None = None
        self._drops: dict[tuple[AppKey, str], DropReport] = {}
        self._own = OwnEvents(
            self._put_own,
            loop.call_soon,
            self._timestamps,
            level=runtime.log_level,
            fields=runtime.log_fields if self._format.has_fields else EMPTY,
        )
        self._own.install()

    def open(self, source: LogSource, on_line: Callable[[str], object] | None = None) -> Outlet:
        """Make the pipes of one incarnation; `on_line` sees lines until it returns something true."""

        def make_reader(fd: int, name: str, pid: int) -> PipeReader:
            gate = self._gate(source.app, name)
            lines = LinePipeline(self._stages(source, name, pid, on_line), self._loop.call_later)
            reader = PipeReader(
                self._loop,
                fd,
                lines,
                gate,
                on_read=self._after_read,
                on_end=self._drop,
                on_failure=functools.partial(self._pipe_failed, source.app),
            )
            self._readers[reader] = None
            return reader

        return PipeOutlet(make_reader)

    def event(self, level: str, event: str, /, message: str = "", **fields: object) -> None:
        """Log one of `events.EVENTS`; see `LogSink.event`."""
        self._own.event(level, event, message, fields)

    def reopen(self) -> None:
        """Open all log files anew; also those that were given up."""
        if self._files is not None:
            self._files.reopen()

    def last(self, app: AppKey | None = None) -> bytes:
        """The last records of an app, or of everybody, in the format `json`."""
        return self._history.last(app)

    def follow(self, wake: Callable[[], None], app: AppKey | None = None) -> Follower:
        """Get the records of an app, or of everybody, from now on."""
        return self._history.follow(wake, app)

    def counts(self) -> Mapping[tuple[AppKey, str], Counts]:
        """Per app and stream (`stdout`, `stderr`), since the start."""
        return self._counts

    def flush(self, app: AppKey) -> None:
        """Let go of the records that are kept of an app."""
        self._history.forget(app)

    def forget(self, app: AppKey) -> None:
        """The app was removed for good: let go of what is remembered of it."""
        self._history.forget(app)
        self._limits.pop(app, None)
        for reason in (_OVERFLOW, _RATE_LIMIT):
            if report := self._drops.pop((app, reason), None):
                report.flush()
        if self._files is not None:
            self._files.forget(app)
        for name in _STREAMS:
            self._counts.pop((app, name), None)

    def close(self, patience: Seconds, limit: Seconds) -> bool:
        """Write out everything that is known; whether that succeeded.

        A stdout that takes nothing for `patience` is given up; one that is slow, after `limit`. To be called
        when no app runs any more. Blocks the loop. A second call does nothing.
        """
        until = time.monotonic() + limit
        done = True
        while self._readers and done:  # more may be in the pipes than fits into the queue at once
            self._drain_pipes()
            done = self._drain_outputs(patience, until) and time.monotonic() < until
        for reader in self._readers:
            reader.close()
        self._readers.clear()
        for report in self._drops.values():
            report.flush()
        self._own.render()
        done = self._drain_outputs(patience, until)
        self._errors.close()
        self._own.uninstall()
        self._output.close()
        if self._files is not None:
            self._files.close()
        return done

    def _drain_pipes(self) -> None:
        for reader in list(self._readers):
            reader.drain()
            if reader.drained:
                reader.close()
                self._drop(reader)

    def _drain_outputs(self, patience: Seconds, until: Seconds) -> bool:
        drained = [output.drain(patience, until) for output in {self._output, self._errors}]
        return all(drained)

    def _stages(
        self, source: LogSource, name: str, pid: int, on_line: Callable[[str], object] | None
    ) -> Stages:
        """What the app's configuration says shall happen to a stream."""
        app, key = source.app, source.app.key()
        origin = Origin(app=app.name, instance=source.who.index, pid=pid, stream=name, fields=app.log_fields)
        shape = self._format.shape(origin)
        output = self._output_of(name)
        drops = app.overflow == "drop"
        encoder = Encoder(shape, level=_level_of(app, name), max_line=app.max_line)
        put = functools.partial(self._put, output, key, self._to_json(app, origin))
        return Stages(
            encoder=encoder,
            timestamps=self._timestamps,
            counts=self._counts.setdefault((key, name), Counts()),
            put=None if app.disable_logs else put,
            verbatim=shape.verbatim,
            on_line=on_line,
            limit=self._limit(app) if app.rate_limit else None,
            limited=self._drop_report(app, _RATE_LIMIT) if app.rate_limit else None,
            files=self._file_set(app, origin),
            line_filter=_line_filter(app),
            joiner=None if shape.verbatim else _joiner(app, encoder.room),
            is_full=(lambda: output.full) if drops else None,
            overflowed=self._drop_report(app, _OVERFLOW) if drops else None,
        )

    def _file_set(self, app: AppSpec, origin: Origin) -> "FileSet | None":
        """The files of a stream, for the few apps that want any."""
        if not (app.out_file or app.error_file or app.log_file):
            return None
        if self._files is None:
            from pidone.logs.files.logfiles import LogFiles  # noqa: PLC0415 (pathlib comes with it)

            self._files = LogFiles(self._clock, self, self._outputs, self._loop)
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
            self.event("warning", "log.dropped", told, **app.labels(), lines=lines, reason=reason)

        later = self._loop.call_later if reason == _RATE_LIMIT else _never
        return self._drops.setdefault((app.key(), reason), DropReport(report, later))

    def _report_overflow(self) -> None:
        for (_, reason), report in self._drops.items():
            if reason == _OVERFLOW:
                report.flush()

    def _pipe_failed(self, app: AppSpec, error: OSError) -> None:
        if count := self._throttle.due(app.key()):
            told = f"the pipe of an instance is not watched: {error.strerror}"
            self.event("warning", "log.pipe_failed", told, **app.labels(), error=str(error), count=count)

    def file_failed(self, app: AppSpec, path: "Path", what: str, error: OSError, count: int) -> None:
        """See `AppFileNews`."""
        told = f"{path} is not {what}: {error.strerror}" + (f" ({count} times)" if count > 1 else "")
        self.event(
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
        self.event("info", "log.file_restored", told, **app.labels(), path=str(path), lines=lost)

    def _output_of(self, name: str) -> Output:
        return self._errors if name == "stderr" else self._output

    def _gate(self, app: AppSpec, name: str) -> Gate:
        return _OPEN if app.overflow == "drop" or app.disable_logs else self._output_of(name)

    def _to_json(self, app: AppSpec, origin: Origin) -> Encoder | None:
        """Makes the stored records of a stream, if those of stdout are others."""
        if self._stored is self._format:
            return None
        return Encoder(self._stored.shape(origin), level=_level_of(app, origin.stream), max_line=app.max_line)

    def _put(
        self, output: Output, key: AppKey, stored: Encoder | None, records: bytes, text: bytes, now: str
    ) -> None:
        self._own.render()
        if stored is None:
            self._history.add(key, records)
        else:
            whole = text if text.endswith(b"\n") else text + b"\n"
            self._history.add(key, whole, lambda lines: stored.encode(lines, now))
        output.put(records)

    def _put_own(self, event: "LogRecord") -> None:
        record = _line(self._format, event)
        if self._stored is self._format:
            self._history.add(("", ""), record)
        else:
            self._history.add(("", ""), b"", lambda _: _line(self._stored, event))
        self._errors.put(record)

    def _after_read(self, reader: PipeReader) -> None:
        """Everybody gets a turn before the same stream is read again, also when stdout is the bottleneck."""
        self._readers.move_to_end(reader)
        if reader.held_up:
            for waiting in self._readers:
                waiting.pause()

    def _drop(self, reader: PipeReader) -> None:
        """It has ended, in whatever way: a runtime sees millions of short processes."""
        self._readers.pop(reader, None)

    def _resume(self) -> None:
        self._report_overflow()
        for reader in list(self._readers):
            reader.resume()


class _AlwaysOpen:
    """For apps that are never kept waiting."""

    full = False
    overfull = False


_OPEN: Final = _AlwaysOpen()


def _line(of: Format, event: "LogRecord") -> bytes:
    return of.event(event).encode(errors="replace") + b"\n"


def _never(_delay: Seconds, _callback: Callable[[], None]) -> None:
    """Somebody else sees to it."""


def _line_filter(app: AppSpec) -> "LineFilter | None":
    if not (app.log_drop or app.log_redact or app.strip_colors):
        return None
    from pidone.logs.filters import line_filter  # noqa: PLC0415 (few apps filter lines)

    return line_filter(drop=app.log_drop, redact=app.log_redact, strip_colors=app.strip_colors)


def _level_of(app: AppSpec, stream: str) -> str:
    """Of lines that do not tell theirs."""
    return app.stderr_level if stream == "stderr" else "info"


def _joiner(app: AppSpec, room: Bytes) -> "Joiner | None":
    if not app.multiline:
        return None
    from pidone.logs.multiline import joiner  # noqa: PLC0415 (few apps join lines)

    return joiner(app.multiline, room)
