"""The runtime's own events, put out as records into the same queue as the apps' lines.

They go through `logging`, as what libraries complain of does, at the end of the turn in which they happen: to
make a record takes a tenth of the time between an app's end and its next start. `logging` itself, which costs
as much to import as the rest of the relay, is imported at the end of the first turn.
"""

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from pidone.importing import postpone
from pidone.logs.events import LEVEL_NUMBERS, check
from pidone.logs.timestamps import Timestamps
from pidone.record import EMPTY

if TYPE_CHECKING:
    from logging import LogRecord

    from pidone.logs.handler import RecordHandler

_AGAIN_S: Final = 0.1
"""Until what could not be put out is tried again."""


class OwnEvents:
    """Takes what is logged anywhere in the process (asyncio's complaints too) and puts it out as records."""

    def __init__(
        self,
        put: "Callable[[LogRecord], None]",
        later: Callable[[float, Callable[[], None]], object],
        timestamps: Timestamps,
        *,
        level: str,
        fields: Mapping[str, str] = EMPTY,
    ) -> None:
        """`later` runs a callback after so many seconds; `fields` are those of every record.

        `put` gets records whose `msg` is a dict: `timestamp`, `level`, `event`, `message` and more. Events
        keep their timestamps until the end of the turn.
        """
        self._put = put
        self._later = later
        self._timestamps = timestamps
        self._fields = fields
        self._level = LEVEL_NUMBERS.get(level.lower(), LEVEL_NUMBERS["info"])
        self._waiting: list[tuple[int, dict[str, Any]]] = []
        self._handler: RecordHandler | None = None
        self._is_open = True

    def install(self) -> None:
        """Become the handler of everything that is logged in this process, at the end of this turn.

        At once, if somebody has loaded what it takes: he may have something to log.
        """
        if "logging" in sys.modules:
            self._load()
        self._later(0, self.render)

    def uninstall(self) -> None:
        """Let others handle what is logged from now on."""
        self._is_open = False
        if self._handler is not None:
            self._handler.uninstall()

    def event(self, level: str, event: str, message: str, fields: dict[str, Any]) -> None:
        """Log one event of `events.EVENTS`; fields without a value are left out."""
        check(event, level, fields)
        number = LEVEL_NUMBERS.get(level, LEVEL_NUMBERS["info"])
        if number < self._level:
            return
        known = {key: value for key, value in fields.items() if value is not None}
        if not self._waiting:
            self._later(0, self.render)
        now = self._timestamps.now()
        self._waiting.append((number, {"timestamp": now, "event": event, "message": message, **known}))

    def render(self) -> None:
        """Put out what waits."""
        if self._handler is None and self._is_open:
            try:
                self._load()
            except (OSError, ImportError, MemoryError):  # it cannot be loaded now
                self._later(_AGAIN_S, self.render)
                return
        if self._handler is not None:
            self._hand_over(self._handler)
            self._handler.render()

    def _hand_over(self, handler: "RecordHandler") -> None:
        waiting, self._waiting = self._waiting, []
        for number, fields in waiting:
            handler.log(number, fields)

    def _load(self) -> None:
        """Make the handler. Raises ImportError, OSError or MemoryError."""
        postpone("linecache")  # of tracebacks, with tokenize: a tenth of what `logging` takes to import
        from pidone.logs.handler import RecordHandler  # noqa: PLC0415 (see above)

        self._handler = RecordHandler(
            *(self._put, self._later, self._timestamps, self._hand_over),
            level=self._level,
            fields=self._fields,
        )
