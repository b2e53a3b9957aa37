"""A control socket without a file, where no folder can be written: who finds it, and whom both ends believe.

Such a name is known to everybody who shares the network: `--network host`, the containers of a pod.
"""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from control.operated import SLEEPER, command
from control.test_peers import STRANGER, as_user
from control.test_places import UNNAMED, inside, read_only
from control.test_strangers import LIAR
from harness import PIDONE, PYTHON, Running, eventually

from pidone.control import peers, socket_file

pytestmark = pytest.mark.usefixtures("root")
ELSEWHERE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
"""Another container on the same network."""
ASK = """
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.settimeout(20)
client.connect("\\0" + sys.argv[1][1:])
try:
    client.sendall(b"GET /api HTTP/1.0\\r\\n\\r\\n")
    print(len(client.recv(100)))
except ConnectionError:
    print(0)
"""


@contextlib.contextmanager
def nowhere() -> Iterator[Running]:
    """A mount namespace like that of `--read-only --ipc none`."""
    with read_only("/run", "/tmp", "/dev/shm") as space:
        space.expect_line("ready")
        yield space


@contextlib.contextmanager
def runtime(space: Running) -> Iterator[tuple[Running, str]]:
    """A runtime in there, and the name of its socket."""
    with Running(inside(space, PIDONE, "--", "sleep", "1000"), env=UNNAMED) as run:
        name = str(run.expect(event="control.listening")["address"])
        run.expect(event="instance.online")
        yield run, name
        run.signal(15)
        assert run.wait() == 0


def done(argv: list[str], env: Mapping[str, str] = UNNAMED) -> "subprocess.CompletedProcess[str]":
    return command(*argv[1:], name=argv[0], env=env, cwd="/", stdin=subprocess.DEVNULL)


def folder_of(space: Running) -> str:
    """What names in there begin with."""
    return f"@pidone-{Path(f'/proc/{space.pid}/ns/mnt').stat().st_ino}/"


def test_a_name_without_a_file_is_the_last_place(root: None) -> None:
    """Commands in there find it, by no name at all, and act."""
    with nowhere() as space, runtime(space) as (run, name):
        assert name == f"{folder_of(space)}pidone.sock"
        assert done(inside(space, PIDONE, "health")).returncode == 0
        assert "sleep" in done(inside(space, PIDONE, "ls")).stdout
        reload = done(inside(space, PIDONE, "reload", "all"))
        assert reload.returncode == 0, reload.stderr
        assert run.expect(event="control.request")["action"] == "reload"
        live = done(inside(space, PIDONE, "describe", "sleep", "--live"))
        assert live.returncode == 0, live.stderr


def test_each_finds_its_own(root: None) -> None:
    """Two containers of a pod that share network and PID namespace."""
    with nowhere() as one, nowhere() as other, runtime(one) as (_, name), runtime(other) as (_, another):
        assert name != another
        assert done(inside(one, PIDONE, "stop", "all")).returncode == 0
        assert "stopped" in done(inside(one, PIDONE, "ls")).stdout
        assert "online" in done(inside(other, PIDONE, "ls")).stdout


def test_a_second_runtime_takes_another_name(root: None) -> None:
    """As it would in a folder."""
    with nowhere() as space, runtime(space) as (_, name), runtime(space) as (_, another):
        assert another != name
        assert another.startswith(f"{folder_of(space)}pidone-")
        assert done(inside(space, PIDONE, "ls", "--socket", another)).returncode == 0


def test_nobody_of_another_container_is_answered(root: None) -> None:
    """Not even root: who he is over there says nothing here."""
    with nowhere() as space, runtime(space) as (run, name):
        asked = done([*ELSEWHERE, PIDONE, "ls", "--socket", name])
        assert (asked.returncode, asked.stdout) == (77, ""), asked.stderr
        assert "another container" in asked.stderr
        said = done([*ELSEWHERE, PYTHON, "-c", ASK, name])
        assert said.stdout == "0\n", said.stderr
        assert done(inside(space, PIDONE, "health")).returncode == 0
        assert done(inside(space, PYTHON, "-c", ASK, name)).stdout != "0\n"
        assert not run.find(event="control.error")


@contextlib.contextmanager
def liar(argv: list[str], name: str, heard: Path) -> Iterator[None]:
    """Somebody who has had the name first, and answers whatever is asked."""
    program = LIAR.replace("server.bind(path)", 'server.bind("\\0" + path[1:])')
    program = program.replace("os.chmod(path, 0o666)", "")
    with Running([*argv, sys.executable, "-c", program, name, str(heard)], cwd="/") as run:
        run.expect_line("bound")
        yield


