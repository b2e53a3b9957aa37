"""What a file asks for and the rights of this process do not allow: told before the kernel refuses it.

Rules of credentials(7), user_namespaces(7), setpriority(2), setrlimit(2), sched_setaffinity(2) and
proc_pid_oom_score_adj(5). What cannot be read is given the benefit of the doubt. Meant for a child that only
reads the file: it changes its own CPUs to find out.
"""

import errno
import os
import resource
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import Final, NamedTuple

from pidone import capabilities, procfs
from pidone.capabilities import Capability
from pidone.ecosystem.problems import Scope, shown
from pidone.ecosystem.spec import AppSpec, MissingRight
from pidone.ecosystem.values.rights import is_another_set

_OF_THE_MACHINE: Final = (Capability.SYS_NICE, Capability.SYS_RESOURCE)
_ALL_USERS: Final = ["0", "0", "4294967295"]
"""The map of the first user namespace."""


class _Missing(NamedTuple):
    setting: str
    value: object
    what: str
    capabilities: tuple[Capability, ...] = ()


def missing_rights(apps: Sequence[AppSpec], places: Sequence[Scope]) -> Iterator[MissingRight]:
    """One for each key of each app, with its place in the file."""
    for app, place in zip(apps, places, strict=True):
        if not _asks_for_rights(app):
            continue
        for found in (*_identity(app), *_means(app)):
            message = f"app {shown(app.name)}: {found.setting} = {found.value}: {found.what}"
            if needed := " and ".join(map(str, found.capabilities)):
                options = " ".join(f"--cap-add {each.name}" for each in found.capabilities)
                message += f"; that takes {needed} (in a container: {options})"
            yield MissingRight(
                labels=app.labels(),
                setting=found.setting,
                capability=needed or None,
                message=f"{place.where(found.setting)}: {message}",
            )


def _asks_for_rights(app: AppSpec) -> bool:
    asked = (app.uid, app.gid, app.groups, app.nice, app.oom_score_adj, app.cpu_affinity)
    return bool(app.limits) or any(each is not None for each in asked)


def _identity(app: AppSpec) -> Iterator[_Missing]:
    """To become somebody, and what is lost with who has become somebody else."""
    needed = []
    if app.uid is not None and app.uid not in os.getresuid():
        needed.append(Capability.SETUID)
    is_other_group = app.gid is not None and app.gid not in os.getresgid()
    is_other_set = is_another_set(app.groups, app.gid)
    if is_other_group or is_other_set:
        needed.append(Capability.SETGID)
    key = "uid" if app.uid is not None else "gid" if is_other_group else "groups"
    value = getattr(app, key)
    if missing := tuple(each for each in needed if not _has(each)):
        yield _Missing(key, value, "it cannot be started", missing)
    elif app.uid is not None and not _is_mapped(app.uid, "uid"):
        yield _Missing(key, value, "it cannot be started, this user namespace has no such user")
    elif app.gid is not None and not _is_mapped(app.gid, "gid"):
        yield _Missing(key, value, f"it cannot be started, this user namespace has no group {app.gid}")
    elif is_other_set and _read("/proc/self/setgroups").strip() == "deny":
        yield _Missing(key, value, "it cannot be started, this user namespace forbids setgroups(2)")
    elif app.uid not in (None, os.geteuid()):
        costs = (
            (Capability.KILL, "it cannot be signalled, so it will not be asked to stop"),
            (Capability.CHOWN, "it cannot open its /dev/stdout, nor a socket that we made"),
        )
        lost = [(each, what) for each, what in costs if not _has(each)]
        if lost:
            what = ", and ".join(what for _, what in lost)
            yield _Missing(key, value, what, tuple(each for each, _ in lost))
        if app.share == "kernel" and not _has(Capability.SYS_PTRACE):
            what = f"processes of user {app.uid} cannot be looked at, so they will not share their ports"
            yield _Missing("share", app.share, what, (Capability.SYS_PTRACE,))


def _means(app: AppSpec) -> Iterator[_Missing]:
    """What it may use of the machine."""
    if app.nice is not None and not _has(Capability.SYS_NICE):
        least = min(os.getpriority(os.PRIO_PROCESS, 0), 20 - resource.getrlimit(resource.RLIMIT_NICE)[0])
        if app.nice < least:
            yield _Missing("nice", app.nice, f"the lowest allowed is {least}", (Capability.SYS_NICE,))
    for name, (_, hard) in app.limits.items():
        yield from _limit(name, hard)
    if app.oom_score_adj is not None and not _has(Capability.SYS_RESOURCE):
        own = _number(_read("/proc/self/oom_score_adj"))
        if own is not None and app.oom_score_adj < own:
            what = f"the container's own is {own}, and no process may go below it"
            yield _Missing("oom_score_adj", app.oom_score_adj, what, (Capability.SYS_RESOURCE,))
    if isinstance(app.cpu_affinity, tuple) and not _has_a_cpu_of(app.cpu_affinity):
        yield _Missing(
            "cpu_affinity", [*app.cpu_affinity], "none of these CPUs is available to the container"
        )


def _limit(name: str, hard: int) -> Iterator[_Missing]:
    own = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))[1]
    most = _number(_read("/proc/sys/fs/nr_open")) if name == "nofile" else None
    value = f"{{{name} = {'unlimited' if hard == -1 else hard}}}"
    if most is not None and (hard == -1 or hard > most):
        yield _Missing("limits", value, f"the kernel's own limit is {most} (fs.nr_open)")
    elif own != resource.RLIM_INFINITY and (hard == -1 or hard > own) and not _has(Capability.SYS_RESOURCE):
        yield _Missing(
            "limits", value, f"the container's own hard limit is {own}", (Capability.SYS_RESOURCE,)
        )


def _has(capability: Capability) -> bool:
    """Whether we have it; those of a user namespace do not count for what is all processes' (capable(9))."""
    if capability in _OF_THE_MACHINE and _read("/proc/self/uid_map").split() not in ([], _ALL_USERS):
        return False
    return capabilities.has(capability, _held())


@cache
def _held() -> int | None:
    return capabilities.effective()


def _is_mapped(number: int, kind: str) -> bool:
    """Whether this user namespace has such a user or group."""
    lines = [line.split() for line in _read(f"/proc/self/{kind}_map").splitlines()]
    return not lines or any(int(first) <= number < int(first) + int(count) for first, _, count in lines)


def _has_a_cpu_of(wanted: tuple[int, ...]) -> bool:
    """Also of those that somebody has taken from this process and it may take again."""
    try:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, wanted)
        os.sched_setaffinity(0, before)
    except OverflowError:  # a sandbox that answers EINVAL whatever the size
        return True
    except OSError as error:
        return error.errno != errno.EINVAL  # a sandbox that answers EPERM says nothing about CPUs
    return True


def _read(path: str) -> str:
    with suppress(OSError):
        return procfs.read_text(path)
    return ""


def _number(text: str) -> int | None:
    with suppress(ValueError):
        return int(text)
    return None
