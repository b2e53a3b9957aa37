"""Where this process's cgroups are: /proc/self/cgroup and mountinfo turned into directories.

Formats: cgroups(7), proc(5); Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ in the kernel.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from runtime.host.files import Notes, read
from runtime.record import Record

_OCTAL = re.compile(r"\\([0-7]{3})")


class Group(Record):
    """This process's place in the hierarchy that one controller lives in."""

    version: int
    """1 or 2."""
    path: tuple[Path, ...]
    """Directories: the process's own group first, then its ancestors as far as they are visible."""

    @property
    def own(self) -> Path:
        """The process's own group, or the nearest visible one."""
        return self.path[0]

    @property
    def top(self) -> Path:
        """The outermost visible group: in a private cgroup namespace, the container's."""
        return self.path[-1]


class _Mount(Record):
    """One cgroup mount: which part of a hierarchy (`root`) is seen where."""

    version: int
    controllers: frozenset[str]
    root: str
    point: Path


class Hierarchies(Record):
    """Every mounted cgroup hierarchy with this process's path in it."""

    mounts: tuple[_Mount, ...]
    v1_paths: Mapping[str, str]
    v2_path: str | None

    def of(self, controller: str) -> Group | None:
        """Where a controller (`cpu`, `cpuset`, `memory`, `pids`) is found; None if it is not mounted.

        A controller belongs to exactly one hierarchy at a time: if version 1 has it (hybrid systems), version
        2 has not.
        """
        v1 = [mount for mount in self.mounts if mount.version == 1 and controller in mount.controllers]
        if v1:
            return _group(v1, self.v1_paths.get(controller, "/"))
        v2 = [mount for mount in self.mounts if mount.version == 2]
        return _group(v2, self.v2_path or "/") if v2 else None


def find_hierarchies(root: Path = Path("/"), notes: Notes | None = None) -> Hierarchies:
    """Read what is mounted; `root` is the root of a recorded tree in tests."""
    v1_paths, v2_path = _own_paths(read(root / "proc/self/cgroup", notes) or "")
    mounts = tuple(_mounts((read(root / "proc/self/mountinfo", notes) or "").splitlines(), root))
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


def _mounts(lines: Iterable[str], root: Path) -> Iterator[_Mount]:
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
            point=root / _unescape(fields[4]).lstrip("/"),
        )


def _unescape(field: str) -> str:
    """Space, tab, newline and backslash are written as octal escapes."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), field)


def _group(mounts: list[_Mount], path: str) -> Group | None:
    """This process's directories through the mount that shows most of the way to `path`.

    In the host's cgroup namespace a container's mount has `root` = its own group, and `path` starts with it;
    in a private namespace both are "/". When they do not fit (a namespace entered later, "/../x"), the path
    means nothing here, and the mount point itself is the nearest group that limits this process.
    """
    visible = [mount for mount in reversed(mounts) if mount.point.is_dir()]  # later mounts cover earlier ones
    if not visible:
        return None
    fitting = sorted((mount for mount in visible if _shows(mount, path)), key=lambda mount: len(mount.root))
    if not fitting:
        return Group(visible[0].version, (visible[0].point,))
    mount = next((mount for mount in fitting if _directory(mount, path).is_dir()), fitting[0])
    own = _directory(mount, path)
    while own != mount.point and not own.is_dir():  # "/x (deleted)", or hidden: its nearest visible ancestor
        own = own.parent
    ancestors = (parent for parent in own.parents if parent.is_relative_to(mount.point))
    return Group(mount.version, (own, *ancestors))


def _shows(mount: _Mount, path: str) -> bool:
    return ".." not in path.split("/") and (path + "/").startswith(mount.root.rstrip("/") + "/")


def _directory(mount: _Mount, path: str) -> Path:
    return mount.point / path.removeprefix(mount.root.rstrip("/")).lstrip("/")
