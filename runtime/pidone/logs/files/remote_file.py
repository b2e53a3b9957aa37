"""A log file on a file system that may not answer: a process of its own writes it, and only that one waits.

Its lines go through a queue with a limit, as records go to stdout. While the file system answers, however
slowly, a full queue leaves the app's pipe unread; as soon as it is known that it does not, lines are missing
in the file, which is told with their number.
"""

import contextlib
import errno
import os
import select
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pidone import procfs
from pidone.cpickle import pickle
from pidone.csignal import fork_quietly
from pidone.descriptors import close, pipe_to_us
from pidone.ecosystem.spec import Seconds
from pidone.logs.files.file_writer import DATA, HEAD, REOPEN, RULES, be_the_writer
from pidone.logs.files.logfile import FileNews
from pidone.logs.files.rotation import Rotation
from pidone.logs.output import Output
from pidone.logs.timestamps import WallClock
from pidone.logs.trouble import Trouble

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

SILENT_AFTER: Final[Seconds] = 2.0
"""What has not taken a line for so long does not answer."""
_PART: Final = 1 << 16
_LONGEST_ANSWER: Final = 1 << 12
_LOOK_S: Final[Seconds] = 0.05
_SILENT: Final = "its file system does not answer"


class RemoteFile:
    """As `LogFile`, which the process has; see there."""

    def __init__(
        self,
        path: Path,
        rules: Rotation,
        *,
        clock: WallClock,
        news: FileNews,
        loop: "AbstractEventLoop",
        on_room: Callable[[], None],
    ) -> None:
        """`path` is absolute; `on_room` is called when `full` may have ended."""
        self.path = path
        self._rules = rules
        self._clock = clock
        self._news = news
        self._loop = loop
        self._on_room = on_room
        self._trouble = Trouble(lambda error, count: news.failed(path, "written", error, count), clock)
        self._output: Output | None = None
        """To the process, while there is one."""
        self._orders = self._answers = -1
        self._pid = 0
        self._heard = b""
        self._writer: object = None
        self._is_torn = False
        self._sent = self._written = 0
        """Lines that were given to the process, and that it is through with."""
        self._orders_given = self._orders_done = 0
        self._lost = 0
        self._is_silent = False
        self._progress_at: Seconds = 0.0
        """When it took something last, or had nothing to take (monotonic)."""
        self._is_watched = self._is_retired = False

    @property
    def rules(self) -> Rotation:
        """When it is put aside."""
        return self._rules

    @rules.setter
    def rules(self, rules: Rotation) -> None:
        if rules != self._rules:
            self._rules = rules
            self._order(RULES, pickle.dumps(rules))

    @property
    def full(self) -> bool:
        """Whether who writes to it should wait: not for one that does not answer."""
        return self._output is not None and self._output.full and not self._is_silent

    @property
    def overfull(self) -> bool:
        """As that of `Output`."""
        return self._output is not None and self._output.overfull and not self._is_silent

    @property
    def helper(self) -> int:
        """The process, if there is one."""
        return 0 if self._output is None else self._pid

    def write(self, data: bytes, writer: object = None) -> None:
        """Append; never raises, and never waits. As that of `LogFile`."""
        lines = data.count(b"\n")
        if self._trouble.rests and not self._is_silent:  # no process could be had
            self._lost += lines
            return
        if self._output is None and not self._start():
            self._lost += lines
            return
        output = self._output
        if output is None or (output.full if self._is_silent else output.overfull):
            self._lost += lines
            self._is_torn = True
            return
        begins = writer is not self._writer or self._is_torn
        self._writer, self._is_torn = writer, False
        self._sent += lines
        self._order(DATA, data, begins=begins)

    def reopen(self) -> None:
        """Begin anew under the same name. Whoever does not answer is left alone: another one begins."""
        if self._is_silent:
            self._part("it did not answer, and was begun anew")
        self._trouble.try_again()
        self._order(REOPEN, b"")

    def retire(self) -> None:
        """Nobody writes to it any more; what is under way is written."""
        self._is_retired = True
        if self._is_done or self._is_silent:
            self.close()

    def drain(self, since: Seconds, patience: Seconds, until: Seconds) -> None:
        """Wait for what is under way: for `patience` after it took something last, but not after `until`.

        `since` is when waiting began (all of time.monotonic).
        """
        while (output := self._output) is not None and not self._is_done and not self._is_silent:
            output.drain(0.0, 0.0)
            self._hear()
            left = min(max(since, self._progress_at) + patience, until) - time.monotonic()
            if left <= 0:
                self._is_silent = True
                return
            poll = select.poll()
            if self._answers >= 0:
                poll.register(self._answers, select.POLLIN)
            poll.poll(min(left, _LOOK_S) * 1000)

    def close(self) -> None:
        """The end. What is not written yet is missing."""
        if self._is_silent:
            self._lost += self._sent - self._written
        if self._lost:
            why = _SILENT if self._is_silent else "it could not be"
            why += f"; {self._lost} lines are missing at its end"
            self._news.failed(self.path, "written", OSError(errno.ETIMEDOUT, why), 1)
            self._lost = 0
        self._let_go()

    # -- the process ---------------------------------------------------------------------------------------

    @property
    def _is_done(self) -> bool:
        return self._orders_given == self._orders_done

    def _order(self, kind: int, data: bytes, *, begins: bool = False) -> None:
        if self._output is None:
            return
        if self._is_done:
            self._progress_at = time.monotonic()
        self._orders_given += 1
        self._output.put(HEAD.pack(kind, begins, len(data)) + data)
        self._watch()

    def _start(self) -> bool:
        """Fork it; False where that is not possible, which is told."""
        opened: list[int] = []
        try:
            opened += os.pipe()
            opened += pipe_to_us()
            self._pid = fork_quietly()
            if not self._pid:
                be_the_writer(self.path, self._rules, self._clock, orders=opened[0], answers=opened[3])
            self._loop.add_reader(opened[2], self._hear)
        except OSError as error:
            for number in opened:
                close(number)
            self._trouble.failed(error)
            return False
        close(opened[0])
        close(opened[3])
        self._orders, self._answers = opened[1], opened[2]
        self._heard, self._sent, self._written = b"", 0, 0
        self._orders_given = self._orders_done = 0
        self._is_silent, self._writer, self._is_torn = False, None, False
        self._progress_at = time.monotonic()
        on_lost = partial(self._lost_pipe, self._pid)
        self._output = Output(self._loop, self._orders, on_lost=on_lost, on_room=self._on_room)
        return True

    def _hear(self) -> None:
        """Take what it has said; a line each: `d ORDERS LINES`, `f WHAT ERRNO COUNT WHY`, `r LINES`."""
        try:
            said = os.read(self._answers, _PART) if self._answers >= 0 else None
        except BlockingIOError:
            return
        except OSError as error:
            self._ended(error)
            return
        if said is None:
            return
        if not said:
            self._ended(OSError(errno.ESRCH, "the process that writes it has ended"))
            return
        *lines, self._heard = (self._heard + said).split(b"\n")
        self._heard = self._heard[:_LONGEST_ANSWER]
        for line in lines:
            self._understand(line.decode(errors="replace"))
        self._progress_at = time.monotonic()
        if self._is_silent or (self._trouble.lasts and self._orders_done):
            self._answers_again()
        if self._is_retired and self._is_done:
            self.close()

    def _understand(self, line: str) -> None:
        kind, _, rest = line.partition(" ")
        if kind == "d":
            self._orders_done, self._written = map(int, rest.split())
        elif kind == "r":
            self._news.restored(self.path, int(rest))
        elif kind == "f":
            what, number, count, why = rest.split(" ", 3)
            self._news.failed(self.path, what, OSError(int(number), why), int(count))

    def _answers_again(self) -> None:
        self._is_silent = False
        self._trouble.over()
        lost, self._lost = self._lost, 0
        self._news.restored(self.path, lost)

    def _watch(self) -> None:
        """See whether it takes what it was given."""
        if not self._is_watched:
            self._is_watched = True
            self._loop.call_later(SILENT_AFTER, self._judge)

    def _judge(self) -> None:
        self._is_watched = False
        if self._is_silent:
            return
        self._hear()
        if self._is_done:
            return
        state = procfs.state(self._pid)
        if state == "T":  # somebody has stopped it, and would keep all of it for ever
            self._kill()
        elif time.monotonic() - self._progress_at >= SILENT_AFTER and state != "R":
            self._is_silent = True
            self._trouble.failed(OSError(errno.ETIMEDOUT, _SILENT))
            self._loop.call_soon(self._on_room)
            if self._is_retired:
                self.close()
            return
        self._watch()

    def _lost_pipe(self, pid: int, error: OSError) -> None:
        if pid == self._pid:
            self._ended(error)

    def _ended(self, error: OSError) -> None:
        """It was killed; what it had is lost. Another one begins in a while."""
        if self._output is None:
            return
        self._part(error.strerror or "")

    def _part(self, why: str) -> None:
        """From the process; what it had is missing."""
        self._lost += self._sent - self._written
        self._sent = self._written = self._orders_given = self._orders_done = 0
        self._let_go()
        self._trouble.failed(OSError(errno.ESRCH, why))
        self._loop.call_soon(self._on_room)

    def _let_go(self) -> None:
        """It ends by itself when it has written everything, or now if it does not answer."""
        if self._output is None:
            return
        if self._is_silent:
            self._kill()
        self._is_silent = False
        output, self._output = self._output, None
        output.close()
        self._loop.remove_reader(self._answers)
        close(self._orders)
        close(self._answers)
        self._orders = self._answers = -1

    def _kill(self) -> None:
        """While its pipe is open it is not buried, so the pid is its own. The reaper of `init/` has it."""
        poll = select.poll()
        poll.register(self._answers, select.POLLHUP)
        with contextlib.suppress(OSError):
            if not any(event & select.POLLHUP for _, event in poll.poll(0)):
                os.kill(self._pid, signal.SIGKILL)
