"""CPU and memory limits of real containers: what `max` means, and what an OOM kill looks like."""

import os

import pytest
from docker.containers import Container, Ecosystem

CLUSTER = """
[[apps]]
name = "cluster"
script = "sleep"
args = ["3600"]
interpreter = "none"
instances = "max"
"""

GLUTTON = """
[[apps]]
name = "glutton"
script = "python3"
interpreter = "none"
autorestart = false
args = ["-c", "import time; hoard = bytearray(400 << 20); print(len(hoard), flush=True); time.sleep(3600)"]

[[apps]]
name = "modest"
script = "sleep"
args = ["3600"]
interpreter = "none"
"""

LEAK = """
[[apps]]
name = "leak"
script = "python3"
interpreter = "none"
max_memory_restart = "50%"
memory_interval = "200ms"
args = ["-uc", '''
import time
hoard = []
print("up")
while True:
    hoard.append(bytearray(1 << 20))
    time.sleep(0.05)
''']
"""


def cpus() -> int:
    """The CPUs of this machine that containers get at most."""
    return len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--cpus", "0.5"], 1),
        (["--cpus", "1.5"], 2),
        (["--cpuset-cpus", "0"], 1),
        (["--cpuset-cpus", "0,1"], 2),
        (["--cpus", "1.5", "--cpuset-cpus", "0"], 1),
        ([], cpus()),
    ],
    ids=str,
)
@pytest.mark.skipif(cpus() < 2, reason="needs two CPUs")
def test_max_is_the_cpus_of_the_container(
    runtime: str, ecosystem: Ecosystem, options: list[str], expected: int
) -> None:
    """`instances = "max"` follows quota and cpuset, not the host."""
    with Container(runtime, options=[*ecosystem(CLUSTER), *options]) as container:
        container.expect(event="instance.start", count=expected)
        assert container.find(event="runtime.start")[0]["cpus"] == expected
        assert container.stop() == 0
        assert len(container.find(event="instance.start")) == expected


def test_an_oom_kill_is_reported_and_spares_the_others(runtime: str, ecosystem: Ecosystem) -> None:
    """The kernel kills the largest process; pidone says that it was memory, and everybody else goes on."""
    options = [*ecosystem(GLUTTON), "--memory", "96m", "--memory-swap", "96m"]
    with Container(runtime, options=options) as container:
        ended = container.expect(event="instance.exit", app="glutton")
        assert ended["signal"] == "SIGKILL"
        assert "out of memory" in ended["reason"]
        assert container.state["Running"]
        names = [name for _, _, name in container.processes()]
        assert "sleep" in names
        assert container.stop() == 0


def test_a_share_of_memory_is_one_of_the_containers(runtime: str, ecosystem: Ecosystem) -> None:
    """`max_memory_restart = "50%"` means half of `--memory`: replaced well before the kernel would kill."""
    options = [*ecosystem(LEAK), "--memory", "192m", "--memory-swap", "192m"]
    with Container(runtime, options=options) as container:
        told = container.expect(event="instance.memory", app="leak")
        assert 0.95 * 96 * 2**20 <= told["limit_bytes"] <= 96 * 2**20  # lower by up to 5 %, by chance
        container.expect(message="up", count=2)
        assert not container.state["OOMKilled"]
        assert container.stop() == 0
