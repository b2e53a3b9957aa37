"""Who may operate a runtime: root and the runtime's own user, with real users on both sides of the socket."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from control.operated import SLEEPER
from harness import DEADLINE_S, PIDONE, Running

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv"
)
ROOT, OWNER, STRANGER = 0, 10001, 10002
GREATEST = 2**32 - 2
"""Users of a user namespace can have any number but the last."""
_ASK = """
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.settimeout(20)
client.connect(sys.argv[1])
client.sendall(b"POST /api/apps/all/stop HTTP/1.1\\r\\nhost: x\\r\\ncontent-length: 0\\r\\n\\r\\n")
print(client.recv(100))
"""


def as_user(uid: int, *argv: str) -> list[str]:
    """A command line as a user without rights, except to find an interpreter in root's home."""
    if uid == ROOT:
        return list(argv)
    may = "-all,+dac_read_search"
    who = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return ["setpriv", *who, f"--inh-caps={may}", f"--ambient-caps={may}", *argv]


class Shared:
    """A runtime of one user, and commands of any."""

    def __init__(self, run: Running, socket: Path) -> None:
        self.run = run
        self.socket = socket

    def command(self, uid: int, *words: str) -> "subprocess.CompletedProcess[str]":
        """A command of ours as somebody."""
        return self.python(uid, "-I", "-m", "pidone", *words, "--socket", str(self.socket))

    def python(self, uid: int, *argv: str) -> "subprocess.CompletedProcess[str]":
        """Anything as somebody."""
        return subprocess.run(
            as_user(uid, sys.executable, *argv),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            cwd="/",
        )

    def pids(self) -> list[int]:
        """Of the processes of its app."""
        apps = json.loads(self.command(ROOT, "ls", "--json").stdout)["apps"]
        return [instance["pid"] for app in apps for instance in app["instances"]]


@contextlib.contextmanager
def runtime_of(uid: int) -> Iterator[Shared]:
    """In a folder that everybody may enter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "ecosystem.toml").write_text(SLEEPER)
        os.chown(folder, uid, uid)
        socket = folder / "control.sock"
        argv = as_user(uid, PIDONE, "--socket", str(socket), "ecosystem.toml")
        with Running(argv, cwd=folder) as run:
            run.expect(event="control.listening")
            run.expect(event="instance.online", count=2)
            yield Shared(run, socket)
            run.signal(signal.SIGTERM)
            assert run.wait() == 0


@pytest.mark.parametrize(
    ("owner", "friend"), [(ROOT, ROOT), (OWNER, OWNER), (OWNER, ROOT), (GREATEST, GREATEST)]
)
def test_root_and_the_runtimes_own_user_may_do_everything(owner: int, friend: int) -> None:
    """See and act, on a runtime of root and on one of an ordinary user."""
    with runtime_of(owner) as it:
        before = it.pids()
        assert "NODE_APP_INSTANCE=0" in it.command(friend, "env", "api").stdout
        assert it.command(friend, "health").returncode == 0
        restart = it.command(friend, "restart", "api")
        assert (restart.returncode, restart.stderr) == (0, "")
        after = it.pids()
        assert set(before).isdisjoint(after)
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in after} == {owner}
        assert it.run.expect(event="control.request")["peer"].startswith(f"uid {friend}, pid ")


@pytest.mark.parametrize("owner", [ROOT, OWNER])
def test_anybody_else_is_refused(owner: int) -> None:
    """With 77 and one line by commands, with nothing at all over a socket whose mode was widened."""
    with runtime_of(owner) as it:
        before = it.pids()
        for words in (("ls",), ("env", "api"), ("stop", "all"), ("logs",), ("save",)):
            done = it.command(STRANGER, *words)
            assert (done.returncode, done.stdout) == (77, ""), words
            assert done.stderr == f"pidone: {it.socket}: only root and the runtime's own user may\n"
        health = it.command(STRANGER, "health")
        assert (health.returncode, health.stdout) == (1, "")
        it.socket.chmod(0o666)
        refused = it.python(STRANGER, "-c", _ASK, str(it.socket))
        # Hung up on without a word: before the question was sent, after it, or in between.
        assert refused.stdout in ("", "b''\n")
        assert refused.stdout or re.search("ConnectionResetError|BrokenPipeError", refused.stderr)
        assert it.command(STRANGER, "stop", "all").returncode == 77
        assert it.pids() == before


def test_a_stranger_in_the_same_folder_finds_nothing_to_talk_to(tmp_path: Path) -> None:
    """Without a named socket, others do not even see whose runtime it is."""
    with runtime_of(OWNER) as it:
        environ = {"XDG_RUNTIME_DIR": str(it.socket.parent), "PATH": os.environ["PATH"]}
        shutil.copy(it.socket.parent / "ecosystem.toml", tmp_path)
        done = subprocess.run(
            as_user(STRANGER, PIDONE, "ls"), env=environ, capture_output=True, text=True, check=False, cwd="/"
        )
        assert done.returncode == 69
