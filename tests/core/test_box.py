"""What pidone finds out about its container when it starts."""

import os
import signal
from pathlib import Path

import pytest
from harness import PIDONE, Running, eventually
from writing import FOREVER, ecosystem, shell

from pidone.host.cgroup import Box

QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")


def test_a_nonsensical_quota_is_told_once_at_the_start(tmp_path: Path, root: None) -> None:
    """It does not limit, and somebody who wonders about the number of instances finds out why."""
    if not QUOTA.exists():
        pytest.skip("needs a version 1 cpu hierarchy")
    (tmp_path / "quota").write_text("plenty\n")
    file = ecosystem(tmp_path, shell("a", FOREVER, instances="max"))
    hide = f"mount --bind {tmp_path}/quota {QUOTA} && exec {PIDONE} {file}"
    with Running(["unshare", "--mount", "sh", "-c", hide]) as run:
        told = run.expect(event="host.unreadable")
        assert told["level"] == "warning"
        assert "cpu.cfs_quota_us: not a number: 'plenty'" in told["message"]
        run.expect(event="instance.online", count=len(os.sched_getaffinity(0)))
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert len(run.find(event="host.unreadable")) == 1


def test_without_proc_the_apps_run_and_what_does_not_work_is_told(tmp_path: Path, root: None) -> None:
    """Some sandboxes hide it: limits have no effect then, and everything else goes on."""
    file = ecosystem(tmp_path, shell("a", "exec sleep 1000", max_memory_restart="80%"))
    hide = f"mount -t tmpfs none /proc && exec {PIDONE} {file}"
    with Running(["unshare", "--mount", "sh", "-c", hide]) as run:
        run.expect(event="instance.online")
        assert "/proc cannot be read" in run.expect(event="host.unreadable")["message"]
        assert "max_memory_restart has no effect" in run.expect(event="config.warning")["message"]
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_a_file_that_turns_to_nonsense_is_told_once(tmp_path: Path, root: None) -> None:
    """Read at each sample, it is ignored at each, and neither the log nor memory fills with that."""
    group = Box.find().memory_group
    if group is None or group.version != 1:
        pytest.skip("needs a version 1 memory hierarchy")
    usage = tmp_path / "usage"
    usage.write_text("4096\n")
    file = ecosystem(tmp_path, shell("a", FOREVER, max_memory_restart="4G", memory_interval="50ms"))
    hide = f"mount --bind {usage} {group.own}/memory.usage_in_bytes && exec {PIDONE} {file}"
    with Running(["unshare", "--mount", "sh", "-c", hide]) as run:
        run.expect(event="instance.online")
        assert not run.find(event="host.unreadable")
        with usage.open("r+") as sample:  # never empty: that would be told as well
            sample.write("much\n")
        told = run.expect(event="host.unreadable")
        assert "memory.usage_in_bytes: not a number: 'much'" in told["message"]
        ticks = cpu_ticks(run.pid)
        eventually(lambda: cpu_ticks(run.pid) > ticks, "more samples")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert len(run.find(event="host.unreadable")) == 1


def cpu_ticks(pid: int) -> int:
    """What a process has used of the CPU, in clock ticks."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))


@pytest.mark.parametrize("instances", ["max", 0])
def test_max_is_the_affinity(tmp_path: Path, instances: object) -> None:
    """Under taskset, one instance for each CPU that is left."""
    cpu = min(os.sched_getaffinity(0))
    file = ecosystem(tmp_path, shell("a", FOREVER, instances=instances))
    with Running(["taskset", "-c", str(cpu), PIDONE, file]) as run:
        assert run.expect(event="runtime.start")["cpus"] == 1
        run.expect(event="instance.online")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert len(run.find(event="instance.start")) == 1
