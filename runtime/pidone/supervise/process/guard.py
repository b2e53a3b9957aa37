"""A process beside the runtime that stops its apps when the runtime was killed (`die_with_runtime`).

The kernel offers the same by PR_SET_PDEATHSIG, but only to who asks for it between fork and exec, and then
every start is a fork instead of a posix_spawn: ten times as long for each of a thousand instances. So one
fork for all of them reads a pipe whose other end only the runtime has. When that closes, the runtime has
ended, and everybody who is still there is stopped as the runtime would have done it (`forsaken`): the one
signal of the kernel would reach a shell, and leave alone the server that the shell has started.

It is forked in a later turn than the first start, so that nobody waits for it, and anew if it is killed
itself: a fork knows all there is to know. The reaper has it among those it watches: a child that nobody owns
could be one that an app has left behind, and then each end of an app would be a look at everybody in /proc.
"""

import gc
import os
from collections.abc import Callable
from typing import Final, NoReturn

from pidone.contracts import Clock, Timer
from pidone.csignal import fork_quietly, signal
from pidone.descriptors import close, close_all_but
from pidone.ecosystem.spec import Seconds
from pidone.init import proctree
from pidone.init.reaper import ExitStatus, Reaper, await_end

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing more than is there
if TYPE_CHECKING:
    from pidone.supervise.process.forsaken import Ward

_RETRY: Final[Seconds] = 5.0
"""Between two forks at least: one that cannot live must not be all that the runtime does."""
_READ: Final = 65536


class Guard:
    """The runtime's side of it."""

    def __init__(self, clock: Clock, reaper: Reaper, on_failed: Callable[[str], None]) -> None:
        """Nobody is guarded yet, and nothing is forked. `on_failed` hears once why there is none."""
        self._clock = clock
        self._reaper = reaper
        self._on_failed: Callable[[str], None] | None = on_failed
        self._guarded: dict[int, Ward] = {}
        """Whom to stop, and how."""
        self._pid = 0
        self._pipe = -1
        self._due: Timer | None = None
        self._news: list[str] = []
        """What it is told at the end of this turn: a start of a hundred apps wakes it a few times, and the
        successor of who has ended is there before it hears of either."""
        self._forked_at = -_RETRY
        self._is_closed = False

    def add(self, ward: "Ward") -> None:
        """Stop this one when the runtime was killed."""
        self._guarded[ward.pid] = ward
        self._tell_soon(ward.line())

    def drop(self, pid: int) -> None:
        """It has ended."""
        if self._guarded.pop(pid, None) is not None and self._pid:
            self._tell_soon(f"{pid}")

    def close(self) -> None:
        """All apps are down, and the runtime ends in order."""
        self._is_closed = True
        if self._due is not None:
            self._due.cancel()
        if self._pid and proctree.deliver(self._pid, signal.SIGKILL) == proctree.SENT:
            await_end(self._pid)  # at once, as it does nothing but read: nobody would bury it later
        self._let_go()

    def _be_killed(self) -> None:
        """Stopped, it would hear of nothing: another one takes its place."""
        proctree.deliver(self._pid, signal.SIGKILL)

    def _has_ended(self, _status: ExitStatus) -> None:
        self._let_go()
        self._begin_soon()

    def _tell_soon(self, line: str) -> None:
        if not self._pid:
            self._begin_soon()
            return
        if not self._news:
            self._clock.call_later(0.0, self._tell)
        self._news.append(line)

    def _tell(self) -> None:
        news, self._news = self._news, []
        if not self._pid:  # it has ended meanwhile: the next one knows by its fork
            return
        data = "".join(f"{line}\n" for line in news).encode()
        try:
            is_told = os.write(self._pipe, data) == len(data)
        except BrokenPipeError:
            return  # it is dead, and will be buried
        except OSError:
            is_told = False
        if not is_told:  # it was stopped, or is starved: another one knows all that this one does not
            self._be_killed()

    def _begin_soon(self) -> None:
        if self._due is None and not self._is_closed:
            since = self._clock.time() - self._forked_at
            self._due = self._clock.call_later(0.0 if since >= _RETRY else _RETRY - since, self._begin)

    def _begin(self) -> None:
        self._due = None
        if self._pid or not self._guarded:
            return
        self._forked_at = self._clock.time()
        try:
            read, self._pipe = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            self._fail(error)
            return
        try:
            self._pid = fork_quietly()
            if self._pid == 0:
                _stand_guard(read, self._guarded)
            self._reaper.watch(self._pid, self._has_ended, on_stop=self._be_killed)
        except OSError as error:
            self._let_go()
            self._fail(error)
        finally:
            close(read)

    def _fail(self, error: OSError) -> None:
        if self._on_failed is not None:
            self._on_failed(f"{error.strerror}")
            self._on_failed = None
        self._begin_soon()

    def _let_go(self) -> None:
        self._pid = 0
        if self._pipe >= 0:
            close(self._pipe)
            self._pipe = -1


def _stand_guard(pipe: int, guarded: "dict[int, Ward]") -> NoReturn:
    """In the fork: every signal stays blocked, and nothing of the runtime's is held open."""
    from pidone.supervise.process.forsaken import Ward, stop  # noqa: PLC0415 (has been read by now)

    try:
        gc.disable()  # what is shared with the runtime stays so
        os.setsid()
        close_all_but(pipe)  # log pipes, ports and the pipe's other end among them
        os.set_blocking(pipe, True)
        wards = {pid: ward.seen() for pid, ward in guarded.items()}
        rest = b""
        while data := os.read(pipe, _READ):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                pid, *how = line.decode().split()
                if how:
                    wards[int(pid)] = Ward.of(pid, *how).seen()
                else:
                    wards.pop(int(pid), None)
        stop(wards.values())
    finally:
        os._exit(0)
