"""Where the control socket goes when nobody says it and little can be written, as with `--read-only`."""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from harness import DEADLINE_S, PIDONE, Running, eventually

pytestmark = pytest.mark.usefixtures("root")
UNNAMED: Mapping[str, str] = {"PIDONE_SOCKET": "", "XDG_RUNTIME_DIR": ""}


def read_only(*folders: str) -> Running:
    """A mount namespace in which nothing can be written there; it lives until the test ends."""
    mounts = [f"mount -t tmpfs -o ro tmpfs {folder}" for folder in folders]
    script = " && ".join([*mounts, "echo ready", "exec sleep 1000"])
    return Running(["unshare", "--mount", "--propagation", "private", "sh", "-c", script])


def inside(space: Running, *command: str) -> list[str]:
    """The command that runs another one in there."""
    return ["nsenter", "--mount", f"--target={space.pid}", "--wd=/", *command]


def test_dev_shm_is_the_last_place(root: None) -> None:
    """Neither /run nor /tmp: every engine mounts /dev/shm, and the commands look there too."""
    with read_only("/run", "/tmp") as space:
        space.expect_line("ready")
        argv = inside(space, PIDONE, "--", "sleep", "1000")
        with Running(argv, env=UNNAMED) as run:
            assert run.expect(event="control.listening")["address"].startswith("/dev/shm/pidone")
            run.expect(event="instance.online")
            asked = subprocess.run(
                inside(space, PIDONE, "health"),
                env={**os.environ, **UNNAMED},
                timeout=DEADLINE_S,
                check=False,
            )
            assert asked.returncode == 0
            run.signal(15)
            assert run.wait() == 0


def test_without_any_place_it_is_told_what_helps(root: None) -> None:
    """The apps run all the same; the record names the folders, the reasons and the cures.

    Without /proc nobody can be told from another container's process, so a name without a file will not do.
    """
    with read_only("/run", "/tmp", "/dev/shm", "/proc") as space:
        space.expect_line("ready")
        with Running(inside(space, PIDONE, "--", "sleep", "1000"), env=UNNAMED) as run:
            told = run.expect(event="control.error")["message"]
            for word in ("/run (Read-only", "/tmp (Read-only", "/dev/shm (Read-only", "--tmpfs /run"):
                assert word in told
            assert "PIDONE_SOCKET" in told
            run.expect(event="instance.online")
            eventually(lambda: not run.find(event="runtime.exit"), "it to stay")
            run.signal(15)
            assert run.wait() == 0


SERVES = """
[[apps]]
name = "api"
script = "sleep"
args = ["1000"]
interpreter = "none"

[[smoke]]
name = "says yes"
exec = ["echo", "yes"]
contains = "yes"
"""


@pytest.mark.parametrize("command", [["smoke"], ["prove", "--trial", "reload"]], ids=["smoke", "prove"])
def test_a_runtime_on_trial_needs_no_tmp(root: None, command: list[str]) -> None:
    """In an image from `scratch` there is none: what a trial writes goes where the socket would go."""
    usual = ["/tmp", "/var/tmp", "/mnt", *(["/usr/tmp"] if Path("/usr/tmp").exists() else [])]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, read_only(*usual) as space:
        space.expect_line("ready")
        file = Path(folder) / "ecosystem.toml"
        file.write_text(SERVES)
        script = f"cd /mnt && exec {PIDONE} {' '.join(command)} {file}"
        asked = subprocess.run(
            inside(space, "sh", "-c", script),
            env={**os.environ, **UNNAMED},
            capture_output=True,
            text=True,
            timeout=10 * DEADLINE_S,
            check=False,
        )
    assert asked.returncode == 0, asked.stdout + asked.stderr
