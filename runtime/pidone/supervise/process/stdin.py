"""A pipe into a process's stdin (`stdin = "pipe"`), for `pidone send`."""

import os

from pidone.descriptors import close


class StdinPipe:
    """Our end, and the child's until it runs."""

    def __init__(self) -> None:
        """Make the pipe. Raises OSError."""
        self._open = [*os.pipe()]
        self.child_end, self._ours = self._open
        try:
            os.set_blocking(self._ours, False)
        except OSError:
            self.close()
            raise

    def spawned(self) -> None:
        """Only the child has its end from now on, so that its death is seen as EPIPE."""
        self._open.remove(self.child_end)
        close(self.child_end)

    def write(self, data: bytes) -> bool:
        """All of `data` or, if there is no room or no reader, nothing: up to PIPE_BUF is atomic, pipe(7)."""
        if self._ours not in self._open:
            return False
        try:
            os.write(self._ours, data)
        except (BlockingIOError, BrokenPipeError):
            return False
        return True

    def close(self) -> None:
        """The process is gone, or never came."""
        while self._open:
            close(self._open.pop())
