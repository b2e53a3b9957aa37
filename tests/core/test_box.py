"""What pidone finds out about its container when it starts."""

import os
import signal
from pathlib import Path

import pytest
from harness import PIDONE, Running
from writing import FOREVER, ecosystem, shell

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
