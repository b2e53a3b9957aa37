"""Follows the log of one app, or of all, in a thread of its own; what comes is taken in lots."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from pidone.cli.operate.client import Client, CommandError, Events
from pidone.ecosystem.spec import Seconds

_AGAIN: Final[Seconds] = 1.0
_LINES: Final = "500"
_MOST: Final = 5000
"""Records that wait at most: nobody sees more of them between two pictures."""


class LogFeed:
    """One at a time."""

    def __init__(self, runtime: Client, wake: Callable[[], None]) -> None:
        """`wake` is called in the thread, when something comes after nothing."""
        self._runtime = runtime
        self._wake = wake
        self._lock = threading.Lock()
        self._records: list[str] = []
        self._events: Events | None = None
        self._turn = 0

    def follow(self, app: str | None) -> None:
        """This app from now on; all of them with None."""
        with self._lock:
            self._turn += 1
            self._records = []
            if self._events is not None:
                self._events.close()
        threading.Thread(target=self._read, args=(self._turn, app), daemon=True).start()

    def take(self) -> list[str]:
        """What has come since the last call."""
        with self._lock:
            taken, self._records = self._records, []
        return taken

    def _read(self, turn: int, app: str | None) -> None:
        query = {"follow": "1", "lines": _LINES} | ({} if app is None else {"app": app})
        while turn == self._turn:
            try:
                events = self._runtime.events("api", "logs", **query)
            except CommandError:  # the other thread tells that nobody answers
                time.sleep(_AGAIN)
                continue
            with self._lock:
                if turn != self._turn:
                    events.close()
                    return
                self._events = events
            with suppress(CommandError):  # the runtime was killed, or somebody else is looked at
                for lot in events:
                    self._put(turn, [data for name, data in lot if name != "lost"])
            query["lines"] = "0"
            time.sleep(_AGAIN)

    def _put(self, turn: int, records: list[str]) -> None:
        with self._lock:
            if turn != self._turn or not records:
                return
            first = not self._records
            self._records = (self._records + records)[-_MOST:]
        if first:
            self._wake()
