"""What happened in the last hour that a chart has to show: few, and never more than fit."""

from collections import deque
from collections.abc import Mapping
from typing import Final

from pidone.ecosystem.spec import Seconds
from pidone.supervise.ledger import AppKey, Happening

MOST: Final = 256
TOGETHER: Final[Seconds] = 60.0
"""The same that happens to an app again within this time is one mark that counts: so much for crash loops."""
_TEXT: Final = 200
_KINDS: Final[Mapping[str, str]] = {
    "app.reload": "reload",
    "app.reload_failed": "failed",
    "app.scale": "scale",
    "config.reload": "deployment",
    "config.rejected": "failed",
    "instance.errored": "gave_up",
    "instance.hung": "unhealthy",
    "instance.memory": "limit",
    "instance.memory_soft": "limit",
    "instance.unhealthy": "unhealthy",
    "runtime.memory": "limit",
    "runtime.oom": "oom",
}
KINDS: Final = (*sorted({*_KINDS.values(), "exit", "restart"}),)
_PART_OF_A_ROLLOUT: Final = frozenset({"reload", "config", "schedule"})
"""Reasons of starts that are no restarts: `app.reload` tells, and the runs of a job are wanted."""


class Mark:
    """One kind of thing that happened to an app, once or several times in a minute."""

    __slots__ = ("app", "at", "count", "instance", "kind", "text")

    def __init__(self, happening: Happening, kind: str) -> None:
        """From the first of them."""
        index = happening.details.get("instance")
        self.at = happening.at
        self.kind = kind
        self.app = happening.app
        self.instance = index if isinstance(index, int) else None
        self.text = _text(happening)
        self.count = 1


class Marks:
    """The last of them."""

    def __init__(self) -> None:
        """None yet."""
        self._marks: deque[Mark] = deque(maxlen=MOST)
        self._open: dict[tuple[AppKey | None, str], Mark] = {}
        """The latest of its kind."""

    def hear(self, happening: Happening) -> None:
        """Remember it, if it is worth a mark."""
        kind = _kind(happening)
        if kind is None:
            return
        latest = self._open.get((happening.app, kind))
        if latest is not None and happening.at - latest.at < TOGETHER:
            latest.count += 1
            latest.text = _text(happening)
            return
        mark = Mark(happening, kind)
        if len(self._marks) == MOST:
            gone = self._marks[0]
            if self._open.get((gone.app, gone.kind)) is gone:
                del self._open[gone.app, gone.kind]
        self._marks.append(mark)
        self._open[happening.app, kind] = mark

    def since(self, at: float, key: AppKey | None) -> list[Mark]:
        """Those of an app, and those of all; without `key`, everybody's."""
        return [mark for mark in self._marks if mark.at >= at and (key is None or mark.app in (None, key))]


def _kind(happening: Happening) -> str | None:
    details = happening.details
    if happening.event == "instance.start":
        reason = details.get("reason")
        return None if reason is None or reason in _PART_OF_A_ROLLOUT else "restart"
    if happening.event == "instance.exit":
        return "exit" if happening.level == "error" else None
    if happening.event == "app.reload" and details.get("reason") == "config":
        return "deployment"
    return _KINDS.get(happening.event)


def _text(happening: Happening) -> str:
    reason = happening.details.get("reason")
    why = f" ({reason})" if isinstance(reason, str) and reason not in happening.message else ""
    return f"{happening.message}{why}"[:_TEXT]
