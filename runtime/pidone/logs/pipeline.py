"""What happens to the lines of one stream between its pipe and stdout, step by step."""

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from pidone.ecosystem.spec import Bytes, Seconds
from pidone.logs.encoder import SLACK, Encoder
from pidone.logs.escape import JOINT, utf8
from pidone.logs.formats.shape import LONG_LINE
from pidone.logs.limits import DropReport, RateLimit
from pidone.logs.lines import MAX_UTF8_BYTES
from pidone.logs.multiline import PATIENCE, Joiner
from pidone.logs.timestamps import Timestamps
from pidone.record import Record

if TYPE_CHECKING:  # few apps write files, or need a filter
    from pidone.logs.files.logfiles import FileSet
    from pidone.logs.filters.line_filter import LineFilter


Put: TypeAlias = Callable[[bytes, bytes, str], None]
"""Takes records, the text they were made of, and their timestamp."""


class Cancellable(Protocol):
    """A pending call."""

    def cancel(self) -> None: ...


class Counts:
    """What a stream of an app has said since the runtime started."""

    __slots__ = ("bytes", "dropped", "lines")

    def __init__(self) -> None:
        self.lines = 0
        self.bytes = 0
        self.dropped = 0
        """Lines that were not put out, for whatever reason."""


class Stages(Record, kw_only=True):
    """What is configured for a stream, in the order in which `LinePipeline` takes it; None is left out."""

    counts: Counts
    on_line: Callable[[str], object] | None = None
    """Sees every line until it returns something true."""
    line_filter: "LineFilter | None" = None
    """For `log_drop`, `log_redact` and `strip_colors`, which need whole lines."""
    limit: RateLimit | None = None
    limited: DropReport | None = None
    files: "FileSet | None" = None
    verbatim: bool = False
    """Invalid UTF-8 is passed on (format `raw`)."""
    joiner: Joiner | None = None
    is_full: Callable[[], bool] | None = None
    """With `overflow = "drop"`: whether stdout has no room now."""
    overflowed: DropReport | None = None
    timestamps: Timestamps
    encoder: Encoder
    put: Put | None
    """Takes what has become of the lines; None with `disable_logs`."""


_SHOWN: Final = 4096
"""Characters of a line in which somebody may look for a pattern: that takes the square of them, or more."""


class _Fate(Enum):
    """What becomes of a line that is handed over in pieces: it counts as one line like any other."""

    PASSES = "passes"
    REFUSED = "refused"
    """By the rate limit."""
    TORN = "torn"
    """stdout had no room for a piece of it, so the others would make no sense."""


