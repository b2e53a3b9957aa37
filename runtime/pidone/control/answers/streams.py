"""Server-sent events: what happens, and what the apps say, to clients that read as fast as they can or go.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import json
from collections import deque
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any, Final

from pidone.control.http.messages import Sender
from pidone.ecosystem.spec import Seconds
from pidone.logs.app_streams import AppKey
from pidone.logs.history import Follower
from pidone.logs.relay import Relay
from pidone.supervise.ledger import Happening, Ledger

HEARTBEAT: Final[Seconds] = 15.0
"""A comment this often finds clients that are gone, and keeps proxies from giving up on one that waits."""
_WAITING: Final = 256
"""Events that may wait for a slow client."""


def event_view(happening: Happening) -> dict[str, Any]:
    """One event as JSON shows it."""
    at = datetime.fromtimestamp(happening.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    own = {"timestamp": at, "level": happening.level, "event": happening.event, "message": happening.message}
    return own | {key: value for key, value in happening.details.items() if value is not None}


def frame(data: str, event: str = "") -> bytes:
    """One server-sent event. A line end inside of `data` would end the field, so it becomes another field."""
    name = f"event: {event}\n" if event else ""
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return (name + "".join(f"data: {line}\n" for line in lines) + "\n").encode(errors="replace")


class EventStream:
    """Events of the runtime from now on, after the last `backlog` ones."""

    def __init__(
        self,
        ledger: Ledger,
        sender: Sender,
        *,
        backlog: int,
        call_later: Callable[..., Any],
        wanted: Callable[[Happening], bool],
    ) -> None:
        """Begins to listen; sends when the client takes."""
        self._ledger = ledger
        self._sender = sender
        self._wanted = wanted
        self._call_later = call_later
        kept = [each for each in ledger.recent if wanted(each)]
        self._waiting: deque[Happening] = deque(kept[len(kept) - min(backlog, len(kept)) :])
        ledger.listeners.append(self._heard)
        self._timer = call_later(HEARTBEAT, self._beat)

    def flowing(self) -> None:
        """Send what waits."""
        while self._waiting and not self._sender.is_clogged:
            happening = self._waiting.popleft()
            data = json.dumps(event_view(happening), default=str, ensure_ascii=False)
            self._sender.send(frame(data, happening.event))

    def close(self) -> None:
        """The client is gone."""
        self._timer.cancel()
        if self._heard in self._ledger.listeners:
            self._ledger.listeners.remove(self._heard)

    def _heard(self, happening: Happening) -> None:
        if not self._wanted(happening):
            return
        if len(self._waiting) >= _WAITING:
            self.close()
            self._sender.end()
            return
        self._waiting.append(happening)
        self.flowing()

    def _beat(self) -> None:
        self._timer = self._call_later(HEARTBEAT, self._beat)
        if not self._sender.is_clogged:
            self._sender.send(b": still here\n\n")


class LogStream:
    """Records of some apps, or of all, from now on, after those already chosen."""

    def __init__(
        self,
        relay: Relay,
        sender: Sender,
        *,
        apps: Collection[AppKey],
        backlog: list[str],
        call_later: Callable[..., Any],
        wanted: Callable[[str], bool],
    ) -> None:
        """`backlog` is sent first."""
        self._sender = sender
        self._wanted = wanted
        self._call_later = call_later
        self._backlog = backlog
        self._follower: Follower = relay.follow(self._wake, *apps)
        self._timer = call_later(HEARTBEAT, self._beat)

    def flowing(self) -> None:
        """Send what has come."""
        if self._sender.is_clogged:
            return
        if self._backlog:
            backlog, self._backlog = self._backlog, []
            self._sender.send(b"".join(frame(record) for record in backlog))
        taken = self._follower.take() if not self._sender.is_clogged else b""
        if taken:
            records = split(taken)
            data = b"".join(frame(record) for record in records if self._wanted(record))
            if data:
                self._sender.send(data)
        if self._follower.lost:
            self._sender.send(frame('{"error":"too slow: records were lost"}', "lost"))
            self.close()
            self._sender.end()

    def close(self) -> None:
        """The client is gone."""
        self._timer.cancel()
        self._follower.close()

    def _wake(self) -> None:
        # In a later turn: this is called from within the relay, which has not passed the record on yet.
        self._call_later(0, self.flowing)

    def _beat(self) -> None:
        self._timer = self._call_later(HEARTBEAT, self._beat)
        if not self._sender.is_clogged:
            self._sender.send(b": still here\n\n")


def split(records: bytes) -> list[str]:
    """Whole records to lines."""
    return [line for line in records.decode(errors="replace").split("\n") if line]
