"""The last records of every app, and followers that get the new ones: bounded, and never waited for."""

import heapq
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import Final

from pidone.ecosystem.spec import Bytes

KEPT: Final[Bytes] = 32 * 1024
"""Records per app that are kept in memory."""
FOLLOWER_LIMIT: Final[Bytes] = 512 * 1024
"""What may wait for a follower before it is given up."""


class Follower:
    """Gets what is put out from now on, if it is fast enough."""

    def __init__(self, wake: Callable[[], None], leave: Callable[["Follower"], None], key: Hashable) -> None:
        self._wake = wake
        self._leave = leave
        self._parts: list[bytes] = []
        self._waiting = 0
        self.key = key
        """The app it follows; None for all."""
        self.lost = False
        """Whether it was too slow: nothing comes any more."""

    def take(self) -> bytes:
        """What has come since the last call."""
        parts, self._parts, self._waiting = self._parts, [], 0
        return b"".join(parts)

    def close(self) -> None:
        """No more, please."""
        self._leave(self)

    def push(self, records: bytes) -> None:
        """Called by the history; wakes the follower when something comes after nothing."""
        if self._waiting + len(records) > FOLLOWER_LIMIT:
            self.lost = True
            self._leave(self)
            self._wake()
            return
        self._parts.append(records)
        self._waiting += len(records)
        if len(self._parts) == 1:
            self._wake()


class History:
    """Records as they went to stdout, by app; the key None holds the runtime's own events."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, deque[tuple[int, bytes]]] = {}
        self._sizes: dict[Hashable, int] = {}
        self._followers: list[Follower] = []
        self._count = 0

    def add(self, key: Hashable, records: bytes) -> None:
        """Whole records of one app."""
        for follower in list(self._followers) if self._followers else ():
            if follower.key is None or follower.key == key:
                follower.push(records)
        if len(records) > KEPT:
            records = records[records.find(b"\n", len(records) - KEPT - 1) + 1 :]
        kept = self._kept.setdefault(key, deque())
        self._count += 1
        kept.append((self._count, records))
        size = self._sizes.get(key, 0) + len(records)
        while size > KEPT:
            size -= len(kept.popleft()[1])
        self._sizes[key] = size

    def last(self, key: Hashable = None) -> bytes:
        """The records that are kept of one app; with None of everybody, in the order they were put out."""
        if key is not None:
            return b"".join(records for _, records in self._kept.get(key, ()))
        return b"".join(records for _, records in self._all())

    def follow(self, wake: Callable[[], None], key: Hashable = None) -> Follower:
        """Get new records from now on; `wake` is called from the loop when there are some."""
        follower = Follower(wake, self._leave, key)
        self._followers.append(follower)
        return follower

    def forget(self, key: Hashable) -> None:
        """The app is gone."""
        self._kept.pop(key, None)
        self._sizes.pop(key, None)

    def _all(self) -> Iterator[tuple[int, bytes]]:
        return heapq.merge(*self._kept.values())

    def _leave(self, follower: Follower) -> None:
        if follower in self._followers:
            self._followers.remove(follower)
