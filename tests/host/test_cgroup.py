"""Memory, throttling, pids and pressure of the container, from recorded trees and the real kernel."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from host.trees import hybrid, lay, v1, v2
from hypothesis import given
from hypothesis import strategies as st

from pidone.host.cgroup import Box, CpuTime, Pids
from pidone.host.memory import Memory
from pidone.host.pressure import PressureScope

MIB = 1 << 20
UNLIMITED = "9223372036854771712\n"
MEMINFO = {"/proc/meminfo": "MemTotal:        8000000 kB\nMemFree:         1000 kB\n"}
HOST_TOTAL = 8_000_000 * 1024
STALL = (
    "some avg10=1.50 avg60=0.07 avg300=2.95 total=35168232\nfull avg10=0.00 avg60=0.00 avg300=0.01 total=7\n"
)


def box(tmp_path: Path, tree: dict[str, str]) -> Box:
    """A box in a recorded tree."""
    return Box.find(lay(tmp_path, {**MEMINFO, **tree}))


def test_version_2_container(tmp_path: Path) -> None:
    """docker run -m 512m: limit, usage, working set, swap."""
    files = {
        "memory.max": f"{512 * MIB}\n",
        "memory.current": f"{300 * MIB}\n",
        "memory.stat": f"anon 1\nfile 2\ninactive_anon 9\nactive_file 5\ninactive_file {100 * MIB}\n",
        "memory.swap.current": "4096\n",
    }
    memory = box(tmp_path, v2("/", "/", files)).memory()
    assert memory == Memory(
        limit=512 * MIB,
        usage=300 * MIB,
        inactive_file=100 * MIB,
        swap=4096,
        host_total=HOST_TOTAL,
    )
    assert memory.working_set == 200 * MIB
    assert memory.ceiling == 512 * MIB


def test_version_1_container(tmp_path: Path) -> None:
    """The same under version 1."""
    files = {
        "memory/memory.limit_in_bytes": f"{512 * MIB}\n",
        "memory/memory.usage_in_bytes": f"{300 * MIB}\n",
        "memory/memory.stat": f"inactive_file 7\nhierarchical_memory_limit {512 * MIB}\n"
        f"total_inactive_file {100 * MIB}\ntotal_swap 4096\n",
    }
    memory = box(tmp_path, v1("/docker/x", "/docker/x", files)).memory()
    assert (memory.limit, memory.usage, memory.working_set) == (512 * MIB, 300 * MIB, 200 * MIB)
    assert memory.swap == 4096


def test_version_1_knows_a_limit_above_what_is_visible(tmp_path: Path) -> None:
    """The pod's limit applies although the container sees only its own, unlimited group."""
    files = {
        "memory/memory.limit_in_bytes": UNLIMITED,
        "memory/memory.stat": f"hierarchical_memory_limit {64 * MIB}\n",
    }
    assert box(tmp_path, v1("/", "/", files)).memory().limit == 64 * MIB


def test_no_limit(tmp_path: Path) -> None:
    """Without a limit the machine's RAM is the ceiling."""
    files = {
        "memory/memory.limit_in_bytes": UNLIMITED,
        "memory/memory.stat": f"hierarchical_memory_limit {UNLIMITED}",
    }
    memory = box(tmp_path, v1("/", "/", files)).memory()
    assert memory.limit is None
    assert memory.ceiling == HOST_TOTAL


def test_limit_above_the_machine(tmp_path: Path) -> None:
    """A limit of more than there is limits nothing: shares are taken of the RAM."""
    memory = box(tmp_path, v2("/", "/", {"memory.max": f"{10**15}\n"})).memory()
    assert memory.ceiling == HOST_TOTAL


def test_the_group_with_the_smallest_limit_is_measured(tmp_path: Path) -> None:
    """What the whole pod uses decides about an OOM kill when the pod's limit is the smallest."""
    tree = v2(
        "/pod/app",
        "/",
        {
            "pod/app/memory.max": "max\n",
            "pod/app/memory.current": f"{10 * MIB}\n",
            "pod/memory.max": f"{100 * MIB}\n",
            "pod/memory.current": f"{90 * MIB}\n",
            "memory.max": f"{900 * MIB}\n",
            "memory.current": f"{800 * MIB}\n",
        },
    )
    memory = box(tmp_path, tree).memory()
    assert (memory.limit, memory.usage) == (100 * MIB, 90 * MIB)


def test_kills_of_version_2(tmp_path: Path) -> None:
    """Those of the whole container, not only of the runtime's own group."""
    tree = v2(
        "/runtime",
        "/",
        {
            "memory.events": "low 0\nhigh 3\nmax 5\noom 2\noom_kill 1\noom_group_kill 1\n",
            "runtime/memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n",
        },
    )
    assert box(tmp_path, tree).oom_kills() == 1


def test_kills_of_version_1(tmp_path: Path) -> None:
    """They come from memory.oom_control."""
    files = {"memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 1\noom_kill 4\n"}
    assert box(tmp_path, v1("/", "/", files)).oom_kills() == 4


