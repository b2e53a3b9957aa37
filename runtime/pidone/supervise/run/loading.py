"""Reading an ecosystem in a forked child: the long-lived process never imports what it takes to read one.

It also runs beside whatever the parent does meanwhile, and no file can block or break the parent: the child
ends itself, by CPU time (setrlimit(2)), by a generous wall clock (setitimer(2)) and by memory. So nobody has
to find and kill it in time. A fork, not a new interpreter: it costs 1-2 ms instead of 20, and what both
sides need is imported before it, once.
"""

import os

from pidone import procfs
from pidone.csignal import let_in, signal
from pidone.descriptors import close, close_all_but, fork_with_pipe, null

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

_CHUNK = 65536
CPU_LIMIT_S = 10
"""Of computing, whatever part of a CPU there is for it; the longest legitimate reading takes two."""
WALL_LIMIT_S = 90.0
"""Of everything: long enough for the CPU limit where a container has a ninth of a CPU."""
MEMORY_LIMIT_BYTES = 384 << 20
"""Address space that the child may add to what it was born with."""
_GRACE_S = 1.0
"""How long a reading goes on after a signal that asks for a stop."""
_GLANCE_S = 0.1
_LATE_S = 5.0
"""After its limit a child ends: the limits are no use where somebody has stopped it."""


class Interrupted(Exception):  # noqa: N818  # not an error: somebody asked for it
    """The reading was given up, because its caller was asked to stop."""


def in_child(task: "Callable[[], Any]") -> "Any":
    """What `task` returns, computed in a child. Raises what it raises, and ConfigError if it died of it."""
    try:
        return Loading(task).wait()
    except OSError as error:
        from pidone.errors import ConfigError  # noqa: PLC0415 (as below)

        raise ConfigError(f"cannot be read, no process can be started: {error.strerror}") from None


class Loading:
    """One ecosystem on its way. The owner of the child's pid waits for it."""

    def __init__(self, load: "Callable[[], Any]") -> None:
        """Fork; `load` runs in the child and may raise any PidoneError. Raises OSError.

        `fd` becomes readable as the answer arrives.
        """
        self.pid, self.fd = fork_with_pipe(lambda write: _be_the_child(load, write))
        self._answer: list[bytes] = []
        self._is_there = True
        self.longest_s = WALL_LIMIT_S + _LATE_S
        """What takes longer is held, by a signal or by a file system: it has to be given up by who waits."""

    def collect(self) -> bool:
        """Take what has arrived; True when that was all. Waits, unless `fd` was made non-blocking."""
        try:
            while chunk := os.read(self.fd, _CHUNK):
                self._answer.append(chunk)
        except BlockingIOError:
            return False
        return True

    def outcome(self) -> "Any":
        """What `load` returned, once everything is collected; to be called once. Raises what it raised."""
        from pidone.cpickle import pickle  # noqa: PLC0415 (as below)

        close(self.fd)
        try:
            result, error = pickle.loads(b"".join(self._answer))
        except (pickle.UnpicklingError, EOFError):
            from pidone.errors import ConfigError  # noqa: PLC0415

            raise ConfigError(
                f"the ecosystem takes longer than {CPU_LIMIT_S} s of CPU time to read ({WALL_LIMIT_S:g} s in"
                " all), or more memory than a configuration may have: an endless loop, or work that does not"
                " belong in one"
            ) from None
        if error is not None:
            raise error
        return result

    def wait(self, is_asked_to_stop: "Callable[[], bool]" = lambda: False) -> "Any":
        """Wait for the outcome and for the child; for the time before a reaper exists.

        Raises Interrupted if somebody asks for a stop and the reading goes on nevertheless, and ConfigError
        if it is held.
        """
        from select import select  # noqa: PLC0415 (as above)
        from time import monotonic, sleep  # noqa: PLC0415

        until = None
        longest = monotonic() + self.longest_s
        try:
            while not self.collect():
                if monotonic() >= longest:
                    raise self.is_held()  # noqa: TRY301 (as below)
                if until is None and is_asked_to_stop():
                    until = monotonic() + _GRACE_S
                if until is not None and monotonic() >= until:
                    raise Interrupted  # noqa: TRY301 (cleared up as after any other)
                try:
                    select([self.fd], [], [], _GLANCE_S)
                except OSError:  # then by the clock
                    sleep(_GLANCE_S)
        except BaseException:  # also KeyboardInterrupt: nothing is left behind
            self.abandon()
            raise
        _reap(self.pid)
        self._is_there = False
        return self.outcome()

    def is_held(self) -> Exception:
        """What is said of a child that does not even end."""
        from pidone.errors import ConfigError  # noqa: PLC0415 (as below)

        return ConfigError(
            f"its reader, process {self.pid}, has not ended for {self.longest_s:g} s: somebody has stopped"
            " it, or a file system does not answer"
        )

    def abandon(self) -> None:
        """End the child, if it has not been waited for, when nobody wants its answer any more."""
        if self._is_there:
            self._is_there = False
            os.kill(self.pid, signal.SIGKILL)
            close(self.fd)
            _reap(self.pid)

    def give_up(self) -> None:
        """The same where somebody else owns the pid and buries it."""
        self._is_there = False
        close(self.fd)
        os.kill(self.pid, signal.SIGKILL)


