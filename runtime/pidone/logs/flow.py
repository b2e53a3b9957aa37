"""What happens to the lines of one stream between its pipe and stdout, step by step."""

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from pidone.ecosystem.spec import Bytes, Seconds
from pidone.logs.encoder import SLACK, Encoder
from pidone.logs.escape import JOINT, utf8
from pidone.logs.limits import DropReport, RateLimit
from pidone.logs.lines import MAX_UTF8_BYTES
from pidone.logs.multiline import PATIENCE, Joiner
from pidone.logs.timestamps import Timestamps
from pidone.record import Record

if TYPE_CHECKING:  # few apps write files
    from pidone.logs.files.logfiles import FileSet


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


class Steps(Record, kw_only=True):
    """What is configured for a stream; everything that is None is left out."""

    encoder: Encoder
    timestamps: Timestamps
    counts: Counts
    put: Callable[[bytes], None] | None
    """Where records go; None with `disable_logs`."""
    verbatim: bool = False
    """Invalid UTF-8 is passed on (format `raw`)."""
    on_line: Callable[[str], object] | None = None
    """Sees every line until it returns something true."""
    limit: RateLimit | None = None
    limited: DropReport | None = None
    files: "FileSet | None" = None
    joiner: Joiner | None = None
    is_full: Callable[[], bool] | None = None
    """With `overflow = "drop"`: whether stdout has no room now."""
    overflowed: DropReport | None = None


class _Fate(Enum):
    """What becomes of a line that is handed over in pieces: it counts as one line like any other."""

    PASSES = "passes"
    REFUSED = "refused"
    """By the rate limit."""
    TORN = "torn"
    """stdout had no room for a piece of it, so the others would make no sense."""


class Flow:
    """See `outlet.Flow`."""

    def __init__(
        self, steps: Steps, call_later: Callable[[Seconds, Callable[[], None]], Cancellable]
    ) -> None:
        self._steps = steps
        self._call_later = call_later
        self._on_line = steps.on_line
        self._patience: Cancellable | None = None
        self._fate: _Fate | None = None
        """Of the line whose pieces are coming."""
        self._filed: Bytes = 0
        """How much of its rest is in the files already."""

    @property
    def room(self) -> Bytes:
        """How long an unfinished line may get; of a longer one the encoder certainly cuts something off."""
        return self._steps.encoder.room + SLACK + MAX_UTF8_BYTES

    def lines(self, lines: bytes, count: int) -> None:
        r"""So many whole lines, each ended by `\n`."""
        steps = self._steps
        steps.counts.lines += count
        steps.counts.bytes += len(lines)
        if self._on_line:
            self._show(lines)
        if self._fate:
            lines = self._last_piece(lines)
        if steps.limit and lines:
            lines, dropped = steps.limit.admit(lines)
            self._dropped(dropped, steps.limited)
        if lines:
            self._pass_on(lines)

    def unfinished(self, line: bytes) -> bytes:
        """A line that is too long to wait for its end; returns what is still to come out."""
        steps = self._steps
        if self._fate is None:
            self._impatient()
            self._fate = self._fate_of_one()
        records, text, rest = steps.encoder.encode_open(line, steps.timestamps.now())
        steps.counts.bytes += len(text)
        end = len(line) - line.endswith(b"\r")  # which belongs to the end of the line, if that comes next
        self._put_piece(line[self._filed : end], records)
        self._filed = len(rest) - (len(line) - end)
        return rest

    def ended(self) -> None:
        """Nothing is to be held back, so that it all stands before the exit."""
        self._impatient()
        for report in (self._steps.limited, self._steps.overflowed):
            if report:
                report.flush()

    def _pass_on(self, lines: bytes) -> None:
        """Lines that the rate limit has let pass."""
        steps = self._steps
        if steps.files:
            steps.files.write(lines)
        if steps.put is None:
            return
        text = lines if steps.verbatim else utf8(lines)
        if steps.joiner:
            text = steps.joiner.feed(text)
            self._be_patient(steps.joiner)
        self._encode(text)

    def _encode(self, text: bytes) -> None:
        steps = self._steps
        if not text or steps.put is None:
            return
        if steps.is_full and steps.is_full():
            self._dropped(text.count(b"\n") + (text.count(JOINT) if steps.joiner else 0), steps.overflowed)
            return
        steps.put(steps.encoder.encode(text, steps.timestamps.now()))

    def _fate_of_one(self) -> _Fate:
        """Of a line that begins."""
        steps = self._steps
        if steps.limit is None or not steps.limit.admit(b"\n")[1]:
            return _Fate.PASSES
        self._dropped(1, steps.limited)
        return _Fate.REFUSED

    def _last_piece(self, lines: bytes) -> bytes:
        """The end of a line whose pieces have come; returns the other lines."""
        steps = self._steps
        end = lines.index(b"\n") + 1
        line = lines[:end]
        records = steps.encoder.encode_end(line if steps.verbatim else utf8(line), steps.timestamps.now())
        self._put_piece(line[self._filed :], records)
        self._fate, self._filed = None, 0
        return lines[end:]

    def _put_piece(self, text: bytes, records: bytes) -> None:
        """A part of a long line, and the records that it makes."""
        steps = self._steps
        if self._fate is _Fate.REFUSED:
            return
        if steps.files:
            steps.files.write(text)
        if self._fate is _Fate.TORN or steps.put is None:
            return
        if steps.is_full and steps.is_full():
            self._fate = _Fate.TORN
            self._dropped(1, steps.overflowed)
            return
        steps.put(records)

    def _dropped(self, lines: int, report: DropReport | None) -> None:
        if lines and report:
            self._steps.counts.dropped += lines
            report.add(lines)

    def _show(self, lines: bytes) -> None:
        """Let the one who waits for a certain line see them."""
        for line in lines.decode(errors="replace").split("\n")[:-1]:
            if self._on_line and self._on_line(line):
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
        if self._steps.joiner:
            self._encode(self._steps.joiner.flush())
