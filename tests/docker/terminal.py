"""A command on a terminal of its own, as if somebody sat there."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Self

from docker.images import REPOSITORY
from harness import DEADLINE_S


class Terminal:
    """Runs the command; `with` ends it."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str] = os.environ) -> None:
        """Start it in the repository's folder."""
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, env=dict(env), cwd=REPOSITORY
        )
        os.close(theirs)
        self.shown = b""
        """Everything that it has written."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def expect(self, text: bytes) -> None:
        """Read until the text has been shown."""
        deadline = time.monotonic() + DEADLINE_S
        while text not in self.shown:
            left = deadline - time.monotonic()
            if left < 0 or not self._read(left):
                raise AssertionError(f"no {text!r} in {self.shown!r}")

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._ours, keys)

    def wait(self) -> int:
        """Read to the end; the exit code."""
        while self._read(DEADLINE_S):
            pass
        return self._process.wait(DEADLINE_S)

    def _read(self, timeout: float) -> bool:
        """Whether something came in time."""
        if not select.select([self._ours], [], [], timeout)[0]:
            return False
        try:
            said = os.read(self._ours, 4096)
        except OSError:  # EIO: the other side is closed
            return False
        self.shown += said
        return bool(said)
