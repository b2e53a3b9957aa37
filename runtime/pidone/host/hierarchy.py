"""Where this process's cgroups are: /proc/self/cgroup and mountinfo turned into directories.

Formats: cgroups(7), proc(5); Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ in the kernel.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping

from pidone.host.files import AnyPath, Notes, read
from pidone.record import Record

_OCTAL = r"\\([0-7]{3})"


class ControlGroup(Record):
    """This process's place in the hierarchy that one controller lives in."""

    version: int
    """1 or 2."""
    path: tuple[str, ...]
    """Directories: the process's own group first, then its ancestors as far as they are visible."""

    @property
    def own(self) -> str:
        """The process's own group, or the nearest visible one."""
        return self.path[0]

    @property
    def top(self) -> str:
        """The outermost visible group: in a private cgroup namespace, the container's."""
        return self.path[-1]


class _Mount(Record):
    """One cgroup mount: which part of a hierarchy (`root`) is seen where."""

    version: int
    controllers: frozenset[str]
    root: str
    point: str


class Hierarchies(Record):
    """Every mounted cgroup hierarchy with this process's path in it."""

    mounts: tuple[_Mount, ...]
    v1_paths: Mapping[str, str]
    v2_path: str | None

    def of(self, controller: str) -> ControlGroup | None:
        """Where a controller (`cpu`, `cpuset`, `memory`, `pids`) is found; None if it is not mounted.

        A controller belongs to exactly one hierarchy at a time: if version 1 has it (hybrid systems), version
        2 has not.
        """
        v1 = [mount for mount in self.mounts if mount.version == 1 and controller in mount.controllers]
        if v1:
            return _group(v1, self.v1_paths.get(controller, "/"))
        v2 = [mount for mount in self.mounts if mount.version == 2]
        return _group(v2, self.v2_path or "/") if v2 else None


def find_hierarchies(root: AnyPath = "/", notes: Notes | None = None) -> Hierarchies:
    """Read what is mounted; `root` is the root of a recorded tree in tests."""
    v1_paths, v2_path = _own_paths(read(os.path.join(root, "proc/self/cgroup"), notes) or "")
    table = read(os.path.join(root, "proc/self/mountinfo"), notes) or ""
    mounts = tuple(_mounts(table.splitlines(), root))
    return Hierarchies(mounts, v1_paths, v2_path)


def _own_paths(text: str) -> tuple[dict[str, str], str | None]:
    """`4:cpu,cpuacct:/path` lines to paths by controller, and the path of version 2 (`0::/path`)."""
    v1: dict[str, str] = {}
    v2 = None
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, separator, path = rest.partition(":")
        if not separator:
            continue
        if number == "0" and not controllers:
            v2 = path
        v1 |= dict.fromkeys(filter(None, controllers.split(",")), path)
    return v1, v2


def _mounts(lines: Iterable[str], root: AnyPath) -> Iterator[_Mount]:
    """The cgroup mounts of a mountinfo: `id parent dev ROOT POINT options [tags...] - TYPE source SUPER`."""
    for line in lines:
        left, _, right = line.partition(" - ")
        # Containers can have hundreds of mounts: look closer only at the few that count.
        if not right.startswith("cgroup"):
            continue
        fields, super_fields = left.split(), right.split()
        if len(fields) < 5 or super_fields[0] not in ("cgroup", "cgroup2"):
            continue
        controllers = super_fields[2].split(",") if len(super_fields) > 2 else []
        yield _Mount(
            version=2 if super_fields[0] == "cgroup2" else 1,
            controllers=frozenset(controllers),
            root=_unescape(fields[3]),
            point=os.path.normpath(os.path.join(root, _unescape(fields[4]).lstrip("/"))),
        )


def _unescape(field: str) -> str:
    """Space, tab, newline and backslash are written as octal escapes."""
    return re.sub(_OCTAL, lambda match: chr(int(match[1], 8)), field) if "\\" in field else field


def _group(mounts: list[_Mount], path: str) -> ControlGroup | None:
    """This process's directories through the mount that shows most of the way to `path`.

    In the host's cgroup namespace a container's mount has `root` = its own group, and `path` starts with it;
    in a private namespace both are "/". When they do not fit (a namespace entered later, "/../x"), the path
    means nothing here, and the mount point itself is the nearest group that limits this process.
    """
    # Later mounts cover earlier ones.
    visible = [mount for mount in reversed(mounts) if os.path.isdir(mount.point)]
    if not visible:
        return None
    fitting = sorted((mount for mount in visible if _shows(mount, path)), key=lambda mount: len(mount.root))
    if not fitting:
        return ControlGroup(visible[0].version, (visible[0].point,))
    mount = next((mount for mount in fitting if os.path.isdir(_directory(mount, path))), fitting[0])
    own = _directory(mount, path)
    while own != mount.point and not os.path.isdir(own):  # "/x (deleted)", or hidden: its visible ancestor
        own = os.path.dirname(own)
    folders = [own]
    while folders[-1] != mount.point:
        folders.append(os.path.dirname(folders[-1]))
    return ControlGroup(mount.version, tuple(folders))


def _shows(mount: _Mount, path: str) -> bool:
    return ".." not in path.split("/") and (path + "/").startswith(mount.root.rstrip("/") + "/")


def _directory(mount: _Mount, path: str) -> str:
    below = path.removeprefix(mount.root.rstrip("/")).lstrip("/")
    return os.path.normpath(os.path.join(mount.point, below))
