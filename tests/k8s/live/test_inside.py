"""What pidone does inside a pod so that nobody outside has to: memory, orphans, a preStop of its own."""

import os
from collections.abc import Iterator

import pytest
from k8s.live.lone import apply, ended, has_started, pod_spec, run_ecosystem, strict_space, told
from k8s.live.space import Space, state, until, when

ONE_OF_TWO = """
[[apps]]
name = "greedy"
script = "python3"
interpreter = "none"
args = ["-c", '''
import os, time
held = []
greedy = not os.path.exists("/tmp/once")
open("/tmp/once", "w").close()
while greedy:
    held.append(bytearray(8 << 20))
time.sleep(3600)
''']

[[apps]]
name = "modest"
script = "sleep"
args = ["3600"]
interpreter = "none"
"""

ORPHAN = """
import json, os, time
if not os.fork():
    parent = os.getpid()
    if os.fork():
        os._exit(0)
    while os.getppid() == parent:
        time.sleep(0.01)
    adopter = os.getppid()
    command = open(f"/proc/{adopter}/cmdline").read()
    print(json.dumps({"message": "adopted", "by": adopter, "command": command}), flush=True)
    os._exit(0)
os.wait()
time.sleep(3600)
"""

DELAY_S = 4
PRESTOP = f"""
[runtime]
shutdown_delay = "{DELAY_S}s"

[[apps]]
name = "calm"
script = "sleep"
args = ["3600"]
interpreter = "none"
"""


@pytest.fixture(scope="module")
def space() -> Iterator[Space]:
    """A namespace of these tests."""
    with strict_space("inside") as space:
        yield space


@pytest.mark.skipif(
    os.environ.get("CLUSTER") != "ours", reason="elsewhere the kernel may end the whole container (cgroup v2)"
)
def test_one_of_two_apps_runs_out_of_memory(space: Space) -> None:
    """The kernel ends the greedy app; pidone names the reason and restarts it; the pod stays as it was."""
    run_ecosystem(space, "two", ONE_OF_TWO)
    end = told(space, "two", event="instance.exit", app="greedy")
    assert end["signal"] == "SIGKILL"
    assert "OOM killer" in end["reason"]
    again = told(space, "two", event="instance.start", app="greedy", restarts=1)
    assert again["reason"] == "signal"
    until(lambda: space.instances("two", "greedy")[0]["state"] == "online", "it to work again")
    (modest,) = space.instances("two", "modest")
    assert (modest["restarts"], modest["state"]) == (0, "online")
    pod = space.get("pod/two")
    assert (pod["status"]["phase"], state(pod)["restartCount"]) == ("Running", 0)


def test_orphans_are_adopted_where_it_is_not_process_one(space: Space) -> None:
    """With `shareProcessNamespace`, pidone adopts and buries what its apps leave behind, and ends as ever."""
    app = pod_spec("--name", "parent", "--", "python3", "-c", ORPHAN)
    apply(space, "shared", {**app, "shareProcessNamespace": True})
    has_started(space, "shared")
    adopted = told(space, "shared", message="adopted")
    assert adopted["by"] != 1
    assert "pidone" in adopted["command"]
    assert "pidone" not in space.exec("shared", "cat", "/proc/1/cmdline")
    until(lambda: ") Z " not in space.exec("shared", "sh", "-c", "cat /proc/[0-9]*/stat; true"), "no zombie")
    space.exec("shared", "sh", "-c", f"kill {adopted['by']}")
    assert ended(space, "shared")["exitCode"] == 0


def test_prestop_as_a_command_counts_as_part_of_the_delay(space: Space) -> None:
    """`pidone prestop` in the hook: not ready at once, and `shutdown_delay` is waited for once, not twice."""
    hook = {"preStop": {"exec": {"command": ["pidone", "prestop"]}}}
    run_ecosystem(space, "hooked", PRESTOP, lifecycle=hook)
    told(space, "hooked", event="control.listening")  # before that, the hook would fail without a word
    with space.following("hooked") as following:
        space.kubectl("delete", "pod", "hooked", "--wait=false")
        records = {record.get("event"): record for record in following}
    asked, signalled, stopped = (
        when(records[event]) for event in ("control.request", "runtime.stop", "instance.stop")
    )
    assert records["control.request"]["action"] == "drain"
    assert stopped - asked > 0.9 * DELAY_S
    # The kubelet may take a while from the hook to SIGTERM, which no longer delays anything.
    left = max(0.0, DELAY_S - (signalled - asked))
    assert (records["runtime.stop"].get("delay_s") or 0) < left + DELAY_S / 4
    assert records["runtime.exit"]["code"] == 0
