"""The native launcher answers `health` itself where that is a plain yes, and leaves all else to Python."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import DEADLINE_S, PIDONE, PYTHON

ROOT = Path(__file__).parents[2]
YES = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n[+]web: 2 of 2 ready\nok\n"
BODY = "[+]web: 2 of 2 ready\nok\n"
PYTHON_WAS_ASKED = "Python was asked\n"


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The launcher beside a script that tells when it is started."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "pidone"
    source = ROOT / "runtime/bin/launcher.c"
    subprocess.run([compiler, "-Wall", "-Wextra", "-Werror", "-o", str(program), str(source)], check=True)
    direct = folder / "pidone-direct"
    direct.write_text(f"#!{PYTHON}\nprint({PYTHON_WAS_ASKED.strip()!r})\n")
    direct.chmod(0o755)
    return program


@contextmanager
def served(path: Path, *parts: bytes) -> Iterator[Path]:
    """Somebody who answers at a socket with these parts, and then hangs up."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    for part in parts:
                        connection.sendall(part)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield path
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(DEADLINE_S)


def ask(program: Path | str, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *(words or ["health"])],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_a_plain_yes_needs_no_python(launcher: Path, tmp_path: Path) -> None:
    """However it is cut into packets."""
    with served(tmp_path / "p.sock", YES[:7], YES[7:40], YES[40:]) as path:
        done = ask(launcher, PIDONE_SOCKET=str(path))
    assert (done.returncode, done.stdout, done.stderr) == (0, BODY, "")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Service Unavailable\r\n\r\n[-]web: 0 of 2 ready\n",
        b"HTTP/1.1 200 OK\r\n\r\nan app called \x1b[31mred\n",
        "HTTP/1.1 200 OK\r\n\r\n\u202eold\n".encode(),
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\nno end of the head",
        b"SSH-2.0-OpenSSH_9.2 200 \r\n\r\n",
        b"",
    ],
    ids=["unready", "escape", "bidi", "long", "cut", "no HTTP", "silence"],
)
def test_any_other_answer_is_python_s_to_explain(launcher: Path, tmp_path: Path, answer: bytes) -> None:
    with served(tmp_path / "p.sock", answer) as path:
        assert ask(launcher, PIDONE_SOCKET=str(path)).stdout == PYTHON_WAS_ASKED


@pytest.mark.parametrize(
    "words", [("health", "--live"), ("health", "--json"), ("ls",), ("health", "--socket", "x")]
)
def test_any_other_question_is_python_s(launcher: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    with served(tmp_path / "p.sock", YES) as path:
        assert ask(launcher, *words, PIDONE_SOCKET=str(path)).stdout == PYTHON_WAS_ASKED


def test_who_is_asked_is_python_s_to_decide(launcher: Path, tmp_path: Path) -> None:
    """No socket, a link to one, one that nobody serves, a plain file, and no socket on purpose."""
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(tmp_path / "abandoned.sock"))
    with served(tmp_path / "p.sock", YES) as path:
        (tmp_path / "link.sock").symlink_to(path)
        for named in ("nobody.sock", "link.sock", "abandoned.sock", "file"):
            assert ask(launcher, PIDONE_SOCKET=str(tmp_path / named)).stdout == PYTHON_WAS_ASKED, named
        assert ask(launcher, PIDONE_SOCKET="none").stdout == PYTHON_WAS_ASKED
        assert ask(launcher, PIDONE_SOCKET=str(tmp_path / ("x" * 200))).stdout == PYTHON_WAS_ASKED


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_stranger_is_not_believed(launcher: Path, tmp_path: Path) -> None:
    """Another user's process has bound the name, or serves a socket of ours."""
    for owner, who in ((65534, 0), (0, 65534), (65534, 65534)):
        path = tmp_path / f"{owner}-{who}.sock"
        script = (
            "import os, socket, sys\n"
            "listener = socket.socket(socket.AF_UNIX)\n"
            "listener.bind(sys.argv[1])\n"
            "os.chown(sys.argv[1], int(sys.argv[2]), 0)\n"
            "os.setuid(int(sys.argv[3]))\n"
            "listener.listen()\n"
            "print('up', flush=True)\n"
            "while True:\n"
            "    connection, _ = listener.accept()\n"
            "    connection.recv(100)\n"
            f"    connection.sendall({YES!r})\n"
            "    connection.close()\n"
        )
        argv = [PYTHON, "-ISc", script, str(path), str(owner), str(who)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                assert server.stdout.readline() == "up\n"
                done = ask(launcher, PIDONE_SOCKET=str(path))
            finally:
                server.kill()
        assert done.stdout == PYTHON_WAS_ASKED, (owner, who)


def test_both_say_the_same(launcher: Path, tmp_path: Path) -> None:
    """Of a real runtime: the launcher, and Python."""
    path = tmp_path / "p.sock"
    argv = [PIDONE, "--socket", str(path), "--", "sleep", "600"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as runtime:
        try:
            environ = {"PIDONE_SOCKET": str(path)}
            done = subprocess.run([PIDONE, "wait", "--socket", str(path)], check=False, timeout=DEADLINE_S)
            assert done.returncode == 0
            native, by_python = ask(launcher, **environ), ask(PIDONE, "health", "--timeout", "9", **environ)
        finally:
            runtime.terminate()
            assert runtime.stdout is not None
            runtime.stdout.read()
    assert (native.returncode, native.stdout) == (0, by_python.stdout)
    assert native.stdout != PYTHON_WAS_ASKED


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_it_finds_the_runtime_of_its_container(launcher: Path) -> None:
    """Without a variable that names the socket; the app asks until the launcher itself has said yes."""
    asking = (
        f"unset PIDONE_SOCKET XDG_RUNTIME_DIR; until {launcher} health | grep -v Python; do sleep 0.05; done"
    )
    inside = f"mount -t tmpfs none /run && exec {PIDONE} --no-autorestart -- sh -c '{asking}'"
    environ = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", inside],
        env=environ,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
