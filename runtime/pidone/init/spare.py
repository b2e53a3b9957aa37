"""A descriptor kept back for what must be possible when none is left."""

import os

from pidone.descriptors import close, null


class SpareDescriptor:
    """Given up for as long as a `with` block takes, and taken again after it, if it can be had then."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self._take()

    def __enter__(self) -> None:
        if self._fd is not None:
            close(self._fd)
            self._fd = None

    def __exit__(self, *_: object) -> None:
        self._take()

    def _take(self) -> None:
        try:
            self._fd = null(os.O_RDONLY)
        except OSError:  # EMFILE: what needs it next takes its chance
            return
