"""The relay: where the lines of all apps and the runtime's own events become one stream of records."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime.ecosystem.spec import RuntimeSpec, Seconds
from runtime.logs.encoder import Encoder
from runtime.logs.escape import utf8
from runtime.logs.outlet import PipeOutlet, Stream
from runtime.logs.output import Output
from runtime.logs.own import OwnEvents, json_renderer
from runtime.logs.shapes import SHAPES, Origin
from runtime.logs.timestamps import Timestamps, WallClock
from runtime.supervise.collaborators import LogSource, Outlet

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class Relay:
    """`LogSink` for one asyncio loop."""

    def __init__(
        self,
        loop: "AbstractEventLoop",
        runtime: RuntimeSpec,
        *,
        stdout_fd: int = 1,
        clock: WallClock = time.time,
        on_stdout_lost: Callable[[OSError], None] = lambda _error: None,
    ) -> None:
        """`clock` is the wall clock of the records; `on_stdout_lost` is called once when stdout is gone."""
        self._loop = loop
        self._timestamps = Timestamps(clock)
        self._output = Output(loop, stdout_fd, on_lost=on_stdout_lost, on_room=self._resume)
        self._streams: OrderedDict[Stream, None] = OrderedDict()
        self._own = OwnEvents(
            self._output.put, loop.call_soon, self._timestamps, level=runtime.log_level, render=json_renderer
        )
        self._own.install()

    def open(self, source: LogSource, on_line: Callable[[str], None] | None = None) -> Outlet:
        """Make the pipes of one incarnation; see `LogSink.open`."""

        def make_stream(fd: int, name: str, pid: int) -> Stream:
            flow = _Flow(self, source, name, pid, on_line)
            stream = Stream(self._loop, fd, flow, self._output, self._after_read)
            self._streams[stream] = None
            return stream

        return PipeOutlet(make_stream)

    def event(self, level: str, event: str, /, message: str = "", **fields: object) -> None:
        """Log one of `events.EVENTS`; see `LogSink.event`."""
        self._own.event(level, event, message, fields)

    def close(self, timeout: Seconds) -> bool:
        """Write out everything that is known, waiting at most `timeout` for stdout; whether that succeeded.

        To be called once, when no app runs any more. Blocks the loop.
        """
        for stream in list(self._streams):
            stream.drain()
            stream.close()
        self._streams.clear()
        self._own.flush()
        done = self._output.drain(timeout)
        self._own.uninstall()
        self._output.close()
        return done

    def _put(self, records: bytes) -> None:
        self._own.flush()
        self._output.put(records)

    def _after_read(self, stream: Stream) -> None:
        """Everybody gets a turn before the same stream is read again, also when stdout is the bottleneck."""
        if stream.done:
            self._streams.pop(stream, None)
            return
        self._streams.move_to_end(stream)
        if self._output.full:
            for waiting in self._streams:
                waiting.pause()

    def _resume(self) -> None:
        for stream in list(self._streams):
            stream.resume()
            if stream.done:
                self._streams.pop(stream, None)
            if self._output.full:
                return


class _Flow:
    """What happens to the lines of one stream; see `outlet.Flow`."""

    def __init__(
        self, relay: Relay, source: LogSource, stream: str, pid: int, on_line: Callable[[str], None] | None
    ) -> None:
        self._relay = relay
        self._on_line = on_line
        app = source.app
        origin = Origin(
            app=app.name, instance=source.who.index, pid=pid, stream=stream, fields=app.log_fields
        )
        level = "error" if stream == "stderr" else "info"
        self._encoder = Encoder(SHAPES["json"](origin), level=level, max_line=app.max_line)
        self.room = self._encoder.room

    def lines(self, lines: bytes) -> None:
        relay = self._relay
        text = utf8(lines)
        relay._put(self._encoder.encode(text, relay._timestamps.now()))  # noqa: SLF001
        if self._on_line:
            for line in text.decode().split("\n")[:-1]:
                self._on_line(line)

    def unfinished(self, line: bytes) -> bytes:
        relay = self._relay
        records, rest = self._encoder.encode_open(line, relay._timestamps.now())  # noqa: SLF001
        relay._put(records)  # noqa: SLF001
        return rest

    def ended(self) -> None: ...
