"""Recorded /proc and cgroup trees of real kinds of hosts, written into a directory for a test.

The first two files are as `docker run`, `kubectl exec` and systemd services show them; of the control files
only those that matter to a test are there.
"""

from collections.abc import Mapping
from pathlib import Path

CONTAINER = "8a7c1d0e5f62b394"
POD = "pod3f5b0c1e-7a42-4d0c-9a53-0f3c2b1d4e5f"

V1_CONTROLLERS = ("cpuset", "cpu,cpuacct", "memory", "pids")


def lay(root: Path, files: Mapping[str, str]) -> Path:
    """Write the files below `root`; names are absolute paths."""
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def v1(
    own: str,
    mount_root: str,
    files: Mapping[str, str],
    *,
    controllers: tuple[str, ...] = V1_CONTROLLERS,
) -> dict[str, str]:
    """A version 1 host: `own` in /proc/self/cgroup, `mount_root` shown at each controller's mount point.

    `files` are named below /sys/fs/cgroup; a controller's directory exists even without files.
    """
    lines = [f"{12 - n}:{names}:{own}\n" for n, names in enumerate(controllers)]
    mounts = [
        f"{1030 + n} 1029 0:{30 + n} {mount_root} /sys/fs/cgroup/{names} "
        f"ro,nosuid,nodev,noexec,relatime master:{9 + n} - cgroup cgroup rw,{names}\n"
        for n, names in enumerate(controllers)
    ]
    return {
        "/proc/self/cgroup": "".join(lines) + f"1:name=systemd:{own}\n",
        "/proc/self/mountinfo": _base_mounts("tmpfs", "tmpfs") + "".join(mounts),
        **{f"/sys/fs/cgroup/{names}/cgroup.procs": "" for names in controllers},
        **{f"/sys/fs/cgroup/{name}": text for name, text in files.items()},
    }


def v2(own: str, mount_root: str, files: Mapping[str, str]) -> dict[str, str]:
    """A version 2 ("unified") host."""
    return {
        "/proc/self/cgroup": f"0::{own}\n",
        "/proc/self/mountinfo": _base_mounts("sysfs", "sysfs")
        + f"738 733 0:27 {mount_root} /sys/fs/cgroup "
        + "ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n",
        "/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory hugetlb pids rdma misc",
        **{f"/sys/fs/cgroup/{name}": text for name, text in files.items()},
    }


def hybrid(own: str, files: Mapping[str, str]) -> dict[str, str]:
    """Version 1 controllers, with an empty version 2 hierarchy at /sys/fs/cgroup/unified (older systemd)."""
    tree = v1(own, "/", files)
    tree["/proc/self/cgroup"] += f"0::{own}\n"
    tree["/proc/self/mountinfo"] += (
        "42 33 0:29 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:10 - cgroup2 cgroup2 rw\n"
    )
    tree["/sys/fs/cgroup/unified/cgroup.controllers"] = ""
    return tree


def _base_mounts(kind: str, source: str) -> str:
    return (
        "720 613 0:50 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/l:/m,upperdir=/u,workdir=/w\n"
        "721 720 0:54 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw\n"
        f"733 720 0:57 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - {kind} {source} rw,mode=755\n"
        "740 720 8:1 /mnt/my\\040data /data rw,relatime - ext4 /dev/sda1 rw\n"
    )