def test_nobody_counts_kills_on_old_kernels(tmp_path: Path) -> None:
    """Before Linux 4.13 the number of kills is unknown, which is not zero."""
    files = {"memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n"}
    assert box(tmp_path, v1("/", "/", files)).oom_kills() is None


def test_version_2_without_what_a_kernel_may_lack(tmp_path: Path) -> None:
    """No swap accounting, no PSI, no counted kills: unknown, and nothing to complain of."""
    files = {
        "memory.max": f"{512 * MIB}\n",
        "memory.current": "4096\n",
        "memory.stat": "anon 4096\ninactive_file 0\n",
        "memory.events": "low 0\nhigh 0\nmax 3\noom 1\n",
    }
    measured = box(tmp_path, v2("/", "/", files))
    memory = measured.memory()
    assert (memory.limit, memory.working_set) == (512 * MIB, 4096)
    assert memory.swap is None
    assert measured.oom_kills() is None
    assert measured.pressure() == {}
    assert measured.take_notes() == ()


def test_throttling_of_version_2(tmp_path: Path) -> None:
    """cpu.stat in µs becomes seconds."""
    text = "usage_usec 2500000\nuser_usec 1\nnr_periods 40\nnr_throttled 8\nthrottled_usec 750000\n"
    cpu = box(tmp_path, v2("/", "/", {"cpu.stat": text})).cpu_time()
    assert cpu == CpuTime(usage_s=2.5, periods=40, throttled_periods=8, throttled_s=0.75)


def test_throttling_of_version_1(tmp_path: Path) -> None:
    """cpu.stat in ns, and the usage from cpuacct."""
    files = {
        "cpu,cpuacct/cpu.stat": "nr_periods 40\nnr_throttled 8\nthrottled_time 750000000\n",
        "cpu,cpuacct/cpuacct.usage": "2500000000\n",
    }
    cpu = box(tmp_path, hybrid("/", files)).cpu_time()
    assert cpu == CpuTime(usage_s=2.5, periods=40, throttled_periods=8, throttled_s=0.75)


def test_pids(tmp_path: Path) -> None:
    """The smallest limit on the way up, and how often it refused a fork."""
    tree = v2(
        "/a",
        "/",
        {"a/pids.current": "12\n", "a/pids.max": "max\n", "pids.max": "100\n", "a/pids.events": "max 3\n"},
    )
    assert box(tmp_path, tree).pids() == Pids(current=12, limit=100, refused=3)


def test_pressure_of_the_container(tmp_path: Path) -> None:
    """With version 2 the container's own waiting is told."""
    tree = v2("/", "/", {"cpu.pressure": STALL}) | {"/proc/pressure/cpu": STALL.replace("1.50", "99.00")}
    pressure = box(tmp_path, tree).pressure()
    assert list(pressure) == ["cpu"]
    cpu = pressure["cpu"]
    assert cpu.scope is PressureScope.CONTAINER
    assert cpu.some
    assert (cpu.some.avg10, cpu.some.total_s) == (1.5, 35.168232)
    assert cpu.full
    assert (cpu.full.avg10, cpu.full.total_s) == (0, 7e-6)


def test_pressure_of_the_machine(tmp_path: Path) -> None:
    """With version 1 only the whole machine's waiting is known, and it says so."""
    tree = v1("/", "/", {}) | {"/proc/pressure/io": "some avg10=3.00 avg60=0.00 avg300=0.00 total=1\n"}
    pressure = box(tmp_path, tree).pressure()["io"]
    assert pressure.scope is PressureScope.HOST
    assert pressure.some
    assert pressure.some.avg10 == 3.0
    assert pressure.full is None


EMPTY = Box()


def everything(measured: Box) -> tuple[object, ...]:
    """Every reading there is."""
    return (
        measured.memory(),
        measured.oom_kills(),
        measured.cpu_time(),
        measured.pids(),
        measured.pressure(),
    )


def test_no_cgroup_at_all(tmp_path: Path) -> None:
    """Where nothing is mounted everything is unknown, and nothing fails."""
    nothing = Box.find(tmp_path)
    assert everything(nothing) == (Memory(), None, CpuTime(), Pids(), {})
    assert nothing.take_notes() == ()


FILES = [
    "memory.max",
    "memory.current",
    "memory.stat",
    "memory.swap.current",
    "memory.events",
    "cpu.stat",
    "pids.max",
    "pids.current",
    "pids.events",
    "cpu.pressure",
    "memory.pressure",
    "io.pressure",
]


@given(
    st.sampled_from(FILES), st.binary(max_size=80) | st.sampled_from([b"", b"-1", b"max max", b"oom_kill x"])
)
def test_nonsense_in_any_file_is_ignored(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes
) -> None:
    """No content of a control file raises."""
    root = lay(tmp_path_factory.mktemp("tree"), v2("/", "/", {}))
    (root / "sys/fs/cgroup" / name).write_bytes(content)
    everything(Box.find(root))


