"""A process of another user that has bound the socket's name first: nobody asks it, nobody believes it."""

import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from control.test_peers import OWNER, ROOT, STRANGER, as_user, runtime_of
from harness import DEADLINE_S, PIDONE, Running, eventually

from pidone.control import socket_file

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv"
)
LIAR = """
import json, os, socket, sys
path, heard = sys.argv[1:3]
server = socket.socket(socket.AF_UNIX)
server.bind(path)
os.chmod(path, 0o666)
server.listen(64)
apps = [{"name": "LIE", "namespace": "default", "state": "online", "instances": []}]
body = json.dumps({"apps": apps, "version": "LIE", "may_act": True, "records": ["LIE"]}).encode()
print("bound", flush=True)
while True:
    client = server.accept()[0]
    client.settimeout(2)
    try:
        if data := client.recv(1000):
            with open(heard, "ab") as file:
                file.write(data)
            head = f"HTTP/1.1 200 OK\\r\\ncontent-length: {len(body)}\\r\\nconnection: close\\r\\n\\r\\n"
            client.sendall(head.encode() + body)
    except OSError:
        pass
    client.close()
"""
COMMANDS = [
    *(("ls",), ("describe", "LIE"), ("env", "LIE"), ("logs",), ("logs", "-f"), ("jlist",), ("prettylist",)),
    *(("stop", "all"), ("start", "LIE"), ("restart", "all"), ("reload", "all"), ("scale", "LIE", "2")),
    *(("delete", "all"), ("signal", "LIE", "HUP"), ("send", "LIE", "x"), ("trigger", "LIE", "x")),
    *(
        ("reset", "all"),
        ("flush",),
        ("reopen",),
        ("save",),
        ("wait", "--timeout", "0.2"),
        ("monit", "--json"),
    ),
]


@contextlib.contextmanager
def liar(path: Path, uid: int = STRANGER) -> Iterator[Path]:
    """Somebody's process at that name; what it was sent goes to the file."""
    heard = path.parent / f"heard-{uid}"
    heard.touch()
    os.chown(heard, uid, uid)
    argv = as_user(uid, sys.executable, "-c", LIAR, str(path), str(heard))
    with Running(argv, cwd="/") as run:
        run.expect_line("bound")
        yield heard


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """A folder like /tmp."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    folder = tmp_path / "public"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def command(*words: str, uid: int = ROOT, env: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        as_user(uid, PIDONE, *words),
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        cwd="/",
        stdin=subprocess.DEVNULL,
    )


def test_no_command_asks_a_stranger_whom_the_variable_names(public: Path) -> None:
    """Every command refuses before it has sent a byte, with 77 and one line that says who is there."""
    path = public / "control.sock"
    with liar(path) as heard:
        for words in COMMANDS:
            done = command(*words, env={"PIDONE_SOCKET": str(path)})
            assert "LIE" not in done.stdout, words
            assert done.returncode == (124 if words[0] == "wait" else 77), (words, done)
            assert f"{path}: uid {STRANGER} holds it" in done.stderr, words
        assert heard.read_bytes() == b""


def test_health_is_not_what_a_stranger_says(public: Path) -> None:
    """HEALTHCHECK fails, however the socket is named or found; so does preStop, which still ends with 0."""
    path = public / "pidone.sock"
    with liar(path) as heard:
        for words, env in (
            (("health",), {"PIDONE_SOCKET": str(path)}),
            (("health", "--live"), {"PIDONE_SOCKET": str(path)}),
            (("health", "--socket", str(path)), {}),
            (("health", "--json", f"--socket={path}", "--timeout", "1"), {}),
        ):
            done = command(*words, env=env)
            assert (done.returncode, done.stdout) == (1, ""), words
            assert f"uid {STRANGER}" in done.stderr
        for name in ("drain", "prestop"):
            done = command(name, "--delay", "0", env={"PIDONE_SOCKET": str(path)})
            assert (done.returncode, done.stdout) == (0, "")
        command("ls", env={"XDG_RUNTIME_DIR": str(public)})
        command("health", env={"XDG_RUNTIME_DIR": str(public)})
        assert heard.read_bytes() == b""


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o1777])
def test_whose_folder_it_is_does_not_make_a_stranger_believed(public: Path, mode: int) -> None:
    """Neither its own folder, nor one where everybody may replace a name, nor a link of its own."""
    folder = public / "own"
    folder.mkdir()
    folder.chmod(mode)
    os.chown(folder, STRANGER, STRANGER)
    path = folder / "pidone.sock"
    with liar(path) as heard:
        link = public / "link.sock"
        link.symlink_to(path)
        os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
        for each in (path, link):
            for name, code in (("ls", 77), ("health", 1)):
                done = command(name, "--socket", str(each), env={})
                assert (done.returncode, done.stdout) == (code, "")
        assert heard.read_bytes() == b""


def test_a_link_of_a_stranger_leads_nowhere(public: Path) -> None:
    """Not even to a socket of root's: an answer would be another runtime's, or another program's."""
    with runtime_of(ROOT) as it:
        link = public / "pidone.sock"
        link.symlink_to(it.socket)
        os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
        done = command("ls", env={"PIDONE_SOCKET": str(link)})
        assert (done.returncode, done.stdout) == (77, "")
        os.chown(link, ROOT, ROOT, follow_symlinks=False)
        assert command("ls", env={"PIDONE_SOCKET": str(link)}).returncode == 0


