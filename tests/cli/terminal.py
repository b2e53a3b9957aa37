"""A terminal with monit in it: a pseudo-terminal that pyte draws, keys and a mouse."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping

import pyte
from harness import DEADLINE_S, PIDONE


class Terminal:
    """What a person sees and does."""

    def __init__(self, primary: int, program: "subprocess.Popen[bytes]", width: int, height: int) -> None:
        self._primary = primary
        self.program = program
        self.screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self.screen)

    @property
    def lines(self) -> list[str]:
        """The screen without spaces at the right."""
        return [line.rstrip() for line in self.screen.display]

    def until(self, pattern: str) -> str:
        """The screen, once something is on it."""
        deadline = time.monotonic() + DEADLINE_S
        while not re.search(pattern, text := "\n".join(self.lines)):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} is not on the screen:\n{text}"
            self.draw(min(left, 0.2))
        return text

    def shows(self, probe: Callable[[], object], what: str) -> None:
        """Until it is so: a picture is drawn from the top, and comes in parts."""
        deadline = time.monotonic() + DEADLINE_S
        while not probe():
            left = deadline - time.monotonic()
            assert left > 0, "\n".join((f"not {what}:", *self.lines))
            self.draw(min(left, 0.2))

    def draw(self, most: float) -> bool:
        """Take what comes within so many seconds; false if it has ended."""
        ready, _, _ = select.select([self._primary], [], [], most)
        if ready:
            try:
                self._stream.feed(os.read(self._primary, 65536))
            except OSError:  # the other end is closed
                return False
        return True

    def press(self, keys: str) -> None:
        """Keys as a terminal sends them, all at once."""
        os.write(self._primary, keys.encode())

    def click(self, column: int, row: int, button: int = 0) -> None:
        """A button goes down and up (xterm's SGR mode, from 0; 64 and 65 are the wheel)."""
        self.press(f"\x1b[<{button};{column + 1};{row + 1}M")
        if button < 64:
            self.press(f"\x1b[<{button};{column + 1};{row + 1}m")

    def resize(self, width: int, height: int) -> None:
        """Somebody pulls at the window."""
        self.screen.resize(height, width)
        fcntl.ioctl(self._primary, termios.TIOCSWINSZ, struct.pack("4H", height, width, 0, 0))
        os.kill(self.program.pid, signal.SIGWINCH)

    def row_of(self, text: str) -> int:
        """The first line in which a text is; -1 if there is none."""
        return next((number for number, line in enumerate(self.lines) if text in line), -1)

    def wait(self) -> int:
        """Its exit code; what it still writes is drawn."""
        deadline = time.monotonic() + DEADLINE_S
        while self.program.poll() is None and time.monotonic() < deadline:
            self.draw(0.05)
        return self.program.wait(1)


@contextlib.contextmanager
def monit(
    socket: str,
    width: int = 80,
    height: int = 24,
    env: Mapping[str, str] | None = None,
    *,
    is_sized: bool = True,
) -> Iterator[Terminal]:
    """Run it until the test is over."""
    primary, secondary = pty.openpty()
    size = struct.pack("4H", height, width, 0, 0) if is_sized else bytes(8)
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, size)
    environ = {key: value for key, value in os.environ.items() if key not in ("LINES", "COLUMNS", "NO_COLOR")}
    with subprocess.Popen(
        [PIDONE, "monit", "--socket", socket],
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        env={**environ, "TERM": "xterm-256color", **(env or {})},
        start_new_session=True,
    ) as program:
        os.close(secondary)
        try:
            yield Terminal(primary, program, width, height)
        finally:
            if program.poll() is None:
                program.kill()
            os.close(primary)
