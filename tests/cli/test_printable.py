"""What apps say reaches the operator's terminal as text, and does nothing there."""

import json
import os
import pty
import re
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.screen import read_until
from control.operated import Operated
from harness import DEADLINE_S, PIDONE, PYTHON, eventually, pidone, spawned

from pidone.cli.operate.table import harmless

_EVIL = "\x1b[2K\r\x1b]0;owned\x07\x9b31m\u202eforged"
_APP = f"""
import os, socket, sys, time
evil = {_EVIL!r}
channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
channel.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
channel.send(("READY=1\\nSTATUS=busy " + evil).encode())
kept = open(sys.argv[1] + "/" + evil.replace("/", ""), "w")
print("\\x1b[32mgreen\\x1b[0m and " + evil, flush=True)
print("red \\x1b[31mfor ever", flush=True)
time.sleep(1000)
"""
_OURS = re.compile(r"\x1b\[[0-9;]*m")
"""Colours."""


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """An app that says what a terminal would obey, in a log of text."""
    folder = tmp_path_factory.mktemp("evil")
    (folder / "app.py").write_text(_APP)
    ecosystem = f"""
    [[apps]]
    name = "evil"
    script = "{PYTHON}"
    args = ["{folder}/app.py", "{folder}"]
    ready = "notify"
    env = {{ NAME = "first\\nSECOND=forged\\u001b[2J" }}
    """
    (folder / "ecosystem.toml").write_text(ecosystem)
    path = str(folder / "control.sock")
    with pidone("--socket", path, "--log-format", "text", str(folder / "ecosystem.toml")) as run:
        assert run.out is not None
        said = run.out
        eventually(lambda: "answering at" in said.text(), "the socket to be listened at")
        it = Operated(run, path, 0)
        eventually(lambda: it.ask("/readyz").status == 200)
        eventually(lambda: b"for ever" in it.ask("/api/logs?app=evil").body, "its last line")
        yield it
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


@pytest.fixture(autouse=True)
def no_process_left_behind() -> None:
    """The shared runtime outlives the tests here; its own `with` block leaves nothing."""


def is_harmless(text: str) -> bool:
    """Nothing but lines and colours."""
    return all(each.isprintable() or each in "\n\t" for each in _OURS.sub("", text))


WORDS = [
    *(("ls",), ("describe", "evil"), ("describe", "evil", "--live"), ("env", "evil"), ("logs",)),
    *(("prettylist",), ("logs", "evil", "--err"), ("restart", "nobody\x1b[2J"), ("health",)),
]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_no_output_obeys_an_app(evil: Operated, words: tuple[str, ...]) -> None:
    """On a pipe, as `docker exec` without -t has it."""
    done = evil.command(*words)
    said = done.stdout + done.stderr
    assert is_harmless(said)


def test_what_it_says_can_be_read(evil: Operated) -> None:
    """In one line, as `cat -v` shows it."""
    described = evil.command("describe", "evil", "--live").stdout
    assert "busy ^[[2K" in described
    assert "<U+202E>forged" in described
    assert "NAME=first^JSECOND=forged^[[2J" in evil.command("env", "evil").stdout
    assert "\\u001b[32mgreen\\u001b[0m and \\u001b[2K" in evil.command("logs", "evil").stdout


def test_colours_stay_on_a_terminal_and_end_with_the_line(evil: Operated) -> None:
    """Everything else is shown as text there too."""
    main, other = pty.openpty()
    environ = {**os.environ, "PIDONE_SOCKET": evil.socket, "TERM": "xterm"}
    environ.pop("NO_COLOR", None)
    with spawned([PIDONE, "logs", "evil"], stdout=other, env=environ) as process:
        os.close(other)
        said = read_until(main, b"for ever").decode()
        process.wait(DEADLINE_S)
    os.close(main)
    assert "\x1b[32mgreen\x1b[0m and ^[[2K" in said
    assert "\x1b[31mfor ever" in said
    assert is_harmless(said.replace("\r\n", "\n"))


def test_values_are_made_harmless_with_all_that_is_in_them() -> None:
    """Names too; what is no string stays."""
    assert harmless({"a\n": ["\x1b", 1, None, {"b": ["\r"]}]}) == {"a^J": ["^[", 1, None, {"b": ["^M"]}]}


@pytest.mark.parametrize("words", [["check"], ["check", "--json"], ["convert"], ["convert", "--json"], []])
def test_a_file_of_a_stranger(words: list[str], tmp_path: Path) -> None:
    """Neither what it holds nor how it is called does anything to the terminal of who looks at it."""
    app = {"script": "/bin/true", "args": [_EVIL], "namespace": _EVIL, "env": {"V": _EVIL}, "cwd": "/"}
    for name, more in (("good", {}), (_EVIL.replace("/", ""), {"kill_timeout": "x"}), (f"gone{_EVIL}", None)):
        if more is not None:
            (tmp_path / f"{name}.json").write_text(json.dumps({"apps": [{**app, **more}], "x": 1}))
        if words or more != {}:  # else it would be started
            told = subprocess.run(
                [PIDONE, *words, tmp_path / f"{name}.json"], capture_output=True, text=True, check=False
            )
            shown = [char for char in told.stdout + told.stderr if not char.isprintable() and char != "\n"]
            assert not shown, told
            if "--json" in words and more == {}:
                assert json.loads(told.stdout)["apps"][0]["args"] == [_EVIL]
            if words == ["convert"] and more == {}:
                assert tomllib.loads(told.stdout)["apps"][0]["args"] == [_EVIL]


@pytest.mark.parametrize(
    "words", [["init", "{}"], ["schema", "{}"], ["health", "{}"], ["ls", "--socket", "{}"]]
)
def test_words_of_the_command_line_itself(words: list[str], tmp_path: Path) -> None:
    """A pattern of the shell may have put a stranger's file name there."""
    named = [word.format(tmp_path / _EVIL.replace("/", "")) for word in words]
    told = subprocess.run([PIDONE, *named], capture_output=True, text=True, check=False)
    assert told.returncode != 0
    assert not [char for char in told.stdout + told.stderr if not char.isprintable() and char != "\n"], told
