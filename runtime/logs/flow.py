"""What happens to the lines of one stream between its pipe and stdout, step by step."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from runtime.ecosystem.spec import Bytes, Seconds
from runtime.logs.encoder import Encoder
from runtime.logs.escape import utf8
from runtime.logs.limits import DropReport, RateLimit
from runtime.logs.multiline import PATIENCE, Joiner
from runtime.logs.timestamps import Timestamps
from runtime.record import Record

if TYPE_CHECKING:  # few apps write files
    from runtime.logs.files import FileSet


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


class Flow:
    """See `outlet.Flow`."""

    def __init__(
        self, steps: Steps, call_later: Callable[[Seconds, Callable[[], None]], Cancellable]
    ) -> None:
        self._steps = steps
        self._call_later = call_later
        self._on_line = steps.on_line
        self._patience: Cancellable | None = None

    @property
    def room(self) -> Bytes:
        """How long an unfinished line may get."""
        return self._steps.encoder.room

    def lines(self, lines: bytes, count: int) -> None:
        r"""So many whole lines, each ended by `\n`."""
        steps = self._steps
        steps.counts.lines += count
        steps.counts.bytes += len(lines)
        if self._on_line:
            self._show(lines)
        if steps.limit:
            lines, dropped = steps.limit.admit(lines)
            self._dropped(dropped, steps.limited)
            if not lines:
                return
        if steps.files:
            steps.files.write(lines)
        if steps.put is None:
            return
        text = lines if steps.verbatim else utf8(lines)
        if steps.joiner:
            text = steps.joiner.feed(text)
            self._be_patient(steps.joiner)
        self._encode(text)

    def unfinished(self, line: bytes) -> bytes:
        """A line that is too long to wait for its end; returns what is still to come out."""
        steps = self._steps
        self._impatient()
        records, text, rest = steps.encoder.encode_open(line, steps.timestamps.now())
        if text and steps.files:
            steps.files.write(text + b"\n")
        self._put(records)
        return rest

    def ended(self) -> None:
        """Nothing is to be held back."""
        self._impatient()

    def _encode(self, text: bytes) -> None:
        if text:
            self._put(self._steps.encoder.encode(text, self._steps.timestamps.now()))

    def _put(self, records: bytes) -> None:
        steps = self._steps
        if not records or steps.put is None:
            return
        if steps.is_full and steps.is_full():
            self._dropped(records.count(b"\n"), steps.overflowed)
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
