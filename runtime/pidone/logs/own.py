"""The runtime's own events: through `logging`, and as records into the same queue as the apps' lines."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from pidone.logs.events import LEVEL_NUMBERS, check
from pidone.logs.timestamps import Timestamps
from pidone.record import EMPTY

LOGGER: Final = "pidone"
_AGAIN_S: Final = 0.1
"""Until what could not be put out is tried again."""
_NAMES: Final = {
    LEVEL_NUMBERS[name]: name for name in ("trace", "debug", "info", "warning", "error", "fatal")
}


class OwnEvents(logging.Handler):
    """Takes what is logged anywhere in the process (asyncio's complaints too) and puts it out as records."""

    def __init__(
        self,
        put: Callable[[logging.LogRecord], None],
        later: Callable[[float, Callable[[], None]], object],
        timestamps: Timestamps,
        *,
        level: str,
        fields: Mapping[str, str] = EMPTY,
    ) -> None:
        """`later` runs a callback after so many seconds; `fields` are those of every record.

        `put` gets records whose `msg` is a dict: `timestamp`, `level`, `event`, `message` and more. It may
        have to import what costs more than all the rest of the relay. Apps are spawned first; the events of
        the first turn keep their timestamps and wait for its end.
        """
        super().__init__(LEVEL_NUMBERS.get(level.lower(), logging.INFO))
        self._put = put
        self._later = later
        self._timestamps = timestamps
        self._fields = fields
        self._is_first_turn = True
        self._waiting: list[logging.LogRecord] = []
        self._logger = logging.getLogger(LOGGER)

    def install(self) -> None:
        """Become the handler of everything that is logged in this process."""
        self._logger.setLevel(self.level)
        logging.getLogger().addHandler(self)

    def uninstall(self) -> None:
        """Let others handle what is logged from now on."""
        logging.getLogger().removeHandler(self)

    def event(self, level: str, event: str, message: str, fields: dict[str, Any]) -> None:
        """Log one event of `events.EVENTS`; fields without a value are left out."""
        check(event, level, fields)
        number = LEVEL_NUMBERS.get(level, logging.INFO)
        if self._logger.isEnabledFor(number):
            known = {key: value for key, value in fields.items() if value is not None}
            self._logger.log(number, {"event": event, "message": message, **known})

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging`."""
        if isinstance(record.msg, dict):
            fields = record.msg
        else:
            event = "runtime.error" if record.levelno >= logging.ERROR else "runtime.warning"
            fields = {"event": event, "message": record.getMessage(), "logger": record.name}
        level = _NAMES.get(record.levelno) or record.levelname.lower()
        given = {key: value for key, value in self._fields.items() if key not in fields}
        record.msg = {"timestamp": self._timestamps.now(), "level": level, **fields, **given}
        record.args = None
        self._waiting.append(record)
        if not self._is_first_turn:
            self.render()
        elif len(self._waiting) == 1:
            self._later(0, self.render)

    def render(self) -> None:
        """Put out what waits."""
        if not self._waiting:
            return
        self._is_first_turn = False
        waiting, self._waiting = self._waiting, []
        for index, record in enumerate(waiting):
            try:
                self._put(record)
            except (OSError, ImportError, MemoryError):  # what makes a line of it cannot be loaded now
                self._is_first_turn = True
                self._waiting = waiting[index:]
                self._later(_AGAIN_S, self.render)
                return
