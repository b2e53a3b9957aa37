"""What process 1 has to do on a file system that may not answer: a child does it, and is waited for a moment.

The others wait as well meanwhile, so one that has been silent is not asked again for a while.
"""

import errno
import os
import select
import time
from collections.abc import Callable, Sequence
from typing import Final, NoReturn, TypeVar

from pidone import procfs
from pidone.cpickle import pickle
from pidone.csignal import let_in, signal
from pidone.descriptors import close, close_all_but, fork_with_pipe, null
from pidone.ecosystem.programs.remote import mount_of
from pidone.ecosystem.spec import Seconds
from pidone.init.proctree import deliver
from pidone.init.reaper import await_end

_T = TypeVar("_T")

_PATIENCE_S: Final[Seconds] = 2.0
_GLANCE_S: Final[Seconds] = 0.02
_MOST_LOOKS: Final = 250
"""In all; one that lacks a processor is no silent file system."""
_AGAIN_S: Final[Seconds] = 60.0
_ON_ITS_WAY: Final = ("R", "Z", "X", "")
_PART: Final = 1 << 16
SILENT: Final = "its file system does not answer"


class Aside:
    """Remembers which file systems have been silent."""

    def __init__(self, now: Callable[[], Seconds] = time.monotonic) -> None:
        """`now` counts seconds."""
        self._now = now
        self._asked_again_at: dict[str, Seconds] = {}

    def ask(
        self,
        mount: str,
        work: Callable[[], _T],
        *,
        kept: Sequence[int] = (),
        patience: Seconds,
    ) -> _T:
        """What `work` returns in a child; that has to be something for pickle. `kept` are its descriptors.

        Raises the OSError that it raises, and TimeoutError where `mount` is silent. What the child was about
        to do may still happen then.
        """
        if self._now() < self._asked_again_at.get(mount, 0.0):
            raise TimeoutError(errno.ETIMEDOUT, SILENT)
        pid, pipe = fork_with_pipe(lambda write: _be_the_child(work, write, kept))
        try:
            answer = _wait(pid, pipe, patience)
        finally:
            close(pipe)
        if answer is None:
            deliver(pid, signal.SIGKILL)  # nobody has buried it
            await_end(pid, _GLANCE_S)  # whom not even that reaches is left to the reaper
            self._asked_again_at[mount] = self._now() + _AGAIN_S
            raise TimeoutError(errno.ETIMEDOUT, SILENT)
        await_end(pid)
        self._asked_again_at.pop(mount, None)
        try:
            result, error = pickle.loads(answer)
        except (pickle.UnpicklingError, EOFError):
            raise OSError(errno.ESRCH, "who looked there has ended") from None
        if error is not None:
            raise OSError(*error)
        found: _T = result
        return found


ASIDE: Final = Aside()
"""Of this process: what a file system does not answer it answers nobody."""


def await_answer(path: str) -> None:
    """See that the file system of a path answers, before somebody goes there who must not be held.

    Raises TimeoutError if it does not; no other OSError: who goes there will meet with that.
    """
    if (mount := mount_of(os.path.abspath(path))) is not None:
        ASIDE.ask(mount, lambda: os.access(path, os.F_OK), patience=_PATIENCE_S)


def _be_the_child(work: Callable[[], object], write: int, kept: Sequence[int]) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        let_in()
        nowhere = null(os.O_RDWR)
        for standard in range(3):
            os.dup2(nowhere, standard)
        close_all_but(0, 1, 2, write, *kept)
        try:
            answer = pickle.dumps((work(), None))
        except OSError as error:
            answer = pickle.dumps((None, (error.errno or errno.EIO, error.strerror, error.filename)))
        os.write(write, answer)
    finally:
        os._exit(0)


def _wait(pid: int, pipe: int, patience: Seconds) -> bytes | None:
    """All that it says; None if it takes too long. Raises OSError."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    looks, held = 0, 0.0
    while not poll.poll(_GLANCE_S * 1000):
        looks += 1
        held += _GLANCE_S * (procfs.state(pid) not in _ON_ITS_WAY)
        if held >= patience or looks >= _MOST_LOOKS:
            return None
    return os.read(pipe, _PART)
