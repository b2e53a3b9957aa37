"""Start a program: default signals, its own process group, and only the descriptors meant for it.

Two ways that look the same from outside. posix_spawn() shares our memory until the exec and costs a seventh
of a fork (0.4 against 3 ms here), which is most of the time between a crash and the next life; it knows
neither credentials, limits nor a variable that holds the child's own pid, so those take fork(). Neither
goes through `subprocess`, which would wait for the child behind the reaper's back. The process has one
thread, so Python code between fork and exec is safe.
"""

import contextlib
import errno
import fcntl
import gc
import os
import resource
import select
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NoReturn

from pidone import procfs
from pidone.csignal import fork_quietly, let_in, signal
from pidone.descriptors import close, null
from pidone.errors import SpawnError
from pidone.init.exitcodes import ExitCode
from pidone.init.failure import explain
from pidone.init.proctree import deliver
from pidone.init.reaper import await_end
from pidone.record import EMPTY, Record

_RESETTABLE: Final = frozenset(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}
_FAILURE_BYTES: Final = 512
_GLANCE_MS: Final = 20
_HELD_LOOKS: Final = 5
"""So often a child between fork and exec is seen that is not on its way: somebody has stopped it, say."""
_MOST_LOOKS: Final = 100
"""In all: one that lacks a processor, or waits for a disk, is on its way, but others wait as well."""
_ON_ITS_WAY: Final = ("R", "D", "Z", "X", "")
"""States of a child that wants a processor or its memory back, or has ended; the last: where nobody tells."""
_AGAIN_S: Final = 0.25
_LATEST_S: Final = 60.0
"""Until one that is not waited for is killed: its folder does not answer, or somebody has stopped it."""
_USUAL_DESCRIPTORS: Final = 1024
_HINTS: Final = {
    "oom_score_adj": " (a lower score than the container's own takes CAP_SYS_RESOURCE)",
    "nice": " (a lower value than the container's own takes CAP_SYS_NICE)",
    "limits": " (more than the container's own hard limit takes CAP_SYS_RESOURCE)",
    "cpu_affinity": " (none of these CPUs is available to the container)",
    "uid/gid/groups": " (another user takes CAP_SETUID and CAP_SETGID)",
}
"""What the container would have to be allowed to."""
_MISSING: Final = (errno.ENOENT, errno.ENOTDIR)


class SpawnPlan(Record, kw_only=True):
    """Everything about a new process. None means "as the runtime has it"."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str | None = None
    stdin: int | None = None
    """Descriptor for the child's standard input; None is /dev/null."""
    stdout: int = 1
    stderr: int = 2
    fds: Mapping[int, int] = EMPTY
    """More descriptors: child's number (at least 3) to ours."""
    pid_vars: tuple[str, ...] = ()
    """Variables that the child sets to its own pid, e.g. LISTEN_PID."""
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] | None = None
    umask: int | None = None
    nice: int | None = None
    limits: Mapping[str, tuple[int, int]] = EMPTY
    no_new_privs: bool = False
    oom_score_adj: int | None = None
    cpu_affinity: tuple[int, ...] | None = None
    may_hang: bool = False
    """Its program or folder may not answer: posix_spawn(3) would wait for it, deaf to all signals."""
    otherwise: tuple[str, ...] = ()
    """Programs that the child tries one after the other where the first one of `argv` is not there."""
    before_exec: Callable[[], None] | None = None
    """The child's last step of all, with the rights of the program. It must not raise, nor need a thread."""
    late: Callable[[int, int], None] | None = None
    """Hears the pid of a process that takes long to become its program, and by which pipe it would say why.

    The pipe is its own then. Without it, how such a process ends is all that is known.
    """

    @property
    def needs_fork(self) -> bool:
        """Whether something has to be done between fork and exec that posix_spawn cannot do."""
        return bool(
            self.pid_vars
            or self.may_hang
            or self.otherwise
            or self.before_exec
            or self.limits
            or self.no_new_privs
            or any(
                right is not None
                for right in (
                    self.uid,
                    self.gid,
                    self.groups,
                    self.umask,
                    self.nice,
                    self.oom_score_adj,
                    self.cpu_affinity,
                )
            )
        )


