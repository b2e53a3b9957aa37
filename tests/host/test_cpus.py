"""`instances: "max"` means the CPUs this container may use, wherever the limit comes from."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from host.trees import CONTAINER, POD, hybrid, lay, v1, v2
from hypothesis import given
from hypothesis import strategies as st

from pidone.host.cpus import CpuLimits, available_cpus, cpu_limits, parse_cpu_list

HOST = frozenset(range(8))
PERIOD = {"cpu,cpuacct/cpu.cfs_period_us": "100000\n"}
SLICE = f"/system.slice/docker-{CONTAINER}.scope"
KUBE_V1 = f"/kubepods/burstable/{POD}/{CONTAINER}"
KUBE_V2 = (
    f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-{POD}.slice/cri-containerd-{CONTAINER}.scope"
)

RECORDED = {
    "v1 docker, no limit": (
        v1(
            f"/docker/{CONTAINER}", f"/docker/{CONTAINER}", {"cpu,cpuacct/cpu.cfs_quota_us": "-1\n", **PERIOD}
        ),
        8,
    ),
    "v1 docker --cpus 0.5": (
        v1(
            f"/docker/{CONTAINER}",
            f"/docker/{CONTAINER}",
            {"cpu,cpuacct/cpu.cfs_quota_us": "50000\n", **PERIOD},
        ),
        1,
    ),
    "v1 docker --cpus 1.5": (
        v1(
            f"/docker/{CONTAINER}",
            f"/docker/{CONTAINER}",
            {"cpu,cpuacct/cpu.cfs_quota_us": "150000\n", **PERIOD},
        ),
        2,
    ),
    "v1 docker --cpus 2": (
        v1(
            f"/docker/{CONTAINER}",
            f"/docker/{CONTAINER}",
            {"cpu,cpuacct/cpu.cfs_quota_us": "200000\n", **PERIOD},
        ),
        2,
    ),
    "v1 docker --cpuset-cpus 0-1": (
        v1(f"/docker/{CONTAINER}", f"/docker/{CONTAINER}", {"cpuset/cpuset.cpus": "0-1\n"}),
        2,
    ),
    "v1 effective cpuset is smaller than the configured one": (
        v1("/", "/", {"cpuset/cpuset.cpus": "0-6\n", "cpuset/cpuset.effective_cpus": "0-2\n"}),
        3,
    ),
    "v1 docker in a private namespace": (
        v1("/", "/", {"cpu,cpuacct/cpu.cfs_quota_us": "300000\n", **PERIOD}),
        3,
    ),
    "v1 kubernetes, limits.cpu 2500m": (
        v1(KUBE_V1, KUBE_V1, {"cpu,cpuacct/cpu.cfs_quota_us": "250000\n", **PERIOD}),
        3,
    ),
    "v1 seen through the host's whole tree: a pod's limit below the container's": (
        v1(
            KUBE_V1,
            "/",
            {
                f"cpu,cpuacct{KUBE_V1}/cpu.cfs_quota_us": "400000\n",
                f"cpu,cpuacct{KUBE_V1}/cpu.cfs_period_us": "100000\n",
                f"cpu,cpuacct/kubepods/burstable/{POD}/cpu.cfs_quota_us": "250000\n",
                f"cpu,cpuacct/kubepods/burstable/{POD}/cpu.cfs_period_us": "100000\n",
                "cpu,cpuacct/kubepods/cpu.cfs_quota_us": "-1\n",
                "cpu,cpuacct/kubepods/cpu.cfs_period_us": "100000\n",
            },
        ),
        3,
    ),
    "v2 docker, no limit": (v2("/", "/", {"cpu.max": "max 100000\n"}), 8),
    "v2 docker --cpus 0.5": (v2("/", "/", {"cpu.max": "50000 100000\n"}), 1),
    "v2 docker --cpus 1.5": (v2("/", "/", {"cpu.max": "150000 100000\n"}), 2),
    "v2 docker --cpuset-cpus 0-1": (
        v2("/", "/", {"cpu.max": "max 100000\n", "cpuset.cpus": "0-1\n", "cpuset.cpus.effective": "0-1\n"}),
        2,
    ),
    "v2 quota below cpuset": (
        v2("/", "/", {"cpu.max": "100000 100000\n", "cpuset.cpus.effective": "0-3\n"}),
        1,
    ),
    "v2 cpuset below quota": (
        v2("/", "/", {"cpu.max": "600000 100000\n", "cpuset.cpus.effective": "1,3,5\n"}),
        3,
    ),
    "v2 --cgroupns=host: the whole tree is visible": (
        v2(SLICE, "/", {f"{SLICE[1:]}/cpu.max": "150000 100000\n", "system.slice/cpu.max": "max 100000\n"}),
        2,
    ),
    "v2 kubernetes, nested: the pod allows less than the container": (
        v2(
            f"/{KUBE_V2}",
            "/",
            {
                f"{KUBE_V2}/cpu.max": "max 100000\n",
                f"{Path(KUBE_V2).parent}/cpu.max": "350000 100000\n",
                "kubepods.slice/cpu.max": "600000 100000\n",
            },
        ),
        4,
    ),
    "v2 systemd service with CPUQuota= on its slice, period 50 ms": (
        v2(
            "/app.slice/web.service",
            "/",
            {"app.slice/cpu.max": "100000 50000\n", "app.slice/web.service/cpu.max": "max 100000\n"},
        ),
        2,
    ),
    "v2 the path belongs to another namespace": (
        v2("/../../kubelet.slice/other", "/", {"cpu.max": "200000 100000\n"}),
        2,
    ),
    "v2 the path is not below the mount's root": (v2(SLICE, "/elsewhere", {"cpu.max": "200000 100000\n"}), 2),
    "v2 the own group was deleted: its parent limits": (
        v2("/a/b (deleted)", "/", {"a/cpu.max": "200000 100000\n"}),
        2,
    ),
    "v2 the group's cpuset is empty: inherited from above": (
        v2("/a", "/", {"a/cpuset.cpus.effective": "\n", "cpuset.cpus.effective": "0-4\n"}),
        5,
    ),
    "hybrid: controllers are in v1, v2 has only the tree": (
        hybrid(
            "/system.slice/web.service",
            {
                "cpu,cpuacct/system.slice/web.service/cpu.cfs_quota_us": "150000\n",
                "cpu,cpuacct/system.slice/web.service/cpu.cfs_period_us": "100000\n",
            },
        ),
        2,
    ),
    "no cgroup mounted": ({"/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": ""}, 8),
    "no /proc at all": ({}, 8),
    "mounted, but the directory is hidden": (
        {**v2("/", "/", {}), "/sys/fs/cgroup/cgroup.controllers": ""},
        8,
    ),
}


@pytest.mark.parametrize(("tree", "cpus"), RECORDED.values(), ids=RECORDED)
def test_recorded_tree(tmp_path: Path, tree: dict[str, str], cpus: int) -> None:
    """The smallest of affinity, cpuset and quota (rounded up) is what the container may use."""
    limits = cpu_limits(lay(tmp_path, tree), affinity=HOST)
    assert limits.available == cpus
    assert limits.notes == ()


NONSENSE = {
    "words": {"cpu.max": "lots 100000\n"},
    "empty file": {"cpu.max": ""},
    "zero quota": {"cpu.max": "0 100000\n"},
    "zero period": {"cpu.max": "100000 0\n"},
    "negative": {"cpu.max": "-5 100000\n"},
    "other digits": {"cpu.max": "\N{ARABIC-INDIC DIGIT FIVE}0000 100000\n"},
    "binary": {"cpu.max": "\udcff\x00\x01"},
    "cpuset of words": {"cpuset.cpus.effective": "zero-one\n"},
    "cpuset backwards": {"cpuset.cpus.effective": "3-1\n"},
    "cpuset without end": {"cpuset.cpus.effective": "0-99999999999\n"},
}


@pytest.mark.parametrize("files", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_ignored_with_a_reason(tmp_path: Path, files: dict[str, str]) -> None:
    """A limit that makes no sense limits nothing, and the reason names the file."""
    root = lay(tmp_path, v2("/", "/", {}))
    for name, text in files.items():
        (root / "sys/fs/cgroup" / name).write_bytes(text.encode(errors="surrogateescape"))
    limits = cpu_limits(root, affinity=HOST)
    assert limits.available == 8
    assert len(limits.notes) == 1
    assert next(iter(files)) in limits.notes[0]


def test_a_file_that_cannot_be_read_is_ignored_with_a_reason(tmp_path: Path) -> None:
    """A directory in the place of a control file (root may read everything else) is noted, not fatal."""
    root = lay(tmp_path, v2("/", "/", {"cpu.max/x": ""}))
    limits = cpu_limits(root, affinity=HOST)
    assert limits.available == 8
    assert "Is a directory" in limits.notes[0]


def test_a_cpuset_that_contradicts_the_affinity_is_ignored(tmp_path: Path) -> None:
    """The scheduler is right about where a process may run."""
    root = lay(tmp_path, v2("/", "/", {"cpuset.cpus.effective": "16-31\n"}))
    assert cpu_limits(root, affinity=frozenset({0, 1})).available == 2


def test_affinity_below_the_quota_wins(tmp_path: Path) -> None:
    """`taskset` inside a container with a large quota still limits."""
    root = lay(tmp_path, v2("/", "/", {"cpu.max": "600000 100000\n"}))
    assert cpu_limits(root, affinity=frozenset({3})).available == 1


def test_of_two_mounts_of_one_controller_the_one_that_shows_the_group_is_read(tmp_path: Path) -> None:
    """A bind mount of some other part of the hierarchy does not mislead."""
    tree = v1("/docker/x", "/docker/x", {"cpu,cpuacct/cpu.cfs_quota_us": "200000\n", **PERIOD})
    tree["/proc/self/mountinfo"] += "99 33 0:31 /other /mnt/other rw - cgroup cgroup rw,cpu,cpuacct\n"
    tree |= {"/mnt/other/cpu.cfs_quota_us": "100000\n", "/mnt/other/cpu.cfs_period_us": "100000\n"}
    assert cpu_limits(lay(tmp_path, tree), affinity=HOST).available == 2


def test_a_mount_point_with_a_space_is_found(tmp_path: Path) -> None:
    """mountinfo escapes are undone."""
    tree = {
        "/proc/self/cgroup": "0::/\n",
        "/proc/self/mountinfo": "31 23 0:28 / /mnt/my\\040cgroup rw - cgroup2 none rw\n",
        "/mnt/my cgroup/cpu.max": "100000 100000\n",
    }
    assert cpu_limits(lay(tmp_path, tree), affinity=HOST).available == 1


@given(st.text(alphabet="0123456789,- \nx"))
def test_any_cpu_list_is_a_set_or_nothing(text: str) -> None:
    """No content of a cpuset file raises."""
    cpus = parse_cpu_list(text)
    assert cpus is None or (cpus and min(cpus) >= 0)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_proc_content_gives_at_least_one_cpu(
    tmp_path_factory: pytest.TempPathFactory, cgroup: bytes, mountinfo: bytes
) -> None:
    """No content of /proc raises."""
    root = tmp_path_factory.mktemp("proc")
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_bytes(cgroup)
    (root / "proc/self/mountinfo").write_bytes(mountinfo + b" / /x rw - cgroup2 c rw\n")
    assert cpu_limits(root, affinity=HOST).available >= 1


def test_no_limit_at_all_is_one_cpu() -> None:
    """Even an empty affinity leaves something to run on."""
    assert CpuLimits(frozenset(), None).available == 1


COUNT = "from pidone.host.cpus import available_cpus; print(available_cpus())"


def test_taskset() -> None:
    """A real affinity mask of one CPU gives one, whatever the host has."""
    cpu = min(os.sched_getaffinity(0))
    done = subprocess.run(
        ["taskset", "-c", str(cpu), sys.executable, "-c", COUNT], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1"


CPU_V1 = Path("/sys/fs/cgroup/cpu")


@pytest.fixture
def cpu_group(root: None) -> Iterator[Path]:
    """A real, fresh version 1 cpu group below ours, removed afterwards."""
    group = CPU_V1 / f"pidone-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no writable version 1 cpu hierarchy: {error}")
    yield group
    group.rmdir()


@pytest.mark.parametrize(("quota", "expected"), [(50_000, 1), (150_000, 2), (-1, None)])
def test_real_quota_on_version_1(cpu_group: Path, quota: int, expected: int | None) -> None:
    """A process in a group with a quota sees it rounded up; without one it sees what we see."""
    (cpu_group / "cpu.cfs_quota_us").write_text(str(quota))
    enter = f"open({str(cpu_group / 'cgroup.procs')!r}, 'w').write('0')\n"
    done = subprocess.run([sys.executable, "-c", enter + COUNT], capture_output=True, text=True, check=True)
    assert int(done.stdout) == min(expected or available_cpus(), available_cpus())


VIEWS = {
    "host namespace, the group bound over the mount point (docker)": (
        ["unshare", "--mount"],
        f"mount --bind {{group}} {CPU_V1}",
        "{name} {mount}",
    ),
    "private namespace, mounted afresh (docker --cgroupns=private)": (
        ["unshare", "--mount", "--cgroup"],
        f"umount {CPU_V1} && mount -t cgroup -o cpu cgroup {CPU_V1}",
        "/ {mount}",
    ),
    "private namespace below the host's mounts (the path means nothing there)": (
        ["unshare", "--mount", "--cgroup"],
        f"mount --bind {{group}} {CPU_V1}",
        "/ {mount}",
    ),
}


SHOW_VIEW = """
from pidone.host.cpus import available_cpus
from pidone.host.hierarchy import find_hierarchies
found = find_hierarchies()
print(found.v1_paths["cpu"], found.of("cpu").own)
print(available_cpus())
"""


@pytest.mark.parametrize(("unshare", "mount", "expected"), VIEWS.values(), ids=VIEWS)
def test_real_views_of_a_container(cpu_group: Path, unshare: list[str], mount: str, expected: str) -> None:
    """A quota of half a CPU is found however the runtime of the container shows the hierarchy."""
    (cpu_group / "cpu.cfs_quota_us").write_text("50000")
    # The first shell enters the group, because a private namespace is rooted where its maker is.
    enter = f'echo 0 > {cpu_group}/cgroup.procs && exec "$@"'
    inside = mount.format(group=cpu_group) + ' && exec "$0" -c "$1"'
    done = subprocess.run(
        ["sh", "-c", enter, "sh", *unshare, "sh", "-c", inside, sys.executable, SHOW_VIEW],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    view, cpus = done.stdout.splitlines()
    assert view == expected.format(name=f"/{cpu_group.name}", mount=CPU_V1)
    assert cpus == "1"