def test_a_runtime_of_a_stranger_below_ours_is_not_ours(public: Path) -> None:
    """An app of another user that runs pidone itself is the app's word and not our runtime's."""
    folder = public / "own"
    folder.mkdir()
    folder.chmod(0o755)
    os.chown(folder, STRANGER, STRANGER)
    inner = folder / "inner.sock"
    *words, program = as_user(STRANGER, PIDONE)
    (public / "ecosystem.toml").write_text(f"""
    [[apps]]
    name = "inner"
    script = "{words[0]}"
    args = {json.dumps([*words[1:], program, "--socket", str(inner), "--", "sleep", "1000"])}
    cwd = "/"
    """)
    outer = public / "outer.sock"
    with Running([PIDONE, "--socket", str(outer), str(public / "ecosystem.toml")], cwd="/") as run:
        run.expect(event="control.listening")
        eventually(inner.exists, "the inner runtime")
        assert command("ls", env={"PIDONE_SOCKET": str(inner)}).returncode == 77
        assert command("ls", uid=STRANGER, env={"PIDONE_SOCKET": str(inner)}).returncode == 0


def test_with_run_read_only_an_app_that_is_first_in_tmp_is_not_heard(tmp_path: Path) -> None:
    """As in a container: no named socket, /run read-only, and another user's app is the first in /tmp."""
    run, tmp = tmp_path / "run", tmp_path / "tmp"
    for folder in (tmp_path, run, tmp):
        folder.mkdir(exist_ok=True)
    tmp.chmod(0o1777)
    (tmp / "ecosystem.toml").write_text('[[apps]]\nname = "api"\nscript = "/bin/sleep"\nargs = "1000"\n')
    read_only = 'mount --bind "$0" /run && mount -o remount,ro,bind /run'
    binds = f'{read_only} && mount --bind "$1" /tmp && shift && exec "$@"'
    own = ["unshare", "--mount", "--propagation", "private", "sh", "-c", binds, str(run), str(tmp)]
    environ = {"PATH": os.environ["PATH"], "HOME": "/"}
    with Running([*own, "sleep", "1000"]) as space:
        inside = ["nsenter", "--mount", f"--target={space.pid}"]
        is_there = [*inside, "test", "-e", "/tmp/ecosystem.toml"]
        eventually(lambda: subprocess.run(is_there, check=False).returncode == 0)
        (tmp / "heard").touch()
        (tmp / "heard").chmod(0o666)
        lie = as_user(STRANGER, sys.executable, "-c", LIAR, "/tmp/pidone.sock", "/tmp/heard")

        def ask(*words: str) -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                [*inside, "env", "-i", f"PATH={environ['PATH']}", PIDONE, *words],
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )

        with Running([*inside, *lie], cwd="/") as liar:
            liar.expect_line("bound")
            assert ask("ls").returncode == 69
            assert f"/tmp/pidone.sock is uid {STRANGER}'s" in ask("health").stderr
            with Running([*inside, PIDONE, "/tmp/ecosystem.toml"], cwd="/") as runtime:
                runtime.expect(event="control.listening")
                runtime.expect(event="instance.online")
                assert ask("health").returncode == 0
                assert ask("reload", "all").returncode == 0
                apps = json.loads(ask("ls", "--json").stdout)["apps"]
                assert [app["name"] for app in apps] == ["api"]
            assert (tmp / "heard").read_bytes() == b""


def test_root_takes_its_name_back(public: Path) -> None:
    """A stranger that binds first keeps nobody from operating root's runtime, and its end costs nothing."""
    path = public / "control.sock"
    (public / "ecosystem.toml").write_text('[[apps]]\nname = "api"\nscript = "/bin/sleep"\nargs = "1000"\n')
    with (
        liar(path) as heard,
        Running([PIDONE, str(public / "ecosystem.toml")], env={"PIDONE_SOCKET": str(path)}) as run,
    ):
        run.expect(event="control.listening")
        assert f"uid {STRANGER}" in run.expect(event="control.taken")["message"]
        run.expect(event="instance.online")
        done = command("ls", "--json", env={"PIDONE_SOCKET": str(path)})
        assert [app["name"] for app in json.loads(done.stdout)["apps"]] == ["api"]
        assert command("health", env={"PIDONE_SOCKET": str(path)}).returncode == 0
        assert heard.read_bytes() == b""


