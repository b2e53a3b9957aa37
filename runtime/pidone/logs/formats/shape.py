"""What makes a format: an escape and a frame for lines of apps, and a text for the runtime's own events."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from pidone.ecosystem.spec import Bytes
from pidone.record import Record

if TYPE_CHECKING:
    import logging

Frame: TypeAlias = tuple[bytes, bytes]
"""What stands before and after the text of a line."""

LONG_LINE: Final[Bytes] = 1024 * 1024
"""Where lines are cut in formats that have no means to say that they were cut."""
FIRST: Final = ("timestamp", "level", "event", "message")
"""What each of the runtime's own events has, and begins with."""


class RecordIdentity(Record, kw_only=True):
    """Who wrote a line: the identity keys of its record."""

    app: str
    called: str = ""
    """The app's name as PM2's people know it."""
    instance: int
    pm_id: int = 0
    """PM2's number of it, over all apps."""
    pid: int
    stream: str
    """`stdout` or `stderr`."""
    fields: Mapping[str, str]
    """`log_fields`."""

    @property
    def identity(self) -> dict[str, Any]:
        """The keys as most formats name them."""
        return {"app": self.app, "instance": self.instance, "pid": self.pid, "stream": self.stream}


class ObjectLines(Protocol):
    """Makes records of lines that are JSON objects, for formats that read them."""

    def records(self, lines: bytes, timestamp: str, level: str, most: Bytes) -> bytes | None:
        """Of lines that are objects of one kind; None if they are not, or one gets longer than `most`."""

    def are_objects(self, lines: Sequence[bytes]) -> list[bool]:
        """Which of the lines, given without their ends, are JSON objects that are not empty."""

    def record(self, line: bytes, timestamp: str, level: str) -> bytes | None:
        """Of one line; None if it is not a JSON object. `level` is for lines that do not tell theirs."""


class Shape(Record, kw_only=True):
    """What a format makes of the lines of one origin."""

    escape: Callable[[bytes], bytes]
    """Valid UTF-8 lines to lines that may stand in a frame."""
    around: Callable[[str, str, bool], Frame]
    """The frame for a timestamp, a level, and whether the line goes on in the next record.

    What stands after the text is the same for all levels.
    """
    merger: ObjectLines | None = None
    """For formats that do more with an object than to quote it."""
    least_line: Bytes = 0
    """A `max_line` below this does not apply."""
    joint: bytes = b"\n"
    """What stands between the lines of a joined message."""
    verbatim: bool = False
    """Bytes pass as they are, valid or not."""


class Format(Record, kw_only=True):
    """One value of `log_format`."""

    shape: Callable[[RecordIdentity], Shape]
    event: "Callable[[logging.LogRecord], str]"
    """For the runtime's own events: a record of `logging` whose `msg` is a dict that begins with FIRST."""
    has_fields: bool = False
    """Whether the lines of apps have `log_fields`, so that the runtime's own events have them too."""


def fields_of(record: "logging.LogRecord") -> dict[str, Any]:
    """All that one of the runtime's own events tells, with the stack trace if there is one."""
    assert isinstance(record.msg, dict)  # noqa: S101 - for the type checker
    if not record.exc_info:
        return record.msg
    from logging import Formatter  # noqa: PLC0415 (whoever has a record to show has it already)

    return {**record.msg, "exc_info": Formatter().formatException(record.exc_info)}
