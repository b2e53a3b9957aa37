"""The system calls of the runtime, and what each may answer, from section 2 of the manual.

Numbers are those of x86_64 (arch/x86/entry/syscalls/syscall_64.tbl). EFAULT is left out everywhere: it is
about a pointer of the caller, so that no kernel answers it to a C library that is whole.
"""

import errno
from typing import Final

FOREVER: Final = -1
"""Instead of a count: each occurrence, from the first on."""

_NAMES: Final = {
    # descriptors
    "read": (0, "EAGAIN EBADF EINTR EINVAL EIO EISDIR"),
    "pread64": (17, "EAGAIN EBADF EINTR EINVAL EIO ENXIO EOVERFLOW ESPIPE"),
    "readv": (19, "EAGAIN EBADF EINTR EINVAL EIO"),
    "write": (1, "EAGAIN EBADF EDESTADDRREQ EDQUOT EFBIG EINTR EINVAL EIO ENOSPC EPERM EPIPE"),
    "writev": (20, "EAGAIN EBADF EDQUOT EFBIG EINTR EINVAL EIO ENOSPC EPERM EPIPE"),
    "close": (3, "EBADF EINTR EIO ENOSPC EDQUOT"),
    "dup": (32, "EBADF EMFILE ENOMEM"),
    "dup2": (33, "EBADF EBUSY EINTR EMFILE ENOMEM"),
    "dup3": (292, "EBADF EBUSY EINTR EINVAL EMFILE"),
    "fcntl": (72, "EACCES EAGAIN EBADF EINTR EINVAL EMFILE ENOLCK EPERM"),
    "ioctl": (16, "EBADF EINVAL ENOTTY EPERM"),
    "lseek": (8, "EBADF EINVAL ENXIO EOVERFLOW ESPIPE"),
    "pipe2": (293, "EINVAL EMFILE ENFILE ENOPKG"),
    "pipe": (22, "EMFILE ENFILE"),
    "poll": (7, "EINTR EINVAL ENOMEM"),
    "select": (23, "EBADF EINTR EINVAL ENOMEM"),
    "pselect6": (270, "EBADF EINTR EINVAL ENOMEM"),
    "epoll_create1": (291, "EINVAL EMFILE ENFILE ENOMEM"),
    "epoll_ctl": (233, "EBADF EEXIST EINVAL ELOOP ENOENT ENOMEM ENOSPC EPERM"),
    "epoll_wait": (232, "EBADF EINTR EINVAL"),
    "eventfd2": (290, "EINVAL EMFILE ENFILE ENODEV ENOMEM"),
    "flock": (73, "EBADF EINTR EINVAL ENOLCK EWOULDBLOCK"),
    "fsync": (74, "EBADF EINTR EIO ENOSPC EROFS EINVAL EDQUOT"),
    "ftruncate": (77, "EACCES EBADF EFBIG EINTR EINVAL EIO EPERM EROFS ETXTBSY"),
    "inotify_init1": (294, "EINVAL EMFILE ENFILE ENOMEM"),
    "inotify_add_watch": (254, "EACCES EBADF EINVAL ENAMETOOLONG ENOENT ENOMEM ENOSPC"),
    "inotify_rm_watch": (255, "EBADF EINVAL"),
    # paths
    "openat": (
        257,
        """EACCES EBUSY EDQUOT EEXIST EFBIG EINTR EINVAL EISDIR ELOOP EMFILE ENAMETOOLONG ENFILE ENODEV ENOENT
        ENOMEM ENOSPC ENOTDIR ENXIO EOVERFLOW EPERM EROFS ETXTBSY""",
    ),
    "newfstatat": (262, "EACCES EBADF ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EOVERFLOW"),
    "fstat": (5, "EBADF ENOMEM EOVERFLOW"),
    "stat": (4, "EACCES ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EOVERFLOW"),
    "lstat": (6, "EACCES ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EOVERFLOW"),
    "statx": (332, "EACCES EBADF EINVAL ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EPERM ENOSYS"),
    "statfs": (137, "EACCES EINTR EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOSYS ENOTDIR EOVERFLOW"),
    "listxattr": (194, "EACCES E2BIG EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR ENOTSUP ERANGE"),
    "access": (21, "EACCES EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EROFS ETXTBSY"),
    "faccessat": (269, "EACCES EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EROFS"),
    "getdents64": (217, "EBADF EINVAL ENOENT ENOTDIR"),
    "readlink": (89, "EACCES EINVAL EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR"),
    "readlinkat": (267, "EACCES EBADF EINVAL EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR"),
    "unlink": (87, "EACCES EBUSY EIO EISDIR ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EPERM EROFS"),
    "unlinkat": (263, "EACCES EBUSY EIO EISDIR ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EPERM EROFS"),
    "link": (86, "EACCES EDQUOT EEXIST EIO EMLINK ENOENT ENOMEM ENOSPC ENOTDIR EPERM EROFS EXDEV"),
    "linkat": (265, "EACCES EDQUOT EEXIST EIO EMLINK ENOENT ENOMEM ENOSPC ENOTDIR EPERM EROFS EXDEV"),
    "symlink": (88, "EACCES EDQUOT EEXIST EIO ELOOP ENOENT ENOMEM ENOSPC ENOTDIR EPERM EROFS"),
    "rename": (82, "EACCES EBUSY EDQUOT EINVAL ENOENT ENOMEM ENOSPC EPERM EROFS EXDEV"),
    "renameat": (264, "EACCES EBUSY EDQUOT EINVAL ENOENT ENOMEM ENOSPC EPERM EROFS EXDEV"),
    "mkdir": (
        83,
        "EACCES EDQUOT EEXIST EINVAL ELOOP EMLINK ENAMETOOLONG ENOENT ENOMEM ENOSPC ENOTDIR EPERM EROFS",
    ),
    "mkdirat": (258, "EACCES EDQUOT EEXIST EINVAL ELOOP EMLINK ENOENT ENOMEM ENOSPC ENOTDIR EPERM EROFS"),
    "chmod": (90, "EACCES EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EPERM EROFS"),
    "fchmod": (91, "EBADF EIO EPERM EROFS"),
    "fchmodat": (268, "EACCES EBADF EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EPERM EROFS"),
    "chown": (92, "EACCES EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EPERM EROFS"),
    "fchown": (93, "EBADF EIO EPERM EROFS"),
    "fchownat": (260, "EACCES EBADF EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EPERM EROFS"),
    "chdir": (80, "EACCES EIO ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR"),
    "getcwd": (79, "EACCES EINVAL ENAMETOOLONG ENOENT ENOMEM ERANGE"),
    # sockets
    "socket": (41, "EACCES EAFNOSUPPORT EINVAL EMFILE ENFILE ENOBUFS ENOMEM EPROTONOSUPPORT"),
    "socketpair": (53, "EAFNOSUPPORT EMFILE ENFILE EOPNOTSUPP EPROTONOSUPPORT"),
    "bind": (
        49,
        """EACCES EADDRINUSE EADDRNOTAVAIL EBADF EINVAL ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR ENOTSOCK
        EROFS""",
    ),
    "listen": (50, "EADDRINUSE EBADF ENOTSOCK EOPNOTSUPP"),
    "connect": (
        42,
        """EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY EBADF ECONNREFUSED EINPROGRESS EINTR
        EISCONN ENETUNREACH ENOTSOCK EPERM EPROTOTYPE ETIMEDOUT""",
    ),
    "accept4": (
        288,
        """EAGAIN EBADF ECONNABORTED EINTR EINVAL EMFILE ENFILE ENOBUFS ENOMEM ENOTSOCK EOPNOTSUPP EPERM
        EPROTO""",
    ),
    "getsockname": (51, "EBADF EINVAL ENOBUFS ENOTSOCK"),
    "getpeername": (52, "EBADF EINVAL ENOBUFS ENOTCONN ENOTSOCK"),
    "getsockopt": (55, "EBADF EINVAL ENOPROTOOPT ENOTSOCK"),
    "setsockopt": (54, "EBADF EINVAL ENOPROTOOPT ENOTSOCK EPERM"),
    "shutdown": (48, "EBADF EINVAL ENOTCONN ENOTSOCK"),
    "recvfrom": (45, "EAGAIN EBADF ECONNREFUSED ECONNRESET EINTR EINVAL ENOMEM ENOTCONN ENOTSOCK"),
    "recvmsg": (47, "EAGAIN EBADF ECONNREFUSED ECONNRESET EINTR EINVAL ENOMEM ENOTCONN ENOTSOCK"),
    "sendto": (
        44,
        """EACCES EAGAIN EBADF ECONNRESET EDESTADDRREQ EINTR EINVAL EMSGSIZE ENOBUFS ENOMEM ENOTCONN ENOTSOCK
        EPIPE""",
    ),
    "sendmsg": (
        46,
        """EACCES EAGAIN EBADF ECONNRESET EDESTADDRREQ EINTR EINVAL EMSGSIZE ENOBUFS ENOMEM ENOTCONN ENOTSOCK
        EPIPE""",
    ),
    # processes
    "clone": (56, "EAGAIN EINVAL ENOMEM ENOSPC EPERM EUSERS"),
    "clone3": (435, "EACCES EAGAIN EBUSY EEXIST EINVAL ENOMEM ENOSPC EOPNOTSUPP EPERM EUSERS ENOSYS"),
    "fork": (57, "EAGAIN ENOMEM ENOSYS"),
    "vfork": (58, "EAGAIN ENOMEM ENOSYS"),
    "wait4": (61, "ECHILD EINTR EINVAL ESRCH"),
    "waitid": (247, "EAGAIN ECHILD EINTR EINVAL ESRCH"),
    "kill": (62, "EINVAL EPERM ESRCH"),
    "tgkill": (234, "EAGAIN EINVAL EPERM ESRCH"),
    "pidfd_open": (434, "EINVAL EMFILE ENFILE ENODEV ENOMEM ESRCH ENOSYS EPERM"),
    "pidfd_send_signal": (424, "EBADF EINVAL EPERM ESRCH ENOSYS"),
    "setpgid": (109, "EACCES EINVAL EPERM ESRCH"),
    "getpgid": (121, "ESRCH"),
    "prctl": (157, "EACCES EBADF EBUSY EINVAL ENODEV ENXIO EOPNOTSUPP EPERM"),
    "prlimit64": (302, "EINVAL EPERM ESRCH ENOSYS"),
    "getrusage": (98, "EINVAL"),
    "sched_getaffinity": (204, "EINVAL ESRCH"),
    "sched_setaffinity": (203, "EINVAL EPERM ESRCH"),
    "setpriority": (141, "EACCES EINVAL EPERM ESRCH"),
    "getpriority": (140, "EINVAL ESRCH"),
    "rt_sigaction": (13, "EINVAL"),
    "rt_sigprocmask": (14, "EINVAL"),
    "sigaltstack": (131, "EINVAL ENOMEM EPERM"),
    "setitimer": (38, "EINVAL"),
    # memory and odds
    "mmap": (9, "EACCES EAGAIN EBADF EINVAL ENFILE ENODEV ENOMEM EOVERFLOW EPERM ETXTBSY"),
    "munmap": (11, "EINVAL ENOMEM"),
    "mprotect": (10, "EACCES EINVAL ENOMEM"),
    "mremap": (25, "EAGAIN EINVAL ENOMEM"),
    "madvise": (28, "EACCES EAGAIN EBADF EINVAL EIO ENOMEM EPERM"),
    "getrandom": (318, "EAGAIN EINTR EINVAL ENOSYS"),
    "memfd_create": (319, "EINVAL EMFILE ENFILE ENOMEM ENOSYS"),
    "uname": (63, ""),
    "sysinfo": (99, ""),
    "clock_gettime": (228, "EINVAL EPERM"),
    "clock_nanosleep": (230, "EINTR EINVAL"),
    "nanosleep": (35, "EINTR EINVAL"),
    "bpf": (321, "EACCES EBADF EINVAL ENOMEM ENOENT EPERM E2BIG ENOSYS"),
}
NUMBERS: Final = {name: number for name, (number, _) in _NAMES.items()}
BY_NUMBER: Final = {number: name for name, number in NUMBERS.items()}
ERRNOS: Final = {
    name: tuple(number for each in told.split() if (number := getattr(errno, each)))
    for name, (_, told) in _NAMES.items()
}

CANNOT_FAIL: Final = {
    12: "brk",  # answers with the old end: the C library turns to mmap, which is in the table
    15: "rt_sigreturn",
    24: "sched_yield",
    39: "getpid",
    59: "execve",  # a child's own
    60: "exit",
    95: "umask",
    96: "gettimeofday",
    102: "getuid",
    104: "getgid",
    107: "geteuid",
    108: "getegid",
    110: "getppid",
    115: "getgroups",
    118: "getresuid",
    120: "getresgid",
    158: "arch_prctl",
    186: "gettid",
    202: "futex",  # on an answer that it does not know, the C library ends the process by itself
    218: "set_tid_address",
    231: "exit_group",
    273: "set_robust_list",
    334: "rseq",  # an interpreter's start only, and the C library goes without
}
"""Used as well, but without an error in the manual, or not by the runtime's own thread after its start."""
