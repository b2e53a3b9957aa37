"""What the runtime writes to its stdout, read by a thread, which can also stop to read."""

import json
import os
import threading
from contextlib import suppress
from fcntl import F_SETPIPE_SZ, fcntl
from typing import Any, Final, Self, TypeAlias

from pidone.descriptors import close
from pidone.ecosystem.spec import Seconds

Fields: TypeAlias = dict[str, Any]
_CHUNK: Final = 65536
_SMALL_PIPE: Final = 4096
"""A pipe that is full soon, so that a reader who stops is noticed."""
_LAST_WORDS: Final[Seconds] = 5.0


class Records:
    """The records of one runtime, in order."""

    def __init__(self) -> None:
        """A pipe for its stdout: `writer` is the end to give away."""
        self._reader, self.writer = os.pipe()
        with suppress(OSError):
            fcntl(self.writer, F_SETPIPE_SZ, _SMALL_PIPE)
        self._all: list[Fields] = []
        self._flowing = threading.Event()
        self._flowing.set()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        """Read."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """The runtime has ended: read what is left."""
        self._flowing.set()
        close(self.writer)
        self._thread.join(_LAST_WORDS)

    def stall(self) -> None:
        """Read no more, as a log collector that hangs."""
        self._flowing.clear()

    def resume(self) -> None:
        """Read on."""
        self._flowing.set()

    @property
    def many(self) -> int:
        """How many there are; what comes later is `since` that."""
        return len(self._all)

    def all(self, since: int = 0) -> list[Fields]:
        """In order."""
        return self._all[since:]

    def events(self, name: str, since: int = 0) -> list[Fields]:
        """The runtime's own records of one name."""
        return [each for each in self._all[since:] if each.get("event") == name]

    def lines(self, app: str, since: int = 0) -> list[str]:
        """What an app wrote."""
        return [str(each.get("message", "")) for each in self.of_apps(since) if each.get("app") == app]

    def of_apps(self, since: int = 0) -> list[Fields]:
        """What all apps wrote."""
        return [each for each in self._all[since:] if "event" not in each]

    def _read(self) -> None:
        partial = b""
        with os.fdopen(self._reader, "rb", buffering=0) as stream:
            while data := stream.read(_CHUNK):
                *lines, partial = (partial + data).split(b"\n")
                self._all.extend(filter(None, map(_parsed, lines)))
                self._flowing.wait()


def _parsed(line: bytes) -> Fields | None:
    """None for what is no record: the runtime's last words to stderr, for example."""
    try:
        value = json.loads(line)
    except ValueError:
        return {"event": "stderr", "message": line.decode(errors="replace")} if line else None
    return value if isinstance(value, dict) else None
