"""`describe`: rights, limits, memory and times for people, and with `--live` each process."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from control.operated import SLEEPER, operated
from harness import DEADLINE_S, PIDONE, PYTHON, Running, command_of, eventually, free_port, hold

from pidone.cli.operate import description, live

SERVER = f'''
[[apps]]
name = "server"
script = "{PYTHON}"
args = ["-c", """
import socket, subprocess
listening = socket.create_server(('127.0.0.1', PORT))
kept = open('/etc/hostname')
subprocess.run(['/bin/sleep', '1000'])
"""]
ready_delay = 0
nice = 3
limits = {{ nofile = "100:200" }}
max_memory_restart = "200M"
cron_restart = "0 4 * * *"
timezone = "Asia/Tokyo"
'''


def facts(text: str) -> dict[str, str]:
    """The `name  value` lines of an answer."""
    return {line[:12].strip(): line[13:] for line in text.splitlines() if line[12:13] == " "}


def test_describe_shows_rights_memory_and_times(tmp_path: Path) -> None:
    """One line for each, in words."""
    with operated(tmp_path, SERVER.replace("PORT", str(free_port()))) as it:
        said = facts(it.command("describe", "server").stdout)
        assert said["rights"].startswith(f"uid {os.getuid()}, gid {os.getgid()}")
        assert "nofile 100:200" in said["limits"]
        assert said["priority"].startswith("nice 3, ")
        assert said["memory"] == "limit 200.0M, of the whole tree, looked at every 1 s"
        assert "(main process" in said["uses"]
        assert said["cron restart"] == "0 4 * * * Asia/Tokyo"
        assert said["next run"].endswith("04:00:00+09:00")


REFUSED = """
[[apps]]
name = "refused"
script = "/bin/sleep"
args = ["1000"]
hooks = { pre_start = "false" }
[[apps]]
name = "too-large"
script = "PYTHON"
args = ["-c", "import time; kept = bytearray(60 << 20); print('up', flush=True); time.sleep(1000)"]
ready = "log:up"
max_memory_restart = "50M"
memory_interval = "50ms"
"""


def test_describe_tells_why_an_app_is_down(tmp_path: Path) -> None:
    """In one line, however long ago that was."""
    with operated(tmp_path, SLEEPER + REFUSED.replace("PYTHON", PYTHON), ready=False) as it:
        for name, why in {
            "refused": "pre_start `false` exited with code 1",
            "too-large": "above its max_memory_restart of 50 MiB; replaced 3 times in vain",
        }.items():
            it.run.expect(event="instance.errored", app=name)
            assert why in facts(it.command("describe", name).stdout)["why"]


def test_live_looks_into_each_process(tmp_path: Path) -> None:
    """Of a tree: command lines, threads, descriptors, PSS, files, sockets."""
    port = free_port()
    with operated(tmp_path, SERVER.replace("PORT", str(port))) as it:

        def tree() -> list[dict[str, object]]:
            shown = json.loads(it.command("describe", "server", "--live", "--json").stdout)
            (found,) = shown["live"].values()
            return found if len(found) == 2 and found[1]["command"][0] == "/bin/sleep" else []

        main, child = eventually(tree, "both processes")
        assert child["ppid"] == main["pid"]
        assert main["listening"] == [f"127.0.0.1:{port}"]
        assert "/etc/hostname" in str(main["files"])
        assert main["threads"] == 1
        assert 0 < int(str(main["uss_bytes"])) <= int(str(main["pss_bytes"])) <= int(str(main["rss_bytes"]))
        done = it.command("describe", "server", "--live")
        assert "instance 0, live" in done.stdout
        assert facts(done.stdout)["listens"] == f"{main['pid']}: 127.0.0.1:{port}"


def test_live_from_another_pid_namespace_is_refused(tmp_path: Path, root: None) -> None:
    """There the same numbers are other processes."""
    with operated(tmp_path, SLEEPER) as it:
        done = subprocess.run(
            [*("unshare", "--fork", "--pid", "--mount-proc"), PIDONE, "describe", "api", "--live"],
            env={**os.environ, "PIDONE_SOCKET": it.socket},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 1
        assert "another PID namespace" in done.stderr


def test_without_live_nothing_heavy_is_imported(tmp_path: Path) -> None:
    """psutil and what it brings are for those who ask."""
    with operated(tmp_path, SLEEPER) as it:
        program = (
            "import sys; from pidone.cli.click_app import run; "
            f"sys.exit(run(['describe', 'api', '--socket', {it.socket!r}]) or 'psutil' in sys.modules)"
        )
        assert (
            subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0
        )


def test_what_vanishes_while_it_is_looked_at_is_left_out() -> None:
    """A process that ends, before or in between, is no error."""
    with Running(["/bin/sleep", "1000"]) as run:
        process = psutil.Process(run.pid)
        assert live.measure(process) is not None
        run.process.kill()
        eventually(lambda: process.status() == psutil.STATUS_ZOMBIE, "its end")
        zombie = live.measure(process)  # ended, not buried: hardly anything is left to tell
        assert zombie is None or zombie["fds"] in (None, 0)
        run.wait()
        assert live.measure(process) is None
        assert live.trees([run.pid]) == {run.pid: []}


def test_what_is_not_allowed_is_left_empty(root: None) -> None:
    """Another user's process, without capabilities: what everybody may know is told, the rest is null."""
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    as_nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
    with Running([*as_nobody, "/bin/sleep", "1000"]) as run:
        eventually(lambda: command_of(run.pid) == "/bin/sleep 1000", "setpriv to have become it")
        program = (
            "import json, psutil; from pidone.cli.operate import live; "
            f"print(json.dumps(live.measure(psutil.Process({run.pid}))))"
        )
        done = subprocess.run(
            ["setpriv", "--bounding-set=-all", "--", sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
        )
        told = json.loads(done.stdout)
        assert told["command"] == ["/bin/sleep", "1000"]
        assert told["rss_bytes"] > 0
        assert [told[key] for key in ("fds", "files", "listening", "pss_bytes")] == [None] * 4
        hold(run.pid)


def test_what_does_not_run_is_described_as_configured(tmp_path: Path) -> None:
    """Nothing is there to be read, but the file says what it would get."""
    keys = 'umask = "027"\nnice = 3\nlimits = { nofile = "100:200" }\ncpu_affinity = "0"\n'
    with operated(tmp_path, SLEEPER + keys) as it:
        assert it.command("stop", "api").returncode == 0
        said = facts(it.command("describe", "api").stdout)
        assert said["rights"] == "umask 027"
        assert (said["limits"], said["priority"], said["cpus"]) == ("nofile 100:200", "nice 3", "0")


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        ("0000000000000000", "none"),
        ("000001ffffffffff", "all"),
        ("000001fffeffffff", "all but sys_resource"),
        ("0000000000000400", "net_bind_service"),
        ("4000000000000001", "chown, 62"),
        (None, ""),
    ],
)
def test_capabilities_have_names(mask: str | None, text: str) -> None:
    """Whichever way round is shorter; a number for what is newer than we are."""
    assert description.capabilities(mask) == text


def test_describe_tells_instances_apart(tmp_path: Path) -> None:
    """What is equal is said once, what differs for each."""
    cpus = len(os.sched_getaffinity(0))
    if cpus < 2:
        pytest.skip("needs two CPUs")
    with operated(tmp_path, SLEEPER + 'cpu_affinity = "spread"\n') as it:
        lines = it.command("describe", "api").stdout.splitlines()
        assert len([line for line in lines if line.startswith("cpus ")]) == 2
        assert len([line for line in lines if line.startswith("rights ")]) == 1
