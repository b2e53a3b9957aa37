"""Ring buffers of equal length that advance together: an hour, a slot each ten seconds.

A slot of an instance is two floats. So an hour of one instance is 2.8 KiB, and that of `MOST` instances with
all marks is under 1 MiB, which is never exceeded.
"""

from array import array
from collections.abc import Hashable, Iterator, Mapping
from typing import Final, Generic, TypeVar

from pidone.ecosystem.spec import Seconds

STEP: Final[Seconds] = 10.0
"""Length of a slot: what is sampled more often is put together."""
SLOTS: Final = 360
MOST: Final = 240
"""Instances that are remembered, those that have gone within the hour included."""

Key = TypeVar("Key", bound=Hashable)


class Rings(Generic[Key]):
    """Per key, `width` values for each slot of the last hour; zero is "nothing was there"."""

    def __init__(self, width: int, *, slots: int = SLOTS, most: int = MOST) -> None:
        """Empty. Beyond `most` keys, who has been silent for the whole hour or longest makes room."""
        self._slots = slots
        self._width = width
        self._most = most
        self._rings: dict[Key, array[float]] = {}
        """Slot by slot; the column of value `i` begins at `i * slots`."""
        self._last: dict[Key, int] = {}
        """The slot, counted from the first, in which a key was last told of."""
        self.count = 0
        """Slots that have been closed since the beginning."""
        self.omitted = 0
        """Keys for which there was no room in the last slot."""

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._rings)

    def __iter__(self) -> Iterator[Key]:
        """All that are remembered, in the order of their first appearance."""
        yield from self._rings

    def close_slot(self, values: Mapping[Key, tuple[float, ...]], *, missed: int = 0) -> None:
        """One more slot has passed, after `missed` ones in which nobody looked."""
        for _ in range(min(missed, self._slots)):
            self._advance({})
        self._advance(values)
        for key in [key for key, last in self._last.items() if last <= self.count - self._slots]:
            del self._rings[key], self._last[key]

    def means(self, key: Key, column: int, size: int) -> list[float]:
        """The mean of each `size` slots, oldest first; the last bucket is whole.

        Buckets before the first slot of all are left out, so that the list is as long as the memory.
        """
        return [sum(bucket) / size for bucket in self._buckets(key, column, size)]

    def greatest(self, key: Key, column: int, size: int) -> list[float]:
        """The greatest value of each `size` slots, in the same order."""
        return [*map(max, self._buckets(key, column, size))]

    def _buckets(self, key: Key, column: int, size: int) -> Iterator[tuple[float, ...]]:
        ring = self._rings[key]
        begin = column * self._slots
        at = self.count % self._slots
        values = ring[begin + at : begin + self._slots] + ring[begin : begin + at]
        whole = min(self.count, self._slots) // size * size
        slots = iter(values[self._slots - whole :])
        return zip(*[slots] * size, strict=True)

    def _advance(self, values: Mapping[Key, tuple[float, ...]]) -> None:
        at = self.count % self._slots
        self.count += 1
        self.omitted = 0
        for key in values:
            if key not in self._rings and not self._make_room(key, values):
                self.omitted += 1
        nothing = (0.0,) * self._width
        for key, ring in self._rings.items():
            for column, value in enumerate(values.get(key, nothing)):
                ring[column * self._slots + at] = value
            if key in values:
                self._last[key] = self.count

    def _make_room(self, key: Key, values: Mapping[Key, tuple[float, ...]]) -> bool:
        if len(self._rings) >= self._most:
            silent = min(
                (k for k in self._rings if k not in values), key=self._last.__getitem__, default=None
            )
            if silent is None:
                return False
            del self._rings[silent], self._last[silent]
        self._rings[key] = array("f", bytes(4 * self._width * self._slots))
        self._last[key] = self.count
        return True
