"""What a terminal sends, as the keys that somebody meant."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from pidone.ecosystem.spec import Seconds

_META: Final = "meta "
_INTRODUCERS: Final = "[O"
"""ECMA-48's CSI and SS3, without the escape before: the keys that move, and those with an F, begin so."""
_PARAMETERS: Final = "0123456789:;<=>?"
_REST: Final[Seconds] = 1.0
"""Within it what comes after Esc and an introducer is the rest of a sequence that the line has cut."""


class Typed:
    """Tells keys from text that is pasted, and from the rest of a sequence that came too late."""

    def __init__(self, now: Callable[[], Seconds] = time.monotonic) -> None:
        """Nothing has been typed yet."""
        self._now = now
        self._is_pasted = False
        self._escaped_at: Seconds | None = None
        self._introduced_at: Seconds | None = None

    def keys(self, key: str, *, is_text: bool) -> Iterator[str]:
        """What a key of urwid's stands for; `is_text` where text is typed in.

        Text that is pasted anywhere else is no command: who has pasted into the wrong window deletes nothing.
        """
        if key in ("begin paste", "end paste"):
            self._is_pasted = key == "begin paste"
        elif self._is_pasted:
            if is_text and len(key) == 1:
                yield key
        elif key.startswith(_META):  # Esc and a key, which came together
            yield from self.keys("esc", is_text=is_text)
            yield from self.keys(key.removeprefix(_META), is_text=False)
        elif not self._is_late(key):
            yield key

    def _is_late(self, key: str) -> bool:
        """Whether it belongs to an escape that was taken for the key Esc."""
        now = self._now()
        if self._introduced_at is not None:
            introduced_at, self._introduced_at = self._introduced_at, None
            if len(key) == 1 and now - introduced_at < _REST:
                self._introduced_at = now if key in _PARAMETERS else None
                return True
        if key == "esc":
            self._escaped_at = now
            return False
        escaped_at, self._escaped_at = self._escaped_at, None
        if escaped_at is None or key not in _INTRODUCERS or now - escaped_at >= _REST:
            return False
        self._introduced_at = now
        return True
