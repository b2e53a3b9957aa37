"""Which apps lie on a file system that may stop to answer: its server is gone, or its FUSE program hangs.

Whoever looks at a file there waits for it and hears no signal, so process 1 does not look. Where that is, the
table of mounts tells (proc_pid_mountinfo(5)): the child that reads the ecosystem marks apps by it, and
process 1 asks it for the few paths that it goes to itself.
"""

import os
from collections.abc import Collection, Sequence
from typing import Final

from pidone import procfs
from pidone.ecosystem.programs.remote_program import RemoteProgram
from pidone.ecosystem.spec import AppSpec
from pidone.regular import gains_rights, shebang

_TYPES: Final = (
    "9p", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "fuse", "fuseblk", "glusterfs", "gpfs",
    "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "virtiofs",
)  # fmt: skip
_FIRST_WORDS: Final = 8
"""Of a command line: the program, what it interprets, and options with their values."""
_MOST_LINKS: Final = 40
"""As path_resolution(7)."""


def marked(apps: Sequence[AppSpec]) -> list[AppSpec]:
    """The same apps, with `remote` where it is so."""
    points = points_now()
    return [_marked(app, points) for app in apps] if points else [*apps]


def points_now() -> frozenset[str]:
    """Where such file systems are mounted at this moment; none where nobody tells."""
    try:
        return remote_points(os.fsdecode(procfs.read_bytes("/proc/self/mountinfo")))
    except OSError:  # no /proc
        return frozenset()


def remote_points(table: str) -> frozenset[str]:
    """Where such file systems are mounted; not the root, which pidone itself cannot do without."""
    points: dict[str, bool] = {}
    for line in table.splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.partition(" ")[0]
        if len(fields) > 4:
            points[_unescaped(fields[4])] = kind.partition(".")[0] in _TYPES  # the last one covers the others
    return frozenset(point for point, is_remote in points.items() if is_remote and point != "/")


def _unescaped(field: str) -> str:
    if "\\" not in field:
        return field
    import re  # noqa: PLC0415 (few names have one)

    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def mount_of(path: str) -> str | None:
    """Where such a file system is mounted that an absolute path comes by at this moment; None if by none."""
    return mount_among(points, path) if (points := points_now()) else None


def leads_to(points: Collection[str], path: str) -> bool:
    """Whether a path comes by one of these. No file system that is mounted there is asked."""
    return mount_among(points, path) is not None


def mount_among(points: Collection[str], path: str) -> str | None:
    """The first one of these by which a path comes; asks none of them."""
    names, at, links = path.split("/")[::-1], "/", 0
    while names:
        name = names.pop()
        if name in ("", "."):
            continue
        at = os.path.dirname(at) if name == ".." else os.path.join(at, name)
        if at in points:
            return at
        try:
            link = os.readlink(at)
        except OSError:  # it is none, or is not there
            continue
        links += 1
        if links > _MOST_LINKS:
            return None
        names += link.split("/")[::-1]
        at = "/" if link.startswith("/") else os.path.dirname(at)
    return None


def _marked(app: AppSpec, points: Collection[str]) -> AppSpec:
    program = os.path.join(app.cwd, app.argv[0])
    words = [word for word in app.argv[:_FIRST_WORDS] if not word.startswith("-")]
    first_line = shebang(program)
    paths = (app.cwd, program, *first_line[:1], *(os.path.join(app.cwd, word) for word in words))
    if not any(leads_to(points, path) for path in paths):
        return app
    is_root = app.uid is None and os.geteuid() == 0
    return app.but(
        remote=RemoteProgram(
            first_line=tuple(first_line),
            gains_rights=gains_rights(program, is_root=is_root),
            real={word: os.path.realpath(os.path.join(app.cwd, word)) for word in words},
        )
    )