def fork_helper(work: "Callable[[int], None]") -> tuple[int, int]:
    """Do something that may block in a child, which is left without our signals and descriptors.

    `work` gets the pipe to write into; whatever it raises ends the child. Returns the child's pid, which is
    to be waited for, and the other end of the pipe. Raises OSError.
    """

    def child(write: int) -> None:
        code = 1
        try:
            _leave_alone(write)
            work(write)
            code = 0
        finally:
            os._exit(code)

    return fork_with_pipe(child)


def _reap(pid: int) -> None:
    """Bury one that has nothing to say any more; nobody waits for long, should it be held."""
    from contextlib import suppress  # noqa: PLC0415 (as above)

    from pidone.init.reaper import await_end  # noqa: PLC0415

    with suppress(OSError):  # somebody else, or the kernel, was faster
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            os.kill(pid, signal.SIGKILL)
            await_end(pid)


def _be_the_child(load: "Callable[[], Any]", write: int) -> "NoReturn":
    """Everything after the fork; never returns, never prints, never runs the parent's cleanup."""
    code = 1
    try:
        answer = _answer(load, write)
        with open(write, "wb") as pipe:
            pipe.write(answer)
        code = 0
    finally:
        os._exit(code)


def _answer(load: "Callable[[], Any]", write: int) -> bytes:
    from pidone.cpickle import pickle  # noqa: PLC0415 (as above)
    from pidone.errors import ConfigError, PidoneError, describe_bug  # noqa: PLC0415

    try:
        _confine(write)
        return pickle.dumps((load(), None))
    except PidoneError as error:
        return pickle.dumps((None, error))
    except MemoryError:
        message = "the ecosystem needs more memory than a configuration may have"
    except Exception as error:  # noqa: BLE001 (the only place where a bug of ours can be told)
        message = f"the ecosystem could not be read: {describe_bug(error)}"
    return pickle.dumps((None, ConfigError(message)))


def _confine(write: int) -> None:
    """Default signals, no descriptors but standard input and the pipe, and limits."""
    import resource  # noqa: PLC0415 (as above)
    from contextlib import suppress  # noqa: PLC0415 (as above)

    _leave_alone(write)
    with suppress(OSError):  # a sandbox without it: who waits gives it up a little later
        signal.setitimer(signal.ITIMER_REAL, WALL_LIMIT_S)
    _limit(resource.RLIMIT_CPU, CPU_LIMIT_S)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NPROC, 0)  # root is exempt; only what starts Node lifts it
    try:
        pages = procfs.read_bytes("/proc/self/statm").split()[0]  # proc(5): all of it
        born_with = int(pages) * resource.getpagesize()
    except OSError:  # no /proc here: then without that limit
        return
    _limit(resource.RLIMIT_AS, born_with + MEMORY_LIMIT_BYTES)


def _leave_alone(write: int) -> None:
    """Default signals, and no descriptors of the parent's but standard input and the pipe."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        # SIGPIPE, SIGXFSZ and whatever the parent ignores stay ignored: writes fail with an errno instead.
        if signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN, None):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    let_in()
    nowhere = null(os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    close_all_but(0, 1, 2, write)  # a reading that takes long must not hold a port or a lock of ours


def _limit(which: int, value: int) -> None:
    """Set a soft limit, as far as the hard limit allows."""
    import resource  # noqa: PLC0415 (as above)
    from contextlib import suppress  # noqa: PLC0415

    with suppress(OSError, ValueError):  # a sandbox without prlimit64(2): then there is no such limit
        _, hard = resource.getrlimit(which)
        resource.setrlimit(which, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
