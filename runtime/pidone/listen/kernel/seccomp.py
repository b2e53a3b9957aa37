"""The kernel's side of `share = "kernel"`: a filter that asks about bind() and listen(), and how to answer.

Protocol: seccomp(2), seccomp_unotify(2), linux/seccomp.h; a filter with a user notification needs no
privilege but no_new_privs. SECCOMP_IOCTL_NOTIF_ADDFD came with Linux 5.9. Errors pass as OSError.
"""

import ctypes
import errno
import fcntl
import os
import select
import struct
from collections.abc import Callable
from typing import Final

from pidone.descriptors import close
from pidone.record import Record

_PR_SET_NO_NEW_PRIVS: Final = 38  # linux/prctl.h
_SET_MODE_FILTER: Final = 1
_NEW_LISTENER: Final = 1 << 3
_WAIT_KILLABLE: Final = 1 << 5
"""Signals wait from the moment in which we have heard of a call: bind() does not fail with EINTR, and nobody
expects that (Python's handlers end system calls). Since Linux 5.19."""
_ALLOW: Final = 0x7FFF0000
_USER_NOTIF: Final = 0x7FC00000
_ADDFD_SETFD: Final = 1
_CONTINUE: Final = 1

_NOTIFICATION: Final = struct.Struct("=QIIiIQ6Q")  # struct seccomp_notif with its seccomp_data
_RESPONSE: Final = struct.Struct("=QqiI")  # struct seccomp_notif_resp
_ADDFD: Final = struct.Struct("=QIIII")  # struct seccomp_notif_addfd
_RECV: Final = 0xC0502100  # _IOWR('!', 0, struct seccomp_notif)
_SEND: Final = 0xC0182101
_ID_VALID: Final = 0x40082102
_ID_VALID_BEFORE_5_17: Final = 0x80082102  # it had the wrong direction
_ADD_FD: Final = 0x40182103

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_NR, _ARCH, _FIRST_ARG = 0, 4, 16  # struct seccomp_data

_I386: Final = 0x40000003  # AUDIT_ARCH_*, linux/audit.h
_SOCKETCALL: Final = 102
_SYS_BIND, _SYS_LISTEN = 2, 4  # linux/net.h
_CALLS: Final = {
    0xC000003E: (49, 50),  # x86-64
    _I386: (361, 363),
    0xC00000B7: (200, 201),  # arm64
    0x40000028: (282, 284),  # arm
}
"""The numbers of bind and listen by architecture; the i386 on which glibc used socketcall(2) has that too."""
_SECCOMP_NUMBERS: Final = {"x86_64": 317, "aarch64": 277}
_PIDFD_GETFD: Final = 438  # the same everywhere
_PIDFD_THREAD: Final = os.O_EXCL  # linux/pidfd.h


class Call(Record):
    """A bind() or listen() of a process that waits for us to answer."""

    id: int
    tid: int
    """Of the thread that calls."""
    is_bind: bool
    arguments: tuple[int, ...]
    """As the call has them: descriptor, then address and its length, or backlog."""
    indirect: bool = False
    """By socketcall(2): the second of `arguments` is where the arguments are, as 32-bit words."""


def is_known() -> bool:
    """Whether this kernel and machine have what is needed; the container's own filter may still forbid it."""
    return is_at_least(5, 9) and os.uname().machine in _SECCOMP_NUMBERS


def opens_threads() -> bool:
    """Whether `copy_of` takes the id of any thread, and not only that of a process's first one."""
    return is_at_least(6, 9)


def is_at_least(*wanted: int) -> bool:
    """Whether the kernel is of this version or a later one."""
    release = os.uname().release.split(".")
    return tuple(int(part) for part in release[:2] if part.isdigit()) >= wanted


