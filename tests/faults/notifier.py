"""Answers system calls of one process with an error: seccomp_unotify(2), without a tracer beside it.

The filter asks only about the calls that are wanted, and goes on to children, whose calls are let through: an
answer concerns the process itself alone. Counting begins at the first handler for SIGTERM, the first deed of
ours: what an interpreter does until then is not the runtime's.
"""

import contextlib
import ctypes
import fcntl
import mmap
import os
import select
import signal
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Self

from faults.calls import BY_NUMBER, FOREVER, NUMBERS

_LOAD, _EQUALS, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_SECCOMP, _PIDFD_OPEN, _PIDFD_GETFD = 317, 434, 438
_SET_MODE_FILTER, _NEW_LISTENER, _WAIT_KILLABLE = 1, 1 << 3, 1 << 5
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_RECEIVE, _SEND = (
    0xC0502100,
    0xC0182101,
)  # _IOWR('!', 0, struct seccomp_notif), _IOWR('!', 1, seccomp_notif_resp)
_NOTIFICATION: Final = struct.Struct("=QII" + "iIQ6Q")  # id, pid, flags; struct seccomp_data
_ANSWER: Final = struct.Struct("=QqiI")  # id, val, error, flags
_CONTINUE: Final = 1
_LISTENER: Final = 3
"""Its number in the child, which has closed all above 2."""
_SIGACTION: Final = NUMBERS["rt_sigaction"]


class Fault:
    """Which call fails, how, and at which of its occurrences (from 1, or FOREVER)."""

    def __init__(self, call: str, error: int, when: int) -> None:
        self.call, self.error, self.when = call, error, when
        self.times = 0

    def strikes(self, call: str, count: int) -> bool:
        """Whether the `count`-th of these calls fails."""
        if call != self.call or self.when not in (FOREVER, count):
            return False
        self.times += 1
        return True


class Notifier:
    """A process whose calls are counted, and may be answered; a thread of its own does that."""

    def __init__(
        self,
        argv: Sequence[str],
        fault: Fault | None,
        *,
        env: dict[str, str],
        stdout: int,
        stderr: int,
        pid1: bool,
    ) -> None:
        """Start `argv`. Without a fault every call is counted."""
        self._fault = fault
        self.counts: Counter[str] = Counter()
        self.unknown: set[int] = set()
        self._is_armed = False
        wanted = () if fault is None else (NUMBERS[fault.call],)
        self._go = mmap.mmap(-1, mmap.PAGESIZE)
        self.outer = os.fork()
        """Whom to wait for."""
        if self.outer == 0:
            with contextlib.suppress(BaseException):
                self._become(argv, wanted, env, stdout, stderr, pid1=pid1)
            os._exit(99)
        self.pid = _only_child(self.outer) if pid1 else self.outer
        """The process itself, as seen from here."""
        self._listener = _take(self.pid)
        self._go[0] = 1
        self._is_over = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join()
        os.close(self._listener)
        self._go.close()

    # -- the child -------------------------------------------------------------------------------------

    def _become(
        self,
        argv: Sequence[str],
        wanted: Sequence[int],
        env: dict[str, str],
        out: int,
        err: int,
        *,
        pid1: bool,
    ) -> None:
        null = os.open(os.devnull, os.O_RDONLY)
        for number, source in enumerate((null, out, err)):
            os.dup2(source, number, inheritable=True)
        os.closerange(3, 1024)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for each in (signal.SIGINT, signal.SIGPIPE):
            signal.signal(each, signal.SIG_DFL)
        libc = ctypes.CDLL(None, use_errno=True)
        if pid1:
            if libc.unshare(0x20000000 | 0x00020000):  # CLONE_NEWPID | CLONE_NEWNS
                os._exit(98)
            if inner := os.fork():
                os.closerange(0, 1024)
                status = os.waitpid(inner, 0)[1]
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else 128 - code)
            libc.mount(b"none", b"/", None, 0x4000 | 0x40000, None)  # MS_REC | MS_PRIVATE
            libc.mount(b"proc", b"/proc", b"proc", 0, None)
        lines = _filter(wanted)
        program = ctypes.create_string_buffer(lines)
        filter_ = ctypes.create_string_buffer(struct.pack("HP", len(lines) // 8, ctypes.addressof(program)))
        if os.geteuid():
            libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        go = self._go
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # or it would wait for ever for somebody who has gone
        if libc.syscall(_SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER | _WAIT_KILLABLE, filter_) != _LISTENER:
            os._exit(97)
        while not go[0]:  # no call may be made before somebody answers
            pass
        libc.prctl(_PR_SET_PDEATHSIG, 0)
        os.execve(argv[0], list(argv), env)

    # -- the thread ------------------------------------------------------------------------------------

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        buffer = bytearray(_NOTIFICATION.size)
        while not self._is_over:
            events = poll.poll(50)
            if not events:
                continue
            if events[0][1] & select.POLLHUP:  # nobody is left
                return
            buffer[:] = bytes(len(buffer))
            try:
                fcntl.ioctl(self._listener, _RECEIVE, buffer)
            except OSError:  # it has been killed meanwhile
                continue
            cookie, pid, _, number, _, _, *arguments = _NOTIFICATION.unpack(buffer)
            error = self._error(number, arguments) if pid == self.pid else 0
            answer = _ANSWER.pack(cookie, 0, -error, 0 if error else _CONTINUE)
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._listener, _SEND, answer)

    def _error(self, number: int, arguments: Sequence[int]) -> int:
        if not self._is_armed:
            if number != _SIGACTION or arguments[0] != signal.SIGTERM or not arguments[1]:
                return 0
            self._is_armed = True
        if number not in BY_NUMBER:
            self.unknown.add(number)
            return 0
        call = BY_NUMBER[number]
        self.counts[call] += 1
        fault = self._fault
        return fault.error if fault is not None and fault.strikes(call, self.counts[call]) else 0


def _filter(wanted: Sequence[int]) -> bytes:
    """Ask about these and about a handler for SIGTERM; about every call when nothing is wanted."""
    if not wanted:
        return struct.pack("=HBBI", _RETURN, 0, 0, _NOTIFY)
    lines: list[tuple[int, int, int, int]] = [(_LOAD, 0, 0, 0)]
    for index, number in enumerate(wanted):
        lines.append((_EQUALS, len(wanted) - index + 3, 0, number))
    lines += [
        (_EQUALS, 0, 2, _SIGACTION),
        (_LOAD, 0, 0, 16),  # the low half of the first argument
        (_EQUALS, 1, 0, signal.SIGTERM),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _NOTIFY),
    ]
    return b"".join(struct.pack("=HBBI", *each) for each in lines)


def _take(pid: int) -> int:
    """The child's listener, as soon as there is one: pidfd_getfd(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    return _eventually(lambda: _copied(libc, pid))


def _copied(libc: ctypes.CDLL, pid: int) -> int | None:
    if b"seccomp" not in os.readlink(f"/proc/{pid}/fd/{_LISTENER}").encode():
        return None
    pidfd = libc.syscall(_PIDFD_OPEN, pid, 0)
    try:
        fd: int = libc.syscall(_PIDFD_GETFD, pidfd, _LISTENER, 0)
    finally:
        os.close(pidfd)
    return fd if fd >= 0 else None


def _only_child(pid: int) -> int:
    def look() -> int | None:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return next((int(word) for word in file.read().split()), None)

    return _eventually(look)


def _eventually(look: Callable[[], int | None]) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            if (found := look()) is not None:
                return found
        time.sleep(0.001)
    raise TimeoutError("no process whose calls could be answered: seccomp_unotify(2) takes Linux 5.9")
