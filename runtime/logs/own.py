"""The runtime's own events: through `logging`, and as records into the same queue as the apps' lines."""

import functools
import logging
from collections.abc import Callable
from typing import Any, Final

from runtime.logs.events import LEVEL_NUMBERS, check
from runtime.logs.timestamps import Timestamps

LOGGER: Final = "pidone"
_NAMES: Final = {5: "trace", 10: "debug", 20: "info", 30: "warn", 40: "error", 50: "fatal"}

Fields = dict[str, Any]
"""A record of the runtime's own: `timestamp`, `level`, `event`, `message` and what belongs to the event."""


class OwnEvents(logging.Handler):
    """Takes what is logged anywhere in the process (asyncio's complaints too) and puts it out as records."""

    def __init__(
        self,
        put: Callable[[bytes], None],
        later: Callable[[Callable[[], None]], object],
        timestamps: Timestamps,
        *,
        level: str,
        render: Callable[[], Callable[[Fields], bytes]],
    ) -> None:
        """`later` runs a callback when this turn of the loop is over; `render` imports and makes a renderer.

        python-json-logger costs 12 ms and 1.2 MiB to import, more than all the rest of the relay. Apps are
        spawned first: the events of that turn keep their timestamps and wait for its end.
        """
        super().__init__(LEVEL_NUMBERS.get(level, logging.INFO))
        self._put = put
        self._later = later
        self._timestamps = timestamps
        self._make_renderer = render
        self._renderer: Callable[[Fields], bytes] | None = None
        self._waiting: list[Fields] = []
        self._logger = logging.getLogger(LOGGER)

    def install(self) -> None:
        """Become the one handler of the process."""
        self._logger.setLevel(self.level)
        logging.getLogger().addHandler(self)

    def uninstall(self) -> None:
        """Let others handle what is logged from now on."""
        logging.getLogger().removeHandler(self)

    def event(self, level: str, event: str, message: str, fields: Fields) -> None:
        """Log one event of `events.EVENTS`."""
        check(event, level)
        number = LEVEL_NUMBERS.get(level, logging.INFO)
        if self._logger.isEnabledFor(number):
            self._logger.log(number, message, extra={"event": event, "fields": fields})

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging`."""
        fields: Fields = {
            "timestamp": self._timestamps.now(),
            "level": _NAMES.get(record.levelno) or record.levelname.lower(),
            "event": getattr(
                record, "event", "runtime.error" if record.levelno >= logging.ERROR else "runtime.warning"
            ),
            "message": record.getMessage() if record.args else str(record.msg),
            **getattr(record, "fields", {}),
        }
        if record.name != LOGGER:
            fields["logger"] = record.name
        if record.exc_info:
            fields["exc_info"] = logging.Formatter().formatException(record.exc_info)
        self._waiting.append(fields)
        if self._renderer:
            self.flush()
        elif len(self._waiting) == 1:
            self._later(self.flush)

    def flush(self) -> None:
        """Put out what waits."""
        if not self._waiting:
            return
        if self._renderer is None:
            self._renderer = self._make_renderer()
        waiting, self._waiting = self._waiting, []
        for fields in waiting:
            self._put(self._renderer(fields))


def json_renderer() -> Callable[[Fields], bytes]:
    """python-json-logger's formatter, fed with what the handler collected."""
    import json  # noqa: PLC0415 - heavy, see OwnEvents

    from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415 - heavy, see OwnEvents

    compact = functools.partial(json.dumps, separators=(",", ":"))
    formatter = JsonFormatter(json_serializer=compact, json_ensure_ascii=False, json_default=str)

    def render(fields: Fields) -> bytes:
        return formatter.jsonify_log_record(fields).encode(errors="replace") + b"\n"

    return render
