"""The last records of every app, and followers that get the new ones: bounded, and never waited for.

Records are those of the format `json`, whatever stdout shows: who reads them renders them. Where stdout has
another format they are made only when somebody wants them.
"""

import heapq
from collections import deque
from collections.abc import Callable, Collection, Hashable
from typing import Final, TypeAlias

from pidone.ecosystem.spec import Bytes

ToJson: TypeAlias = Callable[[bytes], bytes]
"""Makes records of the lines that were kept of an app."""

KEPT: Final[Bytes] = 32 * 1024
"""Records per app that are kept in memory."""
_AT_ONCE: Final[Bytes] = 4096
"""Records of fewer lines are made at once: what makes them would take more memory, and a thousand of them."""
_RECORD: Final[Bytes] = 128
"""About what a record has besides its line."""
FOLLOWER_LIMIT: Final[Bytes] = 512 * 1024
"""What may wait for a follower before it is given up."""


class Follower:
    """Gets what is put out from now on, if it is fast enough."""

    def __init__(
        self, wake: Callable[[], None], leave: Callable[["Follower"], None], keys: Collection[Hashable]
    ) -> None:
        self._wake = wake
        self._leave = leave
        self._parts: list[bytes] = []
        self._waiting = 0
        self.keys = keys
        """Whom it follows; nobody in particular is everybody."""
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


class _Kept:
    """Some records of an app, or the lines to make them of."""

    __slots__ = ("_data", "_to_json", "number", "size")

    def __init__(self, number: int, data: bytes, to_json: ToJson | None) -> None:
        """`number` is the order of arrival."""
        self.number = number
        self._data = data
        self._to_json = to_json
        self.size = len(data)
        """Of the records, about."""
        if to_json:
            self.size += _RECORD * max(data.count(b"\n"), 1)

    @property
    def records(self) -> bytes:
        return self._to_json(self._data) if self._to_json else self._data


class History:
    """Records by app."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, deque[_Kept]] = {}
        self._sizes: dict[Hashable, int] = {}
        self._followers: list[Follower] = []
        self._count = 0

    def add(self, key: Hashable, data: bytes, to_json: ToJson | None = None) -> None:
        """Whole records of one app; with `to_json` the lines to make them of."""
        if to_json and 0 < len(data) < _AT_ONCE:
            data, to_json = to_json(data), None
        if self._followers:
            self._tell_followers(key, data, to_json)
        most = KEPT if to_json is None else KEPT * len(data) // (len(data) + _RECORD * data.count(b"\n") + 1)
        if len(data) > most:
            data = data[data.find(b"\n", len(data) - most - 1) + 1 :][-KEPT:]
        self._count += 1
        kept = _Kept(self._count, data, to_json)
        all_kept = self._kept.setdefault(key, deque())
        all_kept.append(kept)
        size = self._sizes.get(key, 0) + kept.size
        while size > KEPT and len(all_kept) > 1:
            size -= all_kept.popleft().size
        self._sizes[key] = size

    def last(self, *keys: Hashable) -> bytes:
        """The records that are kept of some, or of everybody, in the order they were put out."""
        kept = [self._kept.get(key, ()) for key in keys] if keys else self._kept.values()
        return b"".join(each.records for each in heapq.merge(*kept, key=lambda each: each.number))

    def follow(self, wake: Callable[[], None], *keys: Hashable) -> Follower:
        """Get new records from now on; `wake` is called from the loop when there are some."""
        follower = Follower(wake, self._leave, keys)
        self._followers.append(follower)
        return follower

    def forget(self, key: Hashable) -> None:
        """The app is gone."""
        self._kept.pop(key, None)
        self._sizes.pop(key, None)

    def _tell_followers(self, key: Hashable, data: bytes, to_json: ToJson | None) -> None:
        interested = [follower for follower in self._followers if not follower.keys or key in follower.keys]
        if interested:
            records = to_json(data) if to_json else data
            for follower in interested:
                follower.push(records)

    def _leave(self, follower: Follower) -> None:
        if follower in self._followers:
            self._followers.remove(follower)
