"""The relay: where the lines of all apps and the runtime's own events become one stream of records."""

import functools
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from pidone.contracts import LogSource, Outlet
from pidone.ecosystem.spec import AppSpec, RuntimeSpec, Seconds
from pidone.logs.app_streams import AppKey, AppStreams, Tell, level_of
from pidone.logs.encoder import Encoder
from pidone.logs.formats.choice import FORMATS, choose_format, wants_colour
from pidone.logs.formats.shape import Format, RecordIdentity
from pidone.logs.history import Follower, History
from pidone.logs.output import Output
from pidone.logs.own import OwnEvents
from pidone.logs.pipeline import Counts, LinePipeline
from pidone.logs.pipes import Gate, PipeOutlet, PipeReader
from pidone.logs.timestamps import Timestamps, WallClock
from pidone.record import EMPTY

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from logging import LogRecord

    from pidone.logs.files.logfiles import FileSet


_STORED: Final = "json"
"""The format of what is kept in memory, whatever stdout shows."""

FILE_PATIENCE_S: Final[Seconds] = 1.0
"""At the end, for a log file whose file system may not answer."""

OURS: Final[AppKey] = ("", "")
"""Whose records the runtime's own events are."""


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
        on_no_space: Callable[[OSError], object] = bool,
    ) -> None:
        """Make it ready for apps; nothing is written before the loop runs.

        Args:
            loop: Does all the waiting.
            runtime: Format and level of the runtime's own events.
            stdout_fd: Where records go.
            stderr_fd: Where stderr goes in the format `raw`, and the runtime's own events with it.
            clock: Wall clock of the records.
            on_stdout_lost: Called once, from the loop, when stdout is found closed or broken.
            on_no_space: Called when the disk behind stdout is full, once until it has space again.
        """
        self._loop = loop
        name = choose_format(runtime.log_format, stdout_fd)
        self._format = FORMATS[name](wants_colour(stdout_fd))
        self._stored = self._format if name == _STORED else FORMATS[_STORED](False)
        self._timestamps = Timestamps(clock)
        self._output = Output(
            loop, stdout_fd, on_lost=on_stdout_lost, on_room=self._resume, on_no_space=on_no_space
        )
        self._errors = self._output
        if name == "raw":
            self._errors = Output(loop, stderr_fd, on_lost=lambda _error: None, on_room=self._resume)
        self._readers: OrderedDict[PipeReader, None] = OrderedDict()
        self._history = History()
        self.tell: Tell = self.event
        """Hears what happens to the log itself; whoever counts events puts itself in between."""
        self._streams = AppStreams(
            loop,
            self._format,
            self._timestamps,
            clock=clock,
            tell=lambda *event, **fields: self.tell(*event, **fields),  # noqa: PLW0108 (it may be another one)
            outputs=(stdout_fd, stderr_fd),
            on_room=self._resume_readers,
        )
        self._own = OwnEvents(
            self._put_own,
            loop.call_later,
            self._timestamps,
            level=runtime.log_level,
            fields=runtime.log_fields if self._format.has_fields else EMPTY,
        )
        self._own.install()

    def open(self, source: LogSource, on_line: Callable[[str], object] | None = None) -> Outlet:
        """Make the pipes of one incarnation; `on_line` sees lines until it returns something true."""

        def make_reader(fd: int, name: str, pid: int) -> PipeReader:
            app = source.app
            origin = RecordIdentity(
                app=app.name,
                called=app.called,
                instance=source.who.index,
                pm_id=source.pm_id,
                pid=pid,
                stream=name,
                fields=app.log_fields,
            )
            make_sink = functools.cache(functools.partial(self._pipeline, app, origin, on_line))
            files = make_sink().files if self._streams.begin(app, name) else None
            reader = PipeReader(
                self._loop,
                fd,
                make_sink,
                self._gate(app, name, files),
                on_read=self._after_read,
                on_end=self._drop,
                on_failure=functools.partial(self._streams.pipe_failed, app),
            )
            self._readers[reader] = None
            return reader

        return PipeOutlet(make_reader)

    def _pipeline(
        self, app: AppSpec, origin: RecordIdentity, on_line: Callable[[str], object] | None
    ) -> LinePipeline:
        """Of one stream of one incarnation."""
        output = self._output_of(origin.stream)
        put = functools.partial(self._put, output, app.key(), self._to_json(app, origin))
        stages = self._streams.stages(app, origin, put, lambda: output.full, on_line)
        return LinePipeline(stages, self._loop.call_later)

    def event(self, level: str, event: str, /, message: str = "", **fields: object) -> None:
        """Log one of `events.EVENTS`; see `LogSink.event`."""
        self._own.event(level, event, message, fields)

    def reopen(self) -> None:
        """Open all log files anew; also those that have failed."""
        self._streams.reopen()

    def last(self, *apps: AppKey) -> bytes:
        """The last records of some apps, or of everybody, as `json`; OURS are the runtime's own."""
        self._own.render()
        return self._history.last(*apps)

    def follow(self, wake: Callable[[], None], *apps: AppKey) -> Follower:
        """Get the same from now on."""
        self._own.render()
        return self._history.follow(wake, *apps)

    def counts(self) -> Mapping[tuple[AppKey, str], Counts]:
        """Per app and stream (`stdout`, `stderr`), since the start."""
        return self._streams.counts

    def helpers(self) -> list[int]:
        """Processes that write log files for us; they end when everything is written, or at `close`."""
        return self._streams.helpers()

    def flush(self, app: AppKey) -> None:
        """Let go of the records that are kept of an app."""
        self._own.render()
        self._history.forget(app)

    def forget(self, app: AppKey) -> None:
        """The app was removed for good: let go of what is remembered of it."""
        self._history.forget(app)
        self._streams.forget(app)

    def close(self, patience: Seconds, limit: Seconds) -> bool:
        """Write out everything that is known; whether that succeeded.

        A stdout that takes nothing for `patience` is given up; one that is slow, after `limit`. To be called
        when no app runs any more. Blocks the loop. A second call does nothing.
        """
        until = time.monotonic() + limit
        done = True
        while self._readers and done:  # more may be in the pipes than fits into the queue at once
            self._drain_pipes()
            self._streams.drain(FILE_PATIENCE_S, until)
            done = self._drain_outputs(patience, until) and time.monotonic() < until
        for reader in self._readers:
            reader.close()
        self._readers.clear()
        self._streams.report()
        self._streams.drain(FILE_PATIENCE_S, until)
        self._streams.close()
        self._own.render()
        done = self._drain_outputs(patience, until)
        self._errors.close()
        self._own.uninstall()
        self._output.close()
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

    def _output_of(self, name: str) -> Output:
        return self._errors if name == "stderr" else self._output

    def _gate(self, app: AppSpec, name: str, files: "FileSet | None") -> Gate:
        if app.overflow == "drop" or app.disable_logs:
            return _OPEN
        output = self._output_of(name)
        return output if files is None or not files.may_be_full else _Gates(output, files)

    def _to_json(self, app: AppSpec, origin: RecordIdentity) -> Encoder | None:
        """Makes the stored records of a stream, if those of stdout are others."""
        if self._stored is self._format:
            return None
        return Encoder(self._stored.shape(origin), level=level_of(app, origin.stream), max_line=app.max_line)

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
            self._history.add(OURS, record)
        else:
            self._history.add(OURS, b"", lambda _: _line(self._stored, event))
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
        self._streams.report_overflow()
        self._resume_readers()

    def _resume_readers(self) -> None:
        for reader in list(self._readers):
            reader.resume()


class _AlwaysOpen:
    """For apps that are never kept waiting."""

    full = False
    overfull = False


_OPEN: Final = _AlwaysOpen()


class _Gates:
    """For apps whose lines go to a file besides that may have no room: none where either has none."""

    def __init__(self, output: Gate, files: Gate) -> None:
        self._output = output
        self._files = files

    @property
    def full(self) -> bool:
        return self._output.full or self._files.full

    @property
    def overfull(self) -> bool:
        return self._output.overfull or self._files.overfull


def _line(of: Format, event: "LogRecord") -> bytes:
    return of.event(event).encode(errors="replace") + b"\n"