def prepare() -> Callable[[], int]:
    """What a new process calls, last before exec, to be asked about: the result is the listener.

    Everything is put together here, so that the child allocates as little as possible.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    instructions = _program()
    code = ctypes.create_string_buffer(instructions, len(instructions))
    program = struct.pack("@HP", len(instructions) // 8, ctypes.addressof(code))  # struct sock_fprog
    number = _SECCOMP_NUMBERS[os.uname().machine]
    flags = _NEW_LISTENER | (_WAIT_KILLABLE if is_at_least(5, 19) else 0)

    def install() -> int:
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise _last_error()
        listener = int(libc.syscall(number, _SET_MODE_FILTER, flags, program))
        if listener < 0:
            raise _last_error()
        del keep[:]
        return listener

    keep = [code]  # `program` has its address only
    return install


def receive(listener: int) -> Call | None:
    """The next call. None: there is none, or its process is gone. Raises OSError (ENOTCONN): nobody is left.

    Looked at first: before Linux 6.11 receiving from a filter that no process has any more blocks for ever.
    """
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    events = dict(waiting.poll(0)).get(listener, 0)
    if not events & select.POLLIN:
        if events & (select.POLLHUP | select.POLLERR):
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return None
    buffer = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(listener, _RECV, buffer)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):
            return None
        raise
    identity, tid, _, number, arch, _, *arguments = _NOTIFICATION.unpack(buffer)
    bind, listen = _CALLS.get(arch, (-1, -1))
    if arch == _I386 and number == _SOCKETCALL:
        return Call(identity, tid, arguments[0] == _SYS_BIND, tuple(arguments), indirect=True)
    if number not in (bind, listen):
        let_go(listener, identity)
        return None
    return Call(identity, tid, number == bind, tuple(arguments))


def is_waiting(listener: int, identity: int) -> bool:
    """Whether the caller still waits: otherwise its pid, and what was read by it, may be another's."""
    for request in (_ID_VALID, _ID_VALID_BEFORE_5_17):
        try:
            fcntl.ioctl(listener, request, struct.pack("=Q", identity))
        except OSError as error:
            if error.errno != errno.EINVAL:
                return False
        else:
            return True
    return False


def let_go(listener: int, identity: int) -> None:
    """The call goes on as if nobody had asked."""
    _respond(listener, identity, flags=_CONTINUE)


def finish(listener: int, identity: int, error: int = 0) -> None:
    """The call returns 0, or fails with this errno."""
    _respond(listener, identity, error=-error)


def replace(listener: int, identity: int, ours: int, theirs: int, *, close_on_exec: bool) -> None:
    """Put a copy of our descriptor in the place of the caller's."""
    flags = os.O_CLOEXEC if close_on_exec else 0
    fcntl.ioctl(listener, _ADD_FD, _ADDFD.pack(identity, _ADDFD_SETFD, ours, theirs, flags))


def copy_of(pid: int, descriptor: int) -> int:
    """A copy of another process's, or thread's, descriptor, as pidfd_getfd(2) makes it."""
    process = os.pidfd_open(pid, _PIDFD_THREAD if opens_threads() else 0)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        found = int(libc.syscall(_PIDFD_GETFD, process, descriptor, 0))
    finally:
        close(process)
    if found < 0:
        raise _last_error()
    return found


def why_no_copies() -> int:
    """The errno with which the kernel refuses even one of our own descriptors; 0 if it does not."""
    try:
        close(copy_of(os.getpid(), 0))
    except OSError as error:  # EBADF: nothing is there, which it would not know of a call that it refuses
        return 0 if error.errno in (errno.EBADF, errno.ESRCH) else error.errno or errno.ENOSYS
    return 0


def _respond(listener: int, identity: int, *, error: int = 0, flags: int = 0) -> None:
    try:
        fcntl.ioctl(listener, _SEND, bytearray(_RESPONSE.pack(identity, 0, error, flags)))
    except OSError as failure:
        if failure.errno != errno.ENOENT:  # the caller was killed meanwhile
            raise


def _program() -> bytes:
    """Ask about bind and listen on every architecture that this kernel may run, allow everything else."""
    code: list[tuple[int, int, int, int]] = [(_LOAD, 0, 0, _ARCH)]
    for arch, (bind, listen) in _CALLS.items():
        numbers = [
            (_LOAD, 0, 0, _NR),
            (_JUMP_IF_EQUAL, 0, 1, bind),
            (_RETURN, 0, 0, _USER_NOTIF),
            (_JUMP_IF_EQUAL, 0, 1, listen),
            (_RETURN, 0, 0, _USER_NOTIF),
        ]
        if arch == _I386:
            numbers += [
                (_JUMP_IF_EQUAL, 0, 5, _SOCKETCALL),
                (_LOAD, 0, 0, _FIRST_ARG),
                (_JUMP_IF_EQUAL, 0, 1, _SYS_BIND),
                (_RETURN, 0, 0, _USER_NOTIF),
                (_JUMP_IF_EQUAL, 0, 1, _SYS_LISTEN),
                (_RETURN, 0, 0, _USER_NOTIF),
            ]
        numbers.append((_RETURN, 0, 0, _ALLOW))
        code += [(_JUMP_IF_EQUAL, 0, len(numbers), arch), *numbers]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
