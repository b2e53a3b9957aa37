"""What is wrong with the runtime's own work, of late: files, hooks, alerts. Of apps `diagnosis` tells."""

import time
from collections.abc import Mapping
from typing import Any, Final

from pidone.control.answers.diagnosis import advice_for
from pidone.control.answers.streams import event_view
from pidone.ecosystem.spec import Seconds
from pidone.supervise.ledger import Happening, Ledger

_LATELY: Final[Seconds] = 600.0
"""What lasts is told once a minute."""
_MOST: Final = 5
_KEPT: Final = 100
_KINDS: Final = frozenset((
    "alert.failed", "config.rejected", "control.error", "hook.failed", "listen.failed", "log.dropped",
    "log.file_failed", "log.pipe_failed", "preload.exit", "preload.failed", "runtime.error", "runtime.memory",
    "runtime.oom", "runtime.refused", "runtime.unheard", "watch.failed",
))  # fmt: skip
_ENDS: Final = {"log.file_restored": "log.file_failed", "config.reload": "config.rejected"}
"""Events by which a trouble is over."""


class Warnings:
    """Hears events, and remembers the last of each kind of trouble."""

    def __init__(self, ledger: Ledger) -> None:
        """What is remembered of the time before counts too."""
        self._last: dict[tuple[object, ...], Happening] = {}
        for happening in ledger.recent:
            self._heard(happening)
        ledger.listeners.append(self._heard)

    def view(self, now: float | None = None) -> list[Mapping[str, Any]]:
        """As JSON has them, the latest first."""
        since = (time.time() if now is None else now) - _LATELY
        late = sorted((each for each in self._last.values() if each.at > since), key=lambda each: -each.at)
        return [
            {
                "timestamp": event_view(each)["timestamp"],
                "event": each.event,
                "app": each.details.get("app"),
                "message": each.message,
                "advice": advice_for(each.message, str(each.details.get("app") or "all")),
            }
            for each in late[:_MOST]
        ]

    def _heard(self, happening: Happening) -> None:
        over = _ENDS.get(happening.event)
        if over is not None:
            self._last.pop(_key(over, happening), None)
        elif happening.event in _KINDS and happening.level not in ("info", "debug"):
            key = _key(happening.event, happening)
            self._last.pop(key, None)
            self._last[key] = happening
            if len(self._last) > _KEPT:
                del self._last[next(iter(self._last))]


def _key(event: str, happening: Happening) -> tuple[object, ...]:
    details = happening.details
    return (event, *(details.get(name) for name in ("namespace", "app", "path", "hook", "alert")))
