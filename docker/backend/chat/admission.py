"""Who may wait for a connection: a few, and while the database is away one at a time.

A queue in front of something that does not answer only makes everybody late. So no more wait than can be
served soon, and after a failure one request tries while the others are told at once that they may come again.
"""

import contextlib
import time
from collections.abc import Iterator

RETRY_S = 0.5
"""How long after a failure the next request tries again."""


class RefusedError(Exception):
    """There is no use in waiting."""


class Admission:
    """Counts those who use a connection or wait for one, and remembers whether the last attempt failed."""

    def __init__(self, most: int, *, may_be_away: bool) -> None:
        """`may_be_away`: a server can be; of a file one failure (a lock) says nothing about the next try."""
        self._most = most
        self._may_be_away = may_be_away
        self._inside = 0
        self._away = False
        self._trying = False
        self._next_try = 0.0

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Be one of those. Raises RefusedError."""
        if self._inside >= self._most:
            raise RefusedError("too many requests wait for a connection already")
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Get a connection in the block; any failure but RefusedError is remembered. Raises RefusedError."""
        is_trial = self._away
        if is_trial:
            if self._trying or time.monotonic() < self._next_try:
                raise RefusedError("the database was away a moment ago")
            self._trying = True
        try:
            yield
        except RefusedError:  # says nothing of the database
            raise
        except Exception:
            self._away = self._may_be_away
            self._next_try = time.monotonic() + RETRY_S
            raise
        else:
            self._away = False
        finally:
            if is_trial:
                self._trying = False
