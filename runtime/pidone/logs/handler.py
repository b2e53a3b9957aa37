"""What is logged through `logging`, as records."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from pidone.logs.events import LEVEL_NUMBERS
from pidone.logs.timestamps import Timestamps

LOGGER: Final = "pidone"
_AGAIN_S: Final = 0.1
"""Until what could not be put out is tried again."""
_NAMES: Final = {
    LEVEL_NUMBERS[name]: name for name in ("trace", "debug", "info", "warning", "error", "fatal")
}


class RecordHandler(logging.Handler):
    """The handler of everything that is logged in this process, from the moment it is made."""

    def __init__(
        self,
        put: Callable[[logging.LogRecord], None],
        later: Callable[[float, Callable[[], None]], object],
        timestamps: Timestamps,
        own_first: "Callable[[RecordHandler], None]",
        *,
        level: int,
        fields: Mapping[str, str],
    ) -> None:
        """As OwnEvents, whose events come by `log`; `own_first` has those come that happened until now."""
        super().__init__(level)
        self._own_first = own_first
        self._put = put
        self._later = later
        self._timestamps = timestamps
        self._fields = fields
        self._waiting: list[logging.LogRecord] = []
        self._is_waiting = False
        self._logger = logging.getLogger(LOGGER)
        self._logger.setLevel(level)
        logging.getLogger().addHandler(self)

    def uninstall(self) -> None:
        """Let others handle what is logged from now on."""
        logging.getLogger().removeHandler(self)

    def log(self, number: int, fields: dict[str, object]) -> None:
        """Log one of the runtime's own events."""
        self._logger.log(number, fields)

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging`."""
        if isinstance(record.msg, dict):
            fields = record.msg
        else:
            self._own_first(self)
            event = "runtime.error" if record.levelno >= logging.ERROR else "runtime.warning"
            fields = {"event": event, "message": record.getMessage(), "logger": record.name}
        level = _NAMES.get(record.levelno) or record.levelname.lower()
        given = {key: value for key, value in self._fields.items() if key not in fields}
        record.msg = {"timestamp": self._timestamps.now(), "level": level, **fields, **given}
        record.args = None
        self._waiting.append(record)
        if not self._is_waiting:
            self.render()

    def render(self) -> None:
        """Put out what waits."""
        self._is_waiting = False
        waiting, self._waiting = self._waiting, []
        for index, record in enumerate(waiting):
            try:
                self._put(record)
            except (OSError, ImportError, MemoryError):  # what makes a line of it cannot be loaded now
                self._waiting = waiting[index:]
                self._is_waiting = True
                self._later(_AGAIN_S, self.render)
                return
