"""Commands whose standard streams are closed, full, or read by nobody."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from control.operated import SLEEPER, Operated, operated
from harness import PIDONE

WORDS = [
    "ls",
    "describe api",
    "env api",
    "pm2 jlist",
    "--version",
    "--help",
    "help ls",
    "schema",
    "check e.toml",
]
UNWRITABLE = {"/dev/full": "No space left on device", "&-": "Bad file descriptor"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """A runtime that all of them ask."""
    folder = tmp_path_factory.mktemp("streams")
    (folder / "e.toml").write_text(SLEEPER)
    (folder / "pm2").symlink_to(PIDONE)
    with operated(folder, SLEEPER) as it:
        yield it


def shell(running: Operated, words: str, redirection: str) -> "subprocess.CompletedProcess[str]":
    """A command of ours, by a shell that redirects its streams."""
    program = f"./{words}" if words.startswith("pm2 ") else f"{PIDONE} {words}"
    return subprocess.run(
        ["sh", "-c", f"exec {program} {redirection}"],
        env={"PIDONE_SOCKET": running.socket, "PATH": "/usr/bin:/bin"},
        cwd=Path(running.socket).parent,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("where", UNWRITABLE)
def test_a_stdout_that_takes_nothing_is_told(running: Operated, words: str, where: str) -> None:
    """One line and a code of its own, neither a bug nor a success."""
    done = shell(running, words, f"> {where}" if where.startswith("/") else f">{where}")
    assert done.returncode == 74
    assert done.stderr.splitlines()[-1] == f"pidone: stdout: {UNWRITABLE[where]}"
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("where", UNWRITABLE)
@pytest.mark.parametrize("words", ["ls", "pm2 jlist", "health", "check e.toml"])
def test_a_stderr_that_takes_nothing_changes_nothing(running: Operated, words: str, where: str) -> None:
    """What goes well does so without it."""
    done = shell(running, words, f"2>{where}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize(("words", "code"), [("ls nobody", 66), ("ls --nope", 64), ("pm2 stop nobody", 1)])
@pytest.mark.parametrize("where", UNWRITABLE)
def test_a_mistake_has_its_code_though_nobody_hears_of_it(
    running: Operated, words: str, code: int, where: str
) -> None:
    """As with a stderr that works."""
    assert shell(running, words, f"2>{where}").returncode == code


@pytest.mark.parametrize("where", UNWRITABLE)
def test_a_probe_answers_by_its_exit_code(running: Operated, where: str) -> None:
    """A health check that cannot print is no illness."""
    assert shell(running, "health", f">{where}").returncode == 0
    assert shell(running, "health --json", f">{where}").returncode == 0
    assert shell(running, "health --socket /nowhere", f"2>{where}").returncode == 1


def test_without_any_stream(tmp_path: Path) -> None:
    """What is asked for is done: no socket takes the number of one that is closed."""
    with operated(tmp_path, SLEEPER) as running:
        before = [each["restarts"] for each in running.app("api")["instances"]]
        assert shell(running, "restart api", "<&- >&- 2>&-").returncode == 74
        assert [each["restarts"] for each in running.app("api")["instances"]] == [each + 1 for each in before]
        assert shell(running, "health", "<&- >&- 2>&-").returncode == 0
        assert shell(running, "monit", "<&-").returncode == 1


def test_whoever_has_read_enough_is_no_fault(running: Operated) -> None:
    """`pidone ls | true`, whatever the command."""
    for words in ("ls", "./pm2 jlist"):
        program = words if words.startswith("./") else f"{PIDONE} {words}"
        script = f"({program}; echo $? >&2) | true"
        done = subprocess.run(
            ["sh", "-c", script],
            env={"PIDONE_SOCKET": running.socket, "PATH": "/usr/bin:/bin"},
            cwd=Path(running.socket).parent,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == "0\n"
    assert json.loads(shell(running, "ls --json", "").stdout)["apps"]
