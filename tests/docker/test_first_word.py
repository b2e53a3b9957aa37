"""`docker run IMAGE any command`: each line of the table in docs/docker.md, on a pipe and on a terminal."""

import shlex
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.test_first_word import FOLDER, PROGRAMS, TABLE
from docker.containers import PREFIX
from docker.terminal import Terminal
from harness import DEADLINE_S

ROWS = (
    "help",
    "tini -- sh -c 'exit 8'",
    "pm2-runtime ecosystem.toml",
    "bash -c 'kill -9 $$'",
    "exec -- sh -c 'exit 7'",
    "--no-autorestart ./start.sh",
    "check ecosystem.toml",
    "ls -la /",
    "ls",
    "ecosystem.toml",
    "./start.sh web",
    "gunicorn --name x app:app",
)
"""One for each line of the documented table; tests/cli has the others as process 1 of a namespace."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The container's /app, which its user may read."""
    for name, text in {**FOLDER, **{f"bin/{name}": text for name, text in PROGRAMS.items()}}.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o755 if text.startswith("#!") else 0o644)
    tmp_path.chmod(0o755)
    return tmp_path


@pytest.fixture
def run(runtime: str, folder: Path) -> Iterator[list[str]]:
    """`docker run` of the image with that folder; the container is gone afterwards."""
    name = f"{PREFIX}{uuid.uuid4().hex[:12]}"
    path = "/app/bin:/opt/pidone/bin:/usr/local/bin:/usr/bin:/bin"
    words = ["docker", "run", "--rm", "--name", name, "--volume", f"{folder}:/app:ro", "--workdir", "/app"]
    yield [*words, "--env", f"PATH={path}", "--interactive", runtime]
    subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False)


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize("words", ROWS)
def test_a_first_word_means(run: list[str], words: str, *, terminal: bool) -> None:
    """The same under an engine."""
    code, said = next((code, said) for each, code, said in TABLE if each == words)
    if terminal:
        with Terminal([*run[:-1], "--tty", run[-1], *shlex.split(words)]) as shown:
            found, text = shown.wait(), shown.shown.decode(errors="replace")
    else:
        done = subprocess.run(
            [*run, *shlex.split(words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        found, text = done.returncode, done.stdout
    assert (found, said in text, "Traceback" in text) == (code, True, False), text


def test_a_shell_has_its_terminal_and_its_jobs(run: list[str]) -> None:
    """`docker run -it IMAGE bash`: the terminal, job control, and its own code."""
    with Terminal([*run[:-1], "--tty", "--env", "TERM=dumb", run[-1], "bash", "--norc"]) as shell:
        shell.expect(b"$ ")
        shell.type(b"echo at $(tty), $(set -o | grep -c 'monitor.*on') on; sleep 0.1 & wait; jobs; exit 7\n")
        shell.expect(b"at /dev/pts/")
        assert shell.wait() == 7
        assert b"1 on" in shell.shown
        assert b"no job control" not in shell.shown


def test_standard_input_is_the_programs(run: list[str]) -> None:
    """`echo ... | docker run -i IMAGE sh`."""
    done = subprocess.run(
        [*run, "sh"],
        input="echo sum $((40 + 2)); exit 3",
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "sum 42\n"), done.stderr
