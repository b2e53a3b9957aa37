"""Runs a command in a sandbox that refuses some calls: python seccomp.py ERRNO NUMBER[,NUMBER...] COMMAND...

As an engine whose profile is older than the call: a classic BPF filter over struct seccomp_data, seccomp(2).
Numbers are those of this machine's architecture; clone3 and what is newer are the same on all of them.
"""

import ctypes
import os
import struct
import sys

CLONE3, CLOSE_RANGE, PIDFD_OPEN, PIDFD_SEND_SIGNAL, OPENAT2, FACCESSAT2, EPOLL_PWAIT2 = (
    *(435, 436, 434, 424, 437, 439, 441),
)
PRLIMIT64 = {"x86_64": 302, "aarch64": 261}.get(os.uname().machine, -1)
SCHED_GETAFFINITY = {"x86_64": 204, "aarch64": 123}.get(os.uname().machine, -1)

_LOAD, _EQUALS, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2


def refuse(number: int, calls: list[int]) -> None:
    """From now on, in this process and all that it starts."""
    code = [(_LOAD, 0, 0, 0)]
    for index, call in enumerate(calls):
        code.append((_EQUALS, len(calls) - index, 0, call))
    code += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | number)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in code))
    # struct sock_fprog: a length and a pointer, aligned
    filter_ = ctypes.create_string_buffer(struct.pack("HP", len(code), ctypes.addressof(program)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _FILTER, filter_):
        raise OSError(ctypes.get_errno(), "seccomp")


if __name__ == "__main__":
    refuse(int(sys.argv[1]), [int(each) for each in sys.argv[2].split(",")])
    os.execvp(sys.argv[3], sys.argv[3:])