class LinePipeline:
    """The `LineSink` of one stream of an app."""

    def __init__(
        self, stages: Stages, call_later: Callable[[Seconds, Callable[[], None]], Cancellable]
    ) -> None:
        self._stages = stages
        self._call_later = call_later
        self._on_line = stages.on_line
        self._patience: Cancellable | None = None
        self._fate: _Fate | None = None
        """Of the line whose pieces are coming."""
        self._filed: Bytes = 0
        """How much of its rest is in the files already."""

    @property
    def files(self) -> "FileSet | None":
        """Where its lines go besides."""
        return self._stages.files

    @property
    def room(self) -> Bytes:
        """How long an unfinished line may get; of a longer one the encoder certainly cuts something off."""
        if self._stages.line_filter:
            return LONG_LINE
        return self._stages.encoder.room + SLACK + MAX_UTF8_BYTES

    def lines(self, lines: bytes, count: int) -> None:
        r"""So many whole lines, each ended by `\n`."""
        stages = self._stages
        stages.counts.lines += count
        stages.counts.bytes += len(lines)
        if self._on_line:
            self._show(lines)
        if stages.line_filter:
            lines = stages.line_filter(lines)
        if self._fate:
            lines = self._last_piece(lines)
        if stages.limit and lines:
            lines, dropped = stages.limit.admit(lines)
            self._dropped(dropped, stages.limited)
        if lines:
            self._pass_on(lines)

    def unfinished(self, line: bytes) -> bytes:
        """A line that is too long to wait for its end; returns what is still to come out."""
        stages = self._stages
        if stages.line_filter:  # a secret may not be cut in two: beyond LONG_LINE, lines are
            self.lines(line + b"\n", 1)
            return b""
        if self._fate is None:
            self._impatient()
            self._fate = self._fate_of_one()
        now = stages.timestamps.now()
        records, text, rest = stages.encoder.encode_open(line, now)
        stages.counts.bytes += len(text)
        end = len(line) - line.endswith(b"\r")  # which belongs to the end of the line, if that comes next
        self._put_piece(line[self._filed : end], records, now)
        self._filed = len(rest) - (len(line) - end)
        return rest

    def ended(self) -> None:
        """Nothing is to be held back, so that it all stands before the exit."""
        self._impatient()
        for report in (self._stages.limited, self._stages.overflowed):
            if report:
                report.flush()

    def _pass_on(self, lines: bytes) -> None:
        """Lines that the rate limit has let pass."""
        stages = self._stages
        if stages.files:
            stages.files.write(lines)
        if stages.put is None:
            return
        text = lines if stages.verbatim else utf8(lines)
        if stages.joiner:
            text = stages.joiner.feed(text)
            self._be_patient(stages.joiner)
        self._encode(text)

    def _encode(self, text: bytes) -> None:
        stages = self._stages
        if not text or stages.put is None:
            return
        if stages.is_full and stages.is_full():
            self._dropped(text.count(b"\n") + (text.count(JOINT) if stages.joiner else 0), stages.overflowed)
            return
        now = stages.timestamps.now()
        stages.put(stages.encoder.encode(text, now), utf8(text) if stages.verbatim else text, now)

    def _fate_of_one(self) -> _Fate:
        """Of a line that begins."""
        stages = self._stages
        if stages.limit is None or not stages.limit.admit(b"\n")[1]:
            return _Fate.PASSES
        self._dropped(1, stages.limited)
        return _Fate.REFUSED

    def _last_piece(self, lines: bytes) -> bytes:
        """The end of a line whose pieces have come; returns the other lines."""
        stages = self._stages
        end = lines.index(b"\n") + 1
        line = lines[:end]
        now = stages.timestamps.now()
        records = stages.encoder.encode_end(line if stages.verbatim else utf8(line), now)
        self._put_piece(line[self._filed :], records, now)
        self._fate, self._filed = None, 0
        return lines[end:]

    def _put_piece(self, text: bytes, records: bytes, now: str) -> None:
        """A part of a long line, and the records that it makes."""
        stages = self._stages
        if self._fate is _Fate.REFUSED:
            return
        if stages.files:
            stages.files.write(text)
        if self._fate is _Fate.TORN or stages.put is None:
            return
        if stages.is_full and stages.is_full():
            self._fate = _Fate.TORN
            self._dropped(1, stages.overflowed)
            return
        if records:
            stages.put(records, utf8(text), now)

    def _dropped(self, lines: int, report: DropReport | None) -> None:
        if lines and report:
            self._stages.counts.dropped += lines
            report.add(lines)

    def _show(self, lines: bytes) -> None:
        """Let the one who waits for a certain line see them."""
        for line in lines.decode(errors="replace").split("\n")[:-1]:
            if self._on_line and self._on_line(line[:_SHOWN]):
                self._on_line = None

    def _be_patient(self, joiner: Joiner) -> None:
        """A message is held for its next line, but not for long."""
        if self._patience:
            self._patience.cancel()
        self._patience = self._call_later(PATIENCE, self._impatient) if joiner.holds else None

    def _impatient(self) -> None:
        if self._patience:
            self._patience.cancel()
            self._patience = None
        if self._stages.joiner:
            self._encode(self._stages.joiner.flush())