def keep_descriptors_private() -> None:
    """Mark every descriptor above 2 that we inherited close-on-exec, so that no child ever sees it.

    Descriptors we open ourselves are private from birth (PEP 446). One sweep here replaces one per spawn.
    """
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:  # no /proc: those that there usually are
        numbers = [*range(3, _USUAL_DESCRIPTORS)]
    for number in numbers:
        if number > 2:
            with contextlib.suppress(OSError):  # that of the listing itself is closed by now
                os.set_inheritable(number, False)


def spawn(plan: SpawnPlan) -> int:
    """Start a process and return its pid once the program runs, or cannot be waited for (`SpawnPlan.late`).

    The caller registers the pid with the reaper before the loop turns again. Raises SpawnError with the step
    that failed; nothing is left of the attempt then.
    """
    try:
        return _fork(plan) if plan.needs_fork else _posix_spawn_or_fork(plan)
    except OSError as error:  # no descriptor is left
        raise SpawnError(f"descriptors: {error.filename or plan.argv[0]}: {error.strerror}") from error


def exit_code_of(error: SpawnError) -> ExitCode:
    """What a shell would say: 127 when the program does not exist, 126 when it cannot be run."""
    cause = error.__cause__
    return _code_of(cause.errno if isinstance(cause, OSError) else None)


def _code_of(number: int | None) -> ExitCode:
    return ExitCode.NOT_FOUND if number in _MISSING else ExitCode.NOT_EXECUTABLE


def _posix_spawn_or_fork(plan: SpawnPlan) -> int:
    try:
        return _posix_spawn(plan)
    except SpawnError as error:
        cause = error.__cause__
        if not isinstance(cause, OSError) or cause.errno not in (errno.EPERM, errno.ENOSYS, errno.EINVAL):
            raise
    # A sandbox that knows no clone3(2) (Docker before 20.10.10) answers EPERM, which the C library takes for
    # an answer; fork() uses the old call. If it was the program that is refused, fork() will say so.
    return _fork(plan)


def _posix_spawn(plan: SpawnPlan) -> int:
    with _descriptors(plan) as wanted:
        if plan.cwd is not None:
            _change_directory(plan.cwd)
        try:
            return os.posix_spawn(
                plan.argv[0],
                plan.argv,
                plan.env,
                file_actions=[(os.POSIX_SPAWN_DUP2, source, target) for target, source in wanted.items()],
                setpgroup=0,
                setsigmask=(),
                setsigdef=_RESETTABLE,
            )
        except OSError as error:
            raise SpawnError(f"exec: {plan.argv[0]}: {explain(plan.argv[0], error)}") from error
        finally:
            let_in()
            # The runtime lives in /: it pins no mount, and every path it keeps is absolute.
            with contextlib.suppress(OSError):  # the process runs, or its own error is what counts
                os.chdir("/")


def _change_directory(path: str) -> None:
    try:
        os.chdir(path)
    except OSError as error:
        raise SpawnError(f"cwd: {path}: {error.strerror}") from error


@contextlib.contextmanager
def _descriptors(plan: SpawnPlan) -> Iterator[Mapping[int, int]]:
    """Child's number to ours, with every source out of the way of every target."""
    top = max(plan.fds, default=2) + 1
    with contextlib.ExitStack() as stack:
        stdin = plan.stdin
        if stdin is None:
            stdin = null(os.O_RDONLY)
            stack.callback(close, stdin)
        wanted = {0: stdin, 1: plan.stdout, 2: plan.stderr, **plan.fds}
        for target, source in wanted.items():
            if source < top:
                wanted[target] = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, top)
                stack.callback(close, wanted[target])
        yield wanted


