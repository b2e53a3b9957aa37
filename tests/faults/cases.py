"""Which faults there are: each call that a life makes, with each errno, at which of its occurrences."""

import errno
import itertools
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from faults.calls import ERRNOS, FOREVER

SHARE: Final = 10
"""CI plays one of so many, and of each call at least one."""

LIFE: Final[Mapping[str, int]] = {
    "accept4": 1,
    "bind": 3,
    "chdir": 11,
    "clone": 3,
    "clone3": 5,
    "close": 465,
    "epoll_create1": 2,
    "epoll_ctl": 15,
    "epoll_wait": 4,
    "fcntl": 98,
    "flock": 1,
    "getcwd": 1,
    "getdents64": 2,
    "getpeername": 1,
    "getrandom": 1,
    "getsockname": 5,
    "getsockopt": 2,
    "ioctl": 28,
    "kill": 1,
    "linkat": 1,
    "listen": 2,
    "listxattr": 9,
    "lseek": 6,
    "mmap": 118,
    "mprotect": 24,
    "munmap": 12,
    "newfstatat": 447,
    "openat": 446,
    "pipe2": 20,
    "poll": 8,
    "prctl": 1,
    "prlimit64": 30,
    "pselect6": 1,
    "read": 84,
    "readlink": 1,
    "readv": 234,
    "recvfrom": 1,
    "recvmsg": 3,
    "rt_sigaction": 42,
    "rt_sigprocmask": 22,
    "sendto": 1,
    "setsockopt": 1,
    "shutdown": 1,
    "socket": 3,
    "socketpair": 2,
    "unlink": 1,
    "unlinkat": 1,
    "wait4": 1,
    "waitid": 8,
    "write": 3,
    "writev": 8,
}
"""The calls of a life, and how many of each the start makes at least: what the share is drawn from.

Written down and not counted anew, so that it is the same on each machine and on each day. Where another
C library makes other calls, a fault is not reached, and does no harm; `make sweep` counts.
"""


@dataclass(frozen=True, order=True)
class Case:
    """One fault for one life."""

    call: str
    error: int
    when: int
    """From 1, or FOREVER."""

    def __str__(self) -> str:
        """As it is named on the command line: `openat:EMFILE:3`."""
        when = "forever" if self.when == FOREVER else str(self.when)
        return f"{self.call}:{errno.errorcode[self.error]}:{when}"

    @property
    def draw(self) -> int:
        """A number by chance, but always the same."""
        return zlib.crc32(str(self).encode())


def parse(text: str) -> Case:
    """What `str` gives."""
    call, name, when = text.split(":")
    return Case(call, getattr(errno, name), FOREVER if when == "forever" else int(when))


def all_cases(counts: Mapping[str, int], at_start: Mapping[str, int], *, exhaustive: bool) -> list[Case]:
    """For a life with so many calls: the first and each, with each errno; and the n-th of its start.

    The n-th fails with one errno, by turns, so that each errno meets many n; `exhaustive` takes all of them.
    """
    found: list[Case] = []
    for call in sorted(counts):
        numbers = ERRNOS[call]
        for number in numbers:
            found.append(Case(call, number, 1))
            # What was interrupted is tried again (PEP 475); a kernel that always interrupts is none.
            if number != errno.EINTR:
                found.append(Case(call, number, FOREVER))
        turns = itertools.cycle(numbers)
        for when in range(2, at_start.get(call, 0) + 1):
            found += [
                Case(call, each, when) for each in (numbers if exhaustive else itertools.islice(turns, 1))
            ]
    return found


def share(cases: Iterable[Case]) -> list[Case]:
    """A tenth, by each case's own name, however many others there are; and of each call at least one."""
    found: list[Case] = []
    for _, group in itertools.groupby(sorted(cases), key=lambda case: case.call):
        drawn = sorted(group, key=lambda case: (case.when > 1, case.draw))
        found += [case for each, case in enumerate(drawn) if each == 0 or case.draw % SHARE == 0]
    return found
