"""Surroundings without something that every engine gives; whoever builds a root by hand forgets it."""

import os
import subprocess
from pathlib import Path

import pytest
from harness import DEADLINE_S, PIDONE, PYTHON, Running, children, eventually
from writing import ecosystem, shell

from pidone.listen.kernel import seccomp

pytestmark = pytest.mark.usefixtures("root")
NEW = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
NO_DEV = "mount -t tmpfs tmpfs /dev"
TAKEN = {
    "no /dev/null": NO_DEV,
    "a mount without devices": f"{NO_DEV} -o nodev && mknod /dev/null c 1 3",
    "processes alone in /proc": "mount -t proc -o subset=pid proc /proc",
    "no /sys": "mount -t tmpfs tmpfs /sys",
    "no /etc": "mount -t tmpfs tmpfs /etc",
}
YEARS_S = "315360000"
CLOCKS = {
    "booted ten years ago": ["--time", "--boottime", YEARS_S, "--monotonic", YEARS_S],
    "booted just now": [
        "--time",
        "--boottime",
        f"-{int(float(Path('/proc/uptime').read_text().split()[0])) - 5}",
    ],
}


def works(folder: Path, *, before: str = "true", options: list[str] | None = None) -> None:
    """An app comes up in there, commands are answered, and the stop is in order, without a complaint."""
    app = shell(
        "a", "echo told; while :; do sleep 0.05; done", ready="log:told", listen_timeout="1m", cwd="/"
    )
    file = ecosystem(folder, {**app, "log_file": str(folder / "a.log")})
    socket = str(folder / "s")
    script = f"{before} && exec {PIDONE} --socket {socket} {file}"
    with Running([*NEW, *(options or []), "sh", "-c", script]) as run:
        run.expect(event="instance.online")
        run.expect(event="control.listening")
        (inner,) = eventually(lambda: children(run.pid), "its process 1")
        enter = ["nsenter", "--all", f"--target={inner}", "--wd=/", PIDONE]
        for words in (["health"], ["ls"], ["describe", "a"]):
            asked = subprocess.run(
                [*enter, *words, "--socket", socket], capture_output=True, timeout=DEADLINE_S, check=False
            )
            assert asked.returncode == 0, (words, asked.stderr)
        os.kill(inner, 15)
        assert run.wait() == 0
        assert not [each for each in run.records if each.get("level") in ("warning", "error")]


@pytest.mark.parametrize("before", TAKEN.values(), ids=TAKEN)
def test_it_works_without(tmp_path: Path, before: str) -> None:
    """Nothing of it is needed."""
    works(tmp_path, before=before)


NO_PROC = [*NEW, "sh", "-c", 'mount -t tmpfs tmpfs /proc && exec "$@"', "sh"]


def test_log_files_are_packed_without_a_proc(tmp_path: Path) -> None:
    """The process that packs lets go of the runtime's descriptors all the same."""
    keys = {"out_file": str(tmp_path / "a.log"), "log_max_size": 1000, "log_compress": True}
    flood = "while :; do echo many words for a short line; sleep 0.01; done"
    file = ecosystem(tmp_path, shell("a", flood, cwd="/", **keys))
    with Running([*NO_PROC, PIDONE, "--socket", "none", file]) as run:
        eventually(lambda: list(tmp_path.glob("*.gz")), "a packed file")
        assert not run.find(event="log.file_failed")


@pytest.mark.skipif(not seccomp.is_known(), reason="takes Linux 5.9 on x86-64 or arm64")
def test_ports_that_the_kernel_cannot_share_without_a_proc(tmp_path: Path, port: int) -> None:
    """They are given up before its bind() goes on: it has its port, and one record tells why."""
    bind = f"import socket; socket.socket().bind(('127.0.0.1', {port})); print('bound')"
    keys = {"interpreter": "none", "args": ["-c", bind], "share": "kernel", "cwd": "/", "autorestart": False}
    app = {"name": "a", "script": PYTHON, "listen": [f"127.0.0.1:{port}"], **keys}
    with Running([*NO_PROC, PIDONE, "--socket", "none", ecosystem(tmp_path, app)]) as run:
        told = run.expect(event="listen.unshared")["message"]
        assert "takes a /proc of ours" in told
        assert "is given up" in told
        run.expect(message="bound")
        assert run.wait() == 0
        assert len(run.find(event="listen.unshared")) == 1


@pytest.mark.parametrize("options", CLOCKS.values(), ids=CLOCKS)
def test_a_clock_of_its_own(tmp_path: Path, options: list[str]) -> None:
    """In a time namespace, as a checkpoint that was restored elsewhere has one."""
    works(tmp_path, options=options)