def test_a_runtime_without_rights_stands_beside_a_stranger(public: Path) -> None:
    """Its user cannot remove what others have put into /tmp: it takes another name, and commands find it."""
    environ = {"XDG_RUNTIME_DIR": str(public), "PATH": os.environ["PATH"]}
    with liar(public / f"pidone-u{OWNER}.sock") as heard:
        argv = as_user(OWNER, PIDONE, "--", "sleep", "1000")
        with subprocess.Popen(argv, env=environ, cwd="/", stdout=subprocess.DEVNULL) as process:
            try:
                done = eventually(
                    lambda: (
                        done
                        if (done := command("ls", "--json", uid=OWNER, env=environ)).returncode == 0
                        else None
                    )
                )
                assert [app["name"] for app in json.loads(done.stdout)["apps"]] == ["sleep"]
                assert command("health", "--live", uid=OWNER, env=environ).returncode == 0
            finally:
                process.terminate()
        assert heard.read_bytes() == b""


def test_root_takes_its_name_back_from_whatever_holds_it(public: Path) -> None:
    """A file, a link, a folder, a dead socket: what is not a socket is moved away, not removed."""
    path = public / "pidone.sock"
    for kind in ("file", "folder", "link"):
        if kind == "link":
            path.symlink_to("/etc/passwd")
        elif kind == "folder":
            path.mkdir()
        else:
            path.touch()
        os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
        bound = socket_file.bind(str(path), {})
        bound.sock.close()
        assert (bound.path, bound.taken_from) == (str(path), STRANGER)
        path.unlink()
    assert len(list(public.iterdir())) == 3
    path.touch()  # root's own is a mistake that is told
    with pytest.raises(FileExistsError, match="no socket"):
        socket_file.bind(str(path), {})


def test_who_may_remove_the_socket_affects_neither_the_apps_nor_their_stop(public: Path) -> None:
    """In a folder that all may write to and that is not sticky: he can take the name, and nothing else."""
    public.chmod(0o777)
    path = public / "control.sock"
    (public / "ecosystem.toml").write_text(
        """
[[apps]]
name = "api"
script = "/bin/sh"
args = ["-c", "trap 'echo heard TERM; exit 0' TERM; echo up; while :; do sleep 0.1; done"]
"""
    )
    env = {"PIDONE_SOCKET": str(path)}
    with Running([PIDONE, str(public / "ecosystem.toml")], env=env) as run:
        run.expect(event="control.listening")
        run.expect(message="up")
        subprocess.run(as_user(STRANGER, "rm", str(path)), check=True)
        gone = command("ls", env=env)
        assert (gone.returncode != 0, str(path) in gone.stderr) == (True, True), gone
        with liar(path) as heard:
            assert command("ls", env=env).returncode == 77
            assert heard.read_bytes() == b""
            run.process.terminate()
            assert run.expect(event="runtime.exit")["code"] == 0
        run.expect(message="heard TERM")
        assert path.is_socket(), "what a stranger has put there is his"


def test_a_stranger_who_holds_the_lock_holds_nobody_up(tmp_path: Path) -> None:
    """It is only there for runtimes that start at the same moment."""
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        bound = socket_file.claim(str(tmp_path / "s"))
        assert (tmp_path / "s").is_socket()
        bound.sock.close()
    finally:
        os.close(folder)


def test_of_those_who_start_at_the_same_moment_one_has_the_name(tmp_path: Path) -> None:
    """Beside the dead socket of an earlier runtime too: nobody removes what another has just bound."""
    path = str(tmp_path / "s")
    script = """
import sys, time
from pidone.control import socket_file
time.sleep(max(0, float(sys.argv[2]) - time.time()))
try:
    bound = socket_file.bind(sys.argv[1], {})
except BlockingIOError:
    print("beside", flush=True)
else:
    print("bound", bound.inode if hasattr(bound, "inode") else socket_file.inode(sys.argv[1]), flush=True)
    sys.stdin.read()
"""
    for _ in range(5):
        with socket.socket(socket.AF_UNIX) as dead:
            Path(path).unlink(missing_ok=True)
            dead.bind(path)
        at = str(time.time() + 0.4)
        argv = [sys.executable, "-c", script, path, at]
        many = [
            subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(6)
        ]
        said = [process.stdout.readline().split() for process in many if process.stdout]
        inode = str(Path(path).lstat().st_ino)
        for process in many:
            process.communicate(timeout=DEADLINE_S)
        assert sorted(said) == [["beside"]] * 5 + [["bound", inode]]
