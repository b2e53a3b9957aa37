"""Rights and limits of apps: applied, shared out, and refused with a message that helps."""

import os
import resource
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from control.operated import operated
from harness import PIDONE, PYTHON, Running, descendants, eventually, pidone
from writing import FOREVER, ecosystem, shell

pytestmark = pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
CPU_V1 = Path("/sys/fs/cgroup/cpu")
POWERLESS = (
    *("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"),
    *("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"),
    *("--bounding-set=-all,+dac_read_search", "--no-new-privs", "--"),
)
"""As a container that runs as somebody and has no capability but to find an interpreter in root's home."""


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"nice": -5}, "nice: Permission denied (a lower value than the container's own takes CAP_SYS_NICE)"),
        (
            {"oom_score_adj": -500},
            "oom_score_adj: Permission denied (a lower score than the container's own takes CAP_SYS_",
        ),
        (
            {"limits": {"nofile": 4_000_000}},
            "nofile: not allowed to raise maximum limit (more than the container's own hard limit takes CAP_",
        ),
        (
            {"cpu_affinity": "8000"},
            "cpu_affinity: Invalid argument (none of these CPUs is available to the container)",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_the_container_may_not_do_is_told(
    open_path: Path, root: None, keys: dict[str, Any], message: str
) -> None:
    """The app is not started with less than it asked for; the event names the key and what would help."""
    file = ecosystem(open_path, shell("a", "echo runs", cwd="/", autorestart=False, **keys))
    with Running([*POWERLESS, PIDONE, "--socket", "none", file], cwd="/") as run:
        assert message in run.expect(event="instance.spawn_failed")["message"]
        assert run.wait() == 126
        assert not run.find(message="runs")


def test_who_gives_up_says_what_was_not_allowed(open_path: Path, root: None) -> None:
    """The last word of a container that ends for it, so that nobody has to read on from there."""
    file = ecosystem(open_path, shell("a", "echo runs", cwd="/", max_restarts=2, nice=-5))
    with Running([*POWERLESS, PIDONE, "--socket", "none", file], cwd="/") as run:
        assert run.wait() == 75
        assert "nice: Permission denied" in run.find(event="runtime.exit")[0]["message"]


def test_root_without_capabilities_cannot_be_another_user(tmp_path: Path, root: None) -> None:
    """As with `--cap-drop ALL`: the file was right to ask, the container does not allow it."""
    file = ecosystem(tmp_path, shell("a", "echo runs", cwd="/", autorestart=False, uid=1000, gid=1000))
    with Running(["setpriv", "--bounding-set=-setuid,-setgid", "--", PIDONE, file], cwd="/") as run:
        told = run.expect(event="instance.spawn_failed")["message"]
        assert "Operation not permitted (another user takes CAP_SETUID and CAP_SETGID)" in told
        assert run.wait() == 126


def test_nobody_cannot_be_somebody_else(open_path: Path, root: None) -> None:
    """That can be seen in the file, before anything is started."""
    file = ecosystem(open_path, shell("a", "echo runs", cwd="/", uid=1000))
    with Running([*POWERLESS, PIDONE, "--socket", "none", file], cwd="/") as run:
        assert run.wait() == 78
        assert run.err is not None
        assert "uid: only root can run an app as somebody else" in run.err.text()


def test_what_needs_no_privilege_works_without(open_path: Path, root: None) -> None:
    """Nicer, easier to kill, less of everything: that nobody is refused."""
    show = "nice; cat /proc/self/oom_score_adj; ulimit -n; ulimit -Hn"
    keys = {"nice": 19, "oom_score_adj": 900, "limits": {"nofile": "64:128"}, "autorestart": False}
    with Running(
        [
            *POWERLESS,
            PIDONE,
            "--socket",
            "none",
            ecosystem(open_path, shell("a", show, cwd="/", **keys)),
        ],
        cwd="/",
    ) as run:
        assert run.wait() == 0
        said = [record["message"] for record in run.records if record.get("stream") == "stdout"]
        assert said == ["19", "900", "64", "128"]


def test_the_hard_limit_may_be_taken_but_not_exceeded(tmp_path: Path) -> None:
    """As much as the container has is no more than it has."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with pidone(
        ecosystem(tmp_path, shell("a", "ulimit -n", limits={"nofile": hard}, autorestart=False))
    ) as run:
        assert run.wait() == 0
        assert run.find(message=str(hard))


@pytest.mark.parametrize("instances", [1, 2, 3, 4, 5])
def test_spread_gives_each_instance_its_own_cpus(tmp_path: Path, instances: int) -> None:
    """Every CPU has an owner; nobody shares unless there are more instances than CPUs."""
    allowed = os.sched_getaffinity(0)
    script = "grep Cpus_allowed_list /proc/self/status; " + FOREVER
    file = ecosystem(tmp_path, shell("a", script, instances=instances, cpu_affinity="spread"))
    with pidone(file) as run:
        shares = _shares(run, instances)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    assert all(shares.values())
    assert set().union(*shares.values()) <= allowed
    if instances <= len(allowed):
        assert set().union(*shares.values()) == allowed
        assert sum(map(len, shares.values())) == len(allowed)
        assert max(map(len, shares.values())) - min(map(len, shares.values())) <= 1
    else:
        assert all(len(share) == 1 for share in shares.values())
        owners = [sum(cpu in share for share in shares.values()) for cpu in allowed]
        assert max(owners) - min(owners) <= 1


def test_spread_follows_the_number_of_instances(tmp_path: Path) -> None:
    """A quota of CPU time makes them fewer than there are CPUs; each still has its share of all CPUs."""
    allowed = os.sched_getaffinity(0)
    if not CPU_V1.is_dir() or len(allowed) < 4 or len(allowed) % 2:
        pytest.skip("needs a version 1 cpu hierarchy and some CPUs")
    group = CPU_V1 / f"pidone-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"the cpu hierarchy is not writable: {error}")
    try:
        (group / "cpu.cfs_quota_us").write_text("150000")
        script = "grep Cpus_allowed_list /proc/self/status; " + FOREVER
        file = ecosystem(tmp_path, shell("a", script, instances="max", cpu_affinity="spread"))
        enter = f'echo $$ > {group}/cgroup.procs && exec "$0" "$1"'
        with Running(["sh", "-c", enter, PIDONE, file]) as run:
            shares = _shares(run, 2)
            run.signal(signal.SIGTERM)
            assert run.wait() == 0
        assert [len(share) for share in shares.values()] == [len(allowed) // 2] * 2
    finally:
        eventually(lambda: not (group / "cgroup.procs").read_text(), "the group to be empty")
        group.rmdir()


THREADED = """
import subprocess, threading
threading.Thread(target=subprocess.run, args=(("sleep", "1000"),)).start()
"""


def test_spread_is_dealt_out_anew_when_instances_come_and_go(tmp_path: Path) -> None:
    """What runs already moves too, with all its threads and children; nobody is started again for it."""
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 4:
        pytest.skip("needs four CPUs")
    script = tmp_path / "threaded.py"
    script.write_text(THREADED)
    with operated(tmp_path, SPREAD.format(python=PYTHON, script=script)) as it:

        def are_dealt_out(count: int) -> bool:
            owned = [_cpus_of(each["pid"]) for each in it.app("a")["instances"]]
            sizes = [[len(cpus) for cpus in sets] for sets in owned]
            taken = set().union(*(cpus for sets in owned for cpus in sets))
            return sizes == [[len(allowed) // count]] * count and len(taken) == len(allowed) // count * count

        for count in (1, 2, 4, 2):
            assert it.command("scale", "a", str(count)).returncode == 0
            eventually(partial(are_dealt_out, count), f"the CPUs to be shared by {count}")
        assert len(it.run.find(event="instance.start")) == 4


SPREAD = """
[[apps]]
name = "a"
script = "{script}"
interpreter = "{python}"
cpu_affinity = "spread"
"""


def _cpus_of(pid: int) -> set[frozenset[int]]:
    """What each thread of a process and of its descendants may use."""
    family = [pid, *descendants(pid)]
    threads = [int(task.name) for each in family for task in Path(f"/proc/{each}/task").iterdir()]
    return {frozenset(os.sched_getaffinity(thread)) for thread in threads}


def _shares(run: Running, count: int) -> dict[int, set[int]]:
    """The CPUs of each instance, when all have told of theirs."""

    def told() -> dict[int, set[int]] | None:
        lines = [record for record in run.records if "Cpus_allowed_list" in record["message"]]
        shares = {record["instance"]: _cpus(record["message"].split()[1]) for record in lines}
        return shares if len(shares) == count else None

    return eventually(told, "every instance to tell its CPUs")


def _cpus(text: str) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found
