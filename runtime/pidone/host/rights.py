"""What a process may do, as the kernel has it: user, capabilities, limits, priority, CPUs.

Formats: proc_pid_status(5), proc_pid_limits(5), proc_pid_oom_score_adj(5), proc_pid_stat(5).
"""

import re
from collections.abc import Mapping
from typing import Final

from pidone import procfs
from pidone.host.files import AnyPath, number, read, read_number
from pidone.record import EMPTY, Record

UNLIMITED: Final = -1
_LIMIT: Final = re.compile(r"^Max (.+?) {2,}(\S+) +(\S+)", re.MULTILINE)
_LIMIT_NAMES: Final = {
    "cpu time": "cpu",
    "file size": "fsize",
    "data size": "data",
    "stack size": "stack",
    "core file size": "core",
    "resident set": "rss",
    "processes": "nproc",
    "open files": "nofile",
    "locked memory": "memlock",
    "address space": "as",
    "pending signals": "sigpending",
    "msgqueue size": "msgqueue",
    "nice priority": "nice",
    "realtime priority": "rtprio",
    "realtime timeout": "rttime",
}
"""fs/proc/base.c, lnames, to the names of setrlimit(2)."""


class Rights(Record, kw_only=True):
    """One process at one moment; None is "not told"."""

    uid: int | None = None
    """Effective."""
    gid: int | None = None
    groups: tuple[int, ...] = ()
    umask: int | None = None
    capabilities: int | None = None
    """The effective set, a bit for each of capabilities(7)."""
    no_new_privs: bool | None = None
    seccomp: bool | None = None
    """Whether system calls are filtered."""
    nice: int | None = None
    oom_score_adj: int | None = None
    cpus: str | None = None
    """The CPUs it may run on, as a list such as `0-3,8`."""
    limits: Mapping[str, tuple[int, int]] = EMPTY
    """Soft and hard by the names of setrlimit(2); `UNLIMITED` is -1."""


def read_rights(pid: int, proc: AnyPath = "/proc") -> Rights | None:
    """The rights of a process; None if it is gone. What cannot be read is left out."""
    folder = f"{proc}/{pid}"
    status = dict(_fields(read(f"{folder}/status") or ""))
    if not status:
        return None
    return Rights(
        uid=_second(status.get("Uid")),
        gid=_second(status.get("Gid")),
        groups=tuple(int(each) for each in status.get("Groups", "").split() if each.isdigit()),
        umask=_based(status.get("Umask"), 8),
        capabilities=_based(status.get("CapEff"), 16),
        no_new_privs=_flag(status.get("NoNewPrivs")),
        seccomp=_flag(status.get("Seccomp")),
        nice=_nice(read(f"{folder}/stat")),
        oom_score_adj=read_number(f"{folder}/oom_score_adj"),
        cpus=status.get("Cpus_allowed_list"),
        limits=dict(_limits(read(f"{folder}/limits") or "")),
    )


def _fields(text: str) -> list[tuple[str, str]]:
    lines = (line.partition(":") for line in text.splitlines())
    return [(name, value.strip()) for name, colon, value in lines if colon]


def _second(text: str | None) -> int | None:
    """Of the real, effective, saved and filesystem id, the effective one."""
    parts = (text or "").split()
    return number(parts[1]) if len(parts) > 1 else None


def _based(text: str | None, base: int) -> int | None:
    try:
        return None if text is None else int(text, base)
    except ValueError:
        return None


def _flag(text: str | None) -> bool | None:
    return None if text is None else text != "0"


def _nice(stat: str | None) -> int | None:
    fields = procfs.fields(stat or "")
    return number(fields[procfs.NICE]) if len(fields) > procfs.NICE else None


def _limits(text: str) -> list[tuple[str, tuple[int, int]]]:
    found = []
    for name, soft, hard in _LIMIT.findall(text):
        values = [UNLIMITED if each == "unlimited" else number(each) for each in (soft, hard)]
        if name in _LIMIT_NAMES and None not in values:
            found.append((_LIMIT_NAMES[name], (values[0] or 0, values[1] or 0)))
    return found
