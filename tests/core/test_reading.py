"""Reading an ecosystem as the long-lived process does it: bounded in time and size, and a stop is heard."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import PIDONE, command_of, eventually


def start(*words: str, cwd: Path, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    """`pidone WORDS`."""
    return subprocess.Popen(
        [PIDONE, *words], cwd=cwd, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("where", ["stdin", "fifo", "env_file", "secret"])
def test_a_stop_is_heard_while_nothing_comes(where: str, tmp_path: Path) -> None:
    """A pipe that nobody fills does not make process 1 deaf: SIGTERM ends it in order."""
    os.mkfifo(tmp_path / "fifo.yaml")
    keys = {"env_file": 'env_file = "fifo.yaml"', "secret": 'secrets = {A = "fifo.yaml"}'}.get(where, "")
    (tmp_path / "e.toml").write_text(f'[[apps]]\nscript = "sleep"\nargs = "600"\n{keys}\n')
    reading, writing = os.pipe()
    target = {"stdin": "-", "fifo": "fifo.yaml"}.get(where, "e.toml")
    process = start(target, cwd=tmp_path, stdin=reading)
    os.close(reading)
    try:
        eventually(lambda: _children(process.pid), "the reader to be at work")
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        _, said = process.communicate(timeout=15)
        assert process.returncode == 0
        assert "stopped before the ecosystem was read" in said
        assert time.monotonic() - began < 10
    finally:
        os.close(writing)
        process.kill()
        process.communicate()


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_an_endless_standard_input_is_refused(tmp_path: Path) -> None:
    """What never ends is too large at some point."""
    with Path("/dev/zero").open("rb") as zeros:
        process = start("-", cwd=tmp_path, stdin=zeros.fileno())
        _, said = process.communicate(timeout=30)
    assert (process.returncode, "larger than 1024 KiB" in said) == (78, True)


@pytest.mark.parametrize("key", ["env_file", "secret"])
def test_what_a_pipe_brings_is_taken(key: str, tmp_path: Path) -> None:
    """An env_file or a secret may come from a process that takes a moment."""
    os.mkfifo(tmp_path / "fifo")
    keys = {"env_file": 'env_file = "fifo"', "secret": 'secrets = {A = "fifo"}'}[key]
    (tmp_path / "e.toml").write_text(f"[[apps]]\nscript = \"sh -c 'echo $A'\"\nautorestart = false\n{keys}\n")
    process = start("--log-format", "raw", "e.toml", cwd=tmp_path)
    (tmp_path / "fifo").write_text("A=from-a-pipe" if key == "env_file" else "from-a-pipe")
    said, _ = process.communicate(timeout=30)
    assert (process.returncode, "from-a-pipe" in said.splitlines()) == (0, True)


def test_without_a_process_to_be_had_a_start_says_so(tmp_path: Path) -> None:
    """A limit of processes that is reached is no bug of ours."""
    command = (
        "import os, resource, sys; from pidone.cli.main import dispatch;"
        "import json, pidone.cli.start, pidone.cpickle, pidone.supervise.run.loading;"
        "import pidone.init.signals, pidone.init.bare.output, pidone.init.exitcodes;"
        "os.setgroups([]); os.setgid(64321); os.setuid(64321);"
        "resource.setrlimit(resource.RLIMIT_NPROC, (0, 0)); sys.exit(dispatch(['pidone', '--', 'true']))"
    )
    if os.getuid() != 0:
        pytest.skip("needs root, to become a user with a limit of its own")
    process = subprocess.run(
        [sys.executable, "-c", command],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert process.returncode == 71, process.stderr
    assert "no process can be started (Resource temporarily unavailable" in process.stderr


def test_a_stop_is_heard_while_a_file_is_read_again(tmp_path: Path) -> None:
    """A SIGHUP whose reading hangs in a pipe holds nobody up."""
    (tmp_path / "vars").write_text("A=1\n")
    (tmp_path / "e.toml").write_text(
        '[[apps]]\nscript = "sleep"\nargs = "600"\nready = "none"\nenv_file = "vars"\n'
    )
    process = start("e.toml", cwd=tmp_path)
    try:
        eventually(lambda: "sleep" in _commands_below(process.pid), "the app")
        (tmp_path / "vars").unlink()
        os.mkfifo(tmp_path / "vars")
        process.send_signal(signal.SIGHUP)
        pipe = eventually(lambda: _opened_by_a_reader(tmp_path / "vars"), "the reader to be at work")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=15)
        os.close(pipe)
        assert process.returncode == 0
        assert "config.rejected" not in out  # its reader has ended with the runtime, whatever was in the file
    finally:
        process.kill()
        process.communicate()


def _opened_by_a_reader(pipe: Path) -> int | None:
    """Its other end, once somebody reads there."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def _commands_below(pid: int) -> list[str]:
    return [os.path.basename(command_of(int(child)).partition(" ")[0]) for child in _children(pid)]


def test_the_file_of_the_folder_needs_no_name(tmp_path: Path) -> None:
    """Bare `pidone` and `pidone start` run the ecosystem.toml that is there."""
    (tmp_path / "ecosystem.toml").write_text(
        '[[apps]]\nscript = "echo"\nargs = "found"\nautorestart = false\n'
    )
    for words in ((), ("start",), ("--log-format", "raw")):
        process = start(*words, cwd=tmp_path)
        said, _ = process.communicate(timeout=30)
        assert (process.returncode, "found" in said) == (0, True)


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system [touch made]", "!!python/name:os.system", "!x y"]
)
def test_yaml_makes_no_objects(tag: str, tmp_path: Path) -> None:
    """A tag of Python's, or of anybody's, runs nothing and is refused."""
    (tmp_path / "e.yaml").write_text(f"apps:\n- script: sleep\n  args: {tag}\n")
    process = start("e.yaml", cwd=tmp_path)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 78
    assert "e.yaml:3" in said
    assert not (tmp_path / "made").exists()