@pytest.mark.parametrize(
    "who", [ELSEWHERE, as_user(STRANGER)], ids=["root of another container", "another user"]
)
def test_who_has_had_the_name_first_is_not_asked(root: None, tmp_path: Path, who: list[str]) -> None:
    """Neither by a command nor by `health`; our runtime takes another name, which commands find."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    heard = tmp_path / "heard"
    heard.touch()
    heard.chmod(0o666)
    with nowhere() as space:
        name = f"{folder_of(space)}pidone.sock"
        with liar(who, name, heard):
            assert done(inside(space, PIDONE, "ls")).returncode == 69
            assert done(inside(space, PIDONE, "health")).returncode == 1
            named = done(inside(space, PIDONE, "ls"), {**UNNAMED, "PIDONE_SOCKET": name})
            assert (named.returncode, named.stdout) == (77, ""), named.stderr
            with runtime(space) as (_, other):
                assert other != name
                listed = done(inside(space, PIDONE, "ls"))
                assert "sleep" in listed.stdout, listed.stderr
                assert "LIE" not in listed.stdout
        assert heard.read_bytes() == b""


def test_root_operates_the_runtime_of_another_user(root: None) -> None:
    """`docker exec -u 0`: process 1 is of that user there, as in a container; others are refused."""
    script = f"""
{" && ".join(f"mount -t tmpfs -o ro tmpfs {each}" for each in ("/run", "/tmp", "/dev/shm"))}
exec {" ".join(as_user(STRANGER, PIDONE))} -- sleep 1000
"""
    argv = [*ELSEWHERE, "sh", "-c", script]
    with Running(argv, env=UNNAMED, cwd="/") as run:
        name = str(run.expect(event="control.listening")["address"])
        assert name.endswith(f"/pidone-u{STRANGER}.sock")
        run.expect(event="instance.online")
        inner = next(iter(Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()))
        enter = ["nsenter", "--mount", "--pid", f"--target={inner}", "--wd=/"]
        assert done([*enter, PIDONE, "health"]).returncode == 0
        assert "sleep" in done([*enter, PIDONE, "ls"]).stdout
        refused = done([*enter, *as_user(STRANGER + 1, PIDONE, "ls", "--socket", name)])
        assert (refused.returncode, refused.stdout) == (77, ""), refused.stderr
        os.kill(int(inner), 15)
        assert run.wait() == 0


@pytest.mark.parametrize("how", ["variable", "file", "option"])
def test_it_may_be_named(root: None, tmp_path: Path, how: str) -> None:
    """`@name` is no path in any of the places where a socket is named."""
    name = f"@pidone-test-{os.getpid()}-{how}"
    table = f'[runtime]\nsocket = "{name}"\n' if how == "file" else ""
    (tmp_path / "ecosystem.toml").write_text(table + SLEEPER)
    options = ["--socket", name] if how == "option" else []
    environ = {"PIDONE_SOCKET": name if how == "variable" else ""}
    with Running([PIDONE, *options, "ecosystem.toml"], cwd=tmp_path, env=environ) as run:
        assert run.expect(event="control.listening")["address"] == name
        assert done([PIDONE, "ls", "--socket", name]).returncode == 0
        with Running([PIDONE, "--socket", name, "--", "sleep", "1000"], env=UNNAMED) as second:
            assert "Address already in use" in second.expect(event="control.error")["message"]
            second.signal(15)
            assert second.wait() == 0
        run.signal(15)
        assert run.wait() == 0


def test_only_a_process_of_our_own_namespace_is_near() -> None:
    """Not one further inside, whose pid here says nothing of who its user is there."""
    assert peers.is_of_our_namespace(os.getpid())
    assert peers.is_of_our_namespace(1)
    assert not peers.is_of_our_namespace(0)
    with Running([*ELSEWHERE, "sh", "-c", "echo ready; exec sleep 1000"]) as below:
        below.expect_line("ready")
        children = Path(f"/proc/{below.pid}/task/{below.pid}/children")
        inner = int(eventually(lambda: children.read_text().split(), "its process")[0])
        assert peers.is_of_our_namespace(below.pid)
        assert not peers.is_of_our_namespace(inner)


def test_a_full_queue_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file there is no owner who could stand for whoever does not accept."""
    (folder,) = socket_file._nowhere()
    path = f"{folder}/pidone-u{os.geteuid()}-{os.urandom(4).hex()}.sock"
    with socket.socket(socket.AF_UNIX) as full, contextlib.ExitStack() as clients:
        full.bind(peers.address(path))
        full.listen(0)
        monkeypatch.setattr(socket_file, "places", lambda _: iter(()))
        assert path in socket_file.find({})
        for _ in range(8):
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(peers.address(path))
        assert path not in socket_file.find({})