def _fork(plan: SpawnPlan) -> int:
    if plan.no_new_privs or _keeps_capabilities(plan.uid):
        from pidone.init import prctl  # noqa: PLC0415 (loaded here rather than between fork and exec)

        prctl.prepare()

    with _descriptors(plan) as wanted:
        failure_read, failure_write = os.pipe()
        try:
            try:
                pid = fork_quietly()
                if pid == 0:
                    _become(plan, wanted, failure_write)
            except OSError as error:
                raise SpawnError(f"fork: {error.strerror}") from error
            finally:
                close(failure_write)
            try:
                report = _read_report(pid, failure_read, failure_write)
            except OSError:  # whether it runs is not known: then it must not, being nobody's
                os.kill(pid, signal.SIGKILL)
                await_end(pid)
                raise
            if report is None and plan.late is not None:
                plan.late(pid, failure_read)
                failure_read = -1
        finally:
            if failure_read >= 0:
                close(failure_read)  # whatever that answers: the program runs already
    if report:
        await_end(pid)  # right after its report, and nobody else knows it yet
        raise failure_of(report)
    return pid


def failure_of(report: bytes) -> SpawnError:
    """What a child has said that it cannot do."""
    number, _, step = report.decode(errors="replace").partition(" ")
    error = SpawnError(step)
    error.__cause__ = OSError(int(number), "")
    return error


def _read_report(pid: int, failure: int, ours: int) -> bytes | None:
    """What the child says that it cannot do; it ends when exec closes the child's side. Raises OSError.

    `ours` is our own side, closed already: should it be open still, then that would never end. Nor would it
    if somebody has stopped the child, or its folder is one of a file system that does not answer: None then,
    as the runtime does nothing else meanwhile.
    """
    poll = select.poll()
    poll.register(failure, select.POLLIN)
    looks = held = 0
    while not poll.poll(_GLANCE_MS):
        close(ours)  # nothing has been opened since, so the number is nobody else's
        looks += 1
        held += procfs.state(pid) not in _ON_ITS_WAY
        if held >= _HELD_LOOKS or looks >= _MOST_LOOKS:
            with contextlib.suppress(OSError):  # whoever signals its group finds one
                os.setpgid(pid, pid)
            return None
    return os.read(failure, _FAILURE_BYTES)


def follow(
    call_later: Callable[[float, Callable[[], None]], object],
    tell: Callable[[str], object],
    pid: int,
    report: int,
) -> None:
    """As `late` of a SpawnPlan: `tell` hears why it did not become its program. It is killed after a time."""

    def look(left_s: float) -> None:
        why = ""
        try:
            os.set_blocking(report, False)
            if said := os.read(report, _FAILURE_BYTES):
                why = str(failure_of(said))
        except BlockingIOError:  # so it is alive, and the number its own
            if left_s > 0:
                call_later(_AGAIN_S, lambda: look(left_s - _AGAIN_S))
                return
            why = f"process {pid} did not become its program within {_LATEST_S:g} s"
            deliver(pid, signal.SIGKILL)
        except OSError as error:
            why = f"whether process {pid} becomes its program is not known: {error.strerror}"
        close(report)
        if why:
            tell(why)

    look(_LATEST_S)


