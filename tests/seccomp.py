"""Runs a command in a sandbox that refuses some calls: python seccomp.py ERRNO NUMBER[,NUMBER...] COMMAND...

As an engine whose profile is older than the call: a classic BPF filter over struct seccomp_data, seccomp(2).
Numbers are those of this machine's architecture; clone3 and what is newer are the same on all of them.
"""

import ctypes
import os
import struct
import sys

CLONE3, PIDFD_OPEN, PIDFD_SEND_SIGNAL, PIDFD_GETFD = (435, 434, 424, 438)
NEWER = tuple(range(424, 480))
"""Every call that came with Linux 5.1 and later, and whatever is next."""
_OWN_NUMBERS = {
    "statx": (332, 291),
    "getrandom": (318, 278),
    "memfd_create": (319, 279),
    "bpf": (321, 280),
    "seccomp": (317, 277),
    "renameat2": (316, 276),
    "execveat": (322, 281),
    "membarrier": (324, 283),
    "copy_file_range": (326, 285),
    "preadv2": (327, 286),
    "pwritev2": (328, 287),
    "rseq": (334, 293),
    "sched_getattr": (315, 275),
}
"""Of x86_64 and aarch64; those since 3.14 that interpreters, C libraries or we ask for."""
BY_NAME = {
    name: (x86 if os.uname().machine == "x86_64" else arm)
    for name, (x86, arm) in _OWN_NUMBERS.items()
    if os.uname().machine in ("x86_64", "aarch64")
}
PRLIMIT64 = {"x86_64": 302, "aarch64": 261}.get(os.uname().machine, -1)
PRCTL = {"x86_64": 157, "aarch64": 167}.get(os.uname().machine, -1)
SETITIMER = {"x86_64": 38, "aarch64": 103}.get(os.uname().machine, -1)
INOTIFY_INIT1 = {"x86_64": 294, "aarch64": 26}.get(os.uname().machine, -1)
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
