"""The command line as a whole: help, lazy imports, usage errors."""

import os
import subprocess
import sys

import pytest
from control.operated import command
from harness import PIDONE, PYTHON

from pidone.cli.registry import COMMANDS, TOPICS

SPELLINGS = {"list", "ps", "status", "complete"}
"""Names that --help does not list: other words for `ls`, and what only the shells call."""


def loaded_by(*words: str) -> set[str]:
    """The modules that a command line has imported when it ends."""
    script = "import sys; from pidone.cli.main import dispatch; dispatch(sys.argv[1:]); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script, "pidone", *words], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_every_command_is_in_the_help() -> None:
    """By topic, with what it does."""
    assert {name for names in TOPICS.values() for name in names} == {*COMMANDS, "exec"} - SPELLINGS
    done = command("--help", env={"COLUMNS": "200"})
    assert (done.returncode, done.stderr) == (0, "")
    for topic, names in TOPICS.items():
        section = done.stdout.partition(f"\n{topic}:\n")[2].partition("\n\n")[0].splitlines()
        assert [line.split()[0] for line in section] == list(names)
        assert all(len(line.split()) > 3 for line in section)


EXPLAIN = r"""
import sys
from pidone.cli.main import dispatch
for name in sys.argv[1:]:
    code = dispatch(["pidone", name, "--help"])
    print("\0", name, code, "\0", end="")
"""


def test_every_command_explains_itself() -> None:
    """Each with its own usage; all in one process, as a hundred starts would show nothing more."""
    names = sorted({*COMMANDS} - {"start"})
    done = subprocess.run([PYTHON, "-c", EXPLAIN, *names], capture_output=True, text=True, check=True)
    parts = done.stdout.split("\0")
    assert [told.split() for told in parts[1::2]] == [[name, "0"] for name in names]
    for name, text in zip(names, parts[::2], strict=False):  # nothing follows the last code
        assert text.startswith(f"Usage: pidone {name} ")
    assert done.stderr == ""


def test_help_of_a_start_is_that_of_the_long_lived_process() -> None:
    """The parser of commands has no part in it, and the options of a start are in it."""
    done = command("start", "--help", env={})
    assert (done.returncode, done.stderr) == (0, "")
    assert "--admin-token-file" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ls", "--sock", "x"), "pidone: ls: No such option"),
        (("scale", "api"), "pidone: scale: Missing argument"),
        (("wait", "--timeout", "soon"), "pidone: wait: Invalid value for '--timeout'"),
        (("completion", "tcsh"), "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
        (("convert", "a", "b"), "pidone: convert: Got unexpected extra argument"),
        (("health", "--tim", "1"), "--timeout"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_usage_errors_are_64_and_two_lines(words: tuple[str, ...], said: str) -> None:
    """What is wrong, and how it is used; nothing on stdout."""
    done = command(*words, env={})
    assert (done.returncode, done.stdout) == (64, "")
    wrong, usage = done.stderr.splitlines()
    assert said in wrong
    assert usage.startswith(f"Usage: pidone {words[0]} ")


def test_a_reader_that_has_enough_is_no_failure() -> None:
    """`pidone schema | head -1` ends quietly and with 0."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run([PIDONE, "schema"], stdout=pipe, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_command_imports_its_own_module_only() -> None:
    """Neither its siblings nor what would make it slow."""
    loaded = loaded_by("ls", "--socket", "/nonexistent/socket")
    assert "pidone.cli.operate.showing" in loaded
    ours = {name for name in loaded if name.startswith("pidone.cli.operate.")}
    shared = ("showing", "client", "patterns", "scarcity", "table", "suggestions")
    assert not ours - {f"pidone.cli.operate.{name}" for name in shared}
    assert not loaded & {"rich", "pydantic", "asyncio", "pidone.supervise", "pidone.init.bare.main"}


def test_health_and_starts_do_not_pay_for_click() -> None:
    """What runs every few seconds, and what PID 1 passes through."""
    for words in (["health", "--socket", "/nonexistent/socket"], ["start", "--help"], ["--version"]):
        assert not loaded_by(*words) & {"click", "h11", "argparse", "json"}
    asked = loaded_by("health")  # finds the socket by itself
    assert not {name for name in asked if name.startswith(("pidone.ecosystem", "pidone.supervise"))}


def test_every_command_refuses_what_it_does_not_know() -> None:
    """Help and usage errors of every command, in one process."""
    code = (
        "from pidone.cli.click_app import run\n"
        "from pidone.cli.registry import COMMANDS\n"
        "for name in COMMANDS:\n"
        "    assert run([name, '--help']) == 0, name\n"
        "    assert run([name, '--no-such-option']) == 64, name\n"
    )
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_explains_arguments_too() -> None:
    """With any version of click: before 8.5 it explains options only."""
    done = command("scale", "--help", env={})
    arguments = done.stdout.partition("\nArguments:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in arguments] == ["TARGET", "N|+N|-N|max"]
    assert all(len(line.split()) > 3 for line in arguments)
    assert "[default: 120" in done.stdout