def _become(plan: SpawnPlan, wanted: Mapping[int, int], failure: int) -> NoReturn:
    """In the child: turn into the program, or report errno and which step failed why."""
    step = "prepare"
    try:
        gc.disable()
        failure = fcntl.fcntl(failure, fcntl.F_DUPFD_CLOEXEC, max(wanted) + 1)
        os.setpgid(0, 0)
        step = "descriptors"
        for target, source in wanted.items():
            os.dup2(source, target, inheritable=True)
        for key, apply in _RIGHTS:
            step = key
            apply(plan)
        if plan.cwd is not None:
            step = f"cwd: {plan.cwd}"
            os.chdir(plan.cwd)
        env = {**plan.env, **dict.fromkeys(plan.pid_vars, str(os.getpid()))}
        step = "signals"
        for number in _RESETTABLE:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if plan.before_exec is not None:
            plan.before_exec()
        for program in (plan.argv[0], *plan.otherwise)[:-1]:  # where they are is not looked up by the runtime
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                os.execve(program, (program, *plan.argv[1:]), env)  # noqa: S606 (as below)
        program = (plan.argv[0], *plan.otherwise)[-1]
        step = f"exec: {program}"
        os.execve(program, (program, *plan.argv[1:]), env)  # noqa: S606 (running programs without a shell is the product)
    except OSError as error:
        if step.startswith("exec: "):
            _report(failure, error.errno or errno.EIO, f"{step}: {explain(step[6:], error)}")
        hint = _HINTS.get(step, "") if error.errno in (errno.EPERM, errno.EACCES, errno.EINVAL) else ""
        _report(failure, error.errno or errno.EIO, f"{step}: {error.strerror}{hint}")
    except BaseException as error:  # noqa: BLE001 (a child that is still us must end here, whatever it was)
        _report(failure, errno.EINVAL, f"{step}: {error}")


def _report(pipe: int, number: int, step: str) -> NoReturn:
    try:
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # nobody may be waiting for it any more
        os.write(pipe, f"{number} {step}".encode(errors="replace")[:_FAILURE_BYTES])
    finally:
        os._exit(_code_of(number))


def _set_oom_score(plan: SpawnPlan) -> None:
    if plan.oom_score_adj is not None:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(plan.oom_score_adj))


def _set_nice(plan: SpawnPlan) -> None:
    if plan.nice is not None:
        os.setpriority(os.PRIO_PROCESS, 0, plan.nice)


def _set_limits(plan: SpawnPlan) -> None:
    for name, (soft, hard) in plan.limits.items():
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (soft, hard))
        except ValueError as error:  # what Python makes of EPERM and EINVAL
            raise PermissionError(errno.EPERM, f"{name}: {error}") from error


def _set_affinity(plan: SpawnPlan) -> None:
    if plan.cpu_affinity is not None:
        os.sched_setaffinity(0, plan.cpu_affinity)


def _set_credentials(plan: SpawnPlan) -> None:
    if plan.groups is not None:
        own = os.getegid() if plan.gid is None else plan.gid
        try:
            os.setgroups(plan.groups)
        except OSError:  # nothing is to change, or it is wrong: engines list the primary one too
            if {own, *plan.groups} != {own, *os.getgroups()}:
                raise
    if plan.gid is not None:
        os.setresgid(plan.gid, plan.gid, plan.gid)
    if plan.uid is not None:
        if _keeps_capabilities(plan.uid):
            from pidone.init import prctl  # noqa: PLC0415 (already loaded by the parent)

            with contextlib.suppress(OSError):  # a kernel without ambient ones
                prctl.clear_ambient_capabilities()
        os.setresuid(plan.uid, plan.uid, plan.uid)


def _keeps_capabilities(uid: int | None) -> bool:
    """Whether becoming this user would leave ours to it: the kernel takes them only from who was root."""
    return uid is not None and 0 not in os.getresuid() and uid != os.getuid()


def _set_umask(plan: SpawnPlan) -> None:
    if plan.umask is not None:
        os.umask(plan.umask)


def _set_no_new_privs(plan: SpawnPlan) -> None:
    if plan.no_new_privs:
        from pidone.init import prctl  # noqa: PLC0415 (already loaded by the parent)

        prctl.set_no_new_privs()


_RIGHTS: Final = (
    # What may need privileges comes before they are dropped.
    ("oom_score_adj", _set_oom_score),
    ("nice", _set_nice),
    ("limits", _set_limits),
    ("cpu_affinity", _set_affinity),
    ("uid/gid/groups", _set_credentials),
    ("umask", _set_umask),
    ("no_new_privs", _set_no_new_privs),
)