def test_unreadable_files_are_noted_once(tmp_path: Path) -> None:
    """The reason is kept for the log, once, however often the file is tried."""
    measured = box(tmp_path, v2("/", "/", {"memory.current/x": "", "memory.max": "much\n"}))
    for _ in range(3):
        assert measured.memory().usage is None
    notes = measured.take_notes()
    assert len(notes) == 2
    assert "memory.current: Is a directory" in "".join(notes)
    assert "memory.max: not a number: 'much'" in "".join(notes)
    assert measured.take_notes() == ()


@pytest.fixture
def memory_group(root: None) -> Iterator[Path]:
    """A real, fresh version 1 memory group below our own, removed afterwards."""
    found = Box.find().memory_group
    if found is None or found.version != 1:
        pytest.skip("no version 1 memory hierarchy")
    group = Path(found.own) / f"pidone-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"memory hierarchy not writable: {error}")
    yield group
    group.rmdir()


def run_in(group: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code as a member of the group."""
    enter = f"open({str(group / 'cgroup.procs')!r}, 'w').write('0')\n"
    return subprocess.run([sys.executable, "-c", enter + code], capture_output=True, text=True, check=False)


def test_real_memory_limit(memory_group: Path) -> None:
    """A process sees the limit of the group it is in, and its own usage."""
    (memory_group / "memory.limit_in_bytes").write_text(str(96 * MIB))
    done = run_in(
        memory_group,
        "from pidone.host.cgroup import Box; m = Box.find().memory(); data = bytearray(30 << 20)\n"
        "after = Box.find().memory(); print(m.limit, after.working_set - m.working_set)",
    )
    limit, growth = done.stdout.split()
    assert int(limit) == 96 * MIB
    assert 28 * MIB < int(growth) < 40 * MIB


def test_real_oom_kill(memory_group: Path) -> None:
    """A process that outgrows its group is killed, and the counters of the group tell."""
    (memory_group / "memory.limit_in_bytes").write_text(str(32 * MIB))
    # Without this a machine with swap would page out instead of killing.
    (memory_group / "memory.swappiness").write_text("0")
    group = Box.find().memory_group
    assert group
    watch = Box(memory=type(group)(1, (str(memory_group), *group.path)))
    assert watch.oom_kills() == 0
    done = run_in(memory_group, "bytearray(64 << 20)")
    assert done.returncode == -9
    assert watch.oom_kills() == 1


UNIFIED = Path("/sys/fs/cgroup/unified")
AFRESH = "umount -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && "
VIEWS_V2 = {
    "host namespace, the whole tree visible": (
        AFRESH + "exec",
        ["unshare", "--mount"],
        "/{name}/inner",
        "/sys/fs/cgroup/{name}/inner",
    ),
    "private namespace (docker's default)": (
        AFRESH + "exec",
        ["unshare", "--mount", "--cgroup"],
        "/",
        "/sys/fs/cgroup",
    ),
    "private namespace, in a group below (docker in docker)": (
        AFRESH + "mkdir /sys/fs/cgroup/init && echo 0 >/sys/fs/cgroup/init/cgroup.procs && exec",
        ["unshare", "--mount", "--cgroup"],
        "/init",
        "/sys/fs/cgroup/init",
    ),
    "moved out of its namespace (a debug container, kubectl exec on some hosts)": (
        "mount --bind {group} /mnt && " + AFRESH + "echo 0 >/mnt/cgroup.procs && exec",
        ["unshare", "--mount", "--cgroup"],
        "/..",
        "/sys/fs/cgroup",
    ),
}
SHOW_V2 = """
from pidone.host.cgroup import Box
from pidone.host.hierarchy import find_hierarchies
box, found = Box.find(), find_hierarchies()
print(found.v2_path, box.memory_group.own, box.memory_group.version)
print(box.cpu_time().usage_s is not None, {str(each.scope) for each in box.pressure().values()})
print(box.memory().limit, box.oom_kills(), box.pids().limit, box.take_notes())
"""


@pytest.mark.parametrize(("script", "unshare", "path", "own"), VIEWS_V2.values(), ids=VIEWS_V2)
def test_real_views_of_version_2(root: None, script: str, unshare: list[str], path: str, own: str) -> None:
    """The own group is found however it is shown; controllers that version 1 has here are just not there."""
    group = UNIFIED / f"pidone-test-{os.getpid()}"
    try:
        (group / "inner").mkdir(parents=True)
    except OSError as error:
        pytest.skip(f"no writable version 2 hierarchy: {error}")
    try:
        enter = f'echo 0 > {group}/inner/cgroup.procs && exec "$@"'
        inside = script.format(group=group) + ' "$0" -c "$1"'
        done = subprocess.run(
            ["sh", "-c", enter, "sh", *unshare, "sh", "-c", inside, sys.executable, SHOW_V2],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        where, cpu, rest = done.stdout.splitlines()
        assert where == f"{path} {own} 2".format(name=group.name)
        assert cpu == "True {'container'}"
        assert rest == "None None None ()"
    finally:
        for folder in (group / "inner" / "init", group / "inner", group):
            if folder.is_dir():
                folder.rmdir()
