"""Wrong command lines of the kind people type, each with its message and exit code."""

import os
from pathlib import Path

import pytest
from harness import pidone

APP = '[[apps]]\nname = "a"\nscript = "/bin/sleep"\nargs = ["1000"]\n'
TABLE = [
    ("chekc e.toml", 64, 'pidone: chekc: no such file or command; did you mean "pidone check"?'),
    ("--socket /nope ls", 64, "pidone: ls: a command comes before its options: pidone ls --socket ..."),
    ("help nope", 64, "pidone: No such command 'nope'."),
    ("start e.toml --envv prod", 64, "pidone: unknown option --envv: did you mean --env?"),
    ("e.toml --name", 64, "pidone: --name needs a value"),
    ("start --only a", 64, "pidone: no FILE, SCRIPT or COMMAND"),
    (
        "start --instances many e.toml",
        78,
        'pidone: e.toml:1: app "a": --instances = "many": expected a number',
    ),
    (
        "e.toml --admin 99999",
        78,
        'pidone: e.toml: runtime: --admin = "99999": expected a port from 0 to 65535',
    ),
    ("--log-level loud e.toml", 78, 'pidone: e.toml: runtime: --log-level = "loud": expected "debug" or'),
    ("start e.toml nope.toml", 78, "pidone: nope.toml: No such file or directory"),
    ("./nope.sh", 78, 'pidone: command line: app #1: script = "./nope.sh": not found in'),
    ("./empty", 78, 'pidone: command line: app #1: script = "./empty": is a folder without package.json'),
    (
        "start e.toml https://example.com/e.toml",
        78,
        "pidone: https:/example.com/e.toml: No such file or directory; files are read, and no URLs",
    ),
    ("check nope.toml", 1, "error: nope.toml: No such file or directory"),
    ("check empty", 1, "error: empty: is a directory without an ecosystem file in it"),
    ("check loop.toml", 1, "error: loop.toml: Too many levels of symbolic links"),
    ("check /dev/null", 1, "error: /dev/null: is empty; an ecosystem is an object with apps:"),
    ("check -", 1, "error: <stdin>: is empty; an ecosystem is an object with apps:"),
    ("check --only b e.toml", 1, 'error: e.toml: --only "b": there is no such app'),
    ("check --jsn e.toml", 64, "pidone: check: No such option '--jsn'."),
    ("convert nope", 78, "error: nope: No such file or directory"),
    (
        "convert e.toml -o /nonexistent/x.toml",
        78,
        "pidone convert: /nonexistent/x.toml: No such file or directory",
    ),
    ("init " + "x" * 300, 78, "pidone init: " + "x" * 300),
    ("init --frce", 64, "pidone: init: No such option '--frce'."),
    ("exec", 64, "pidone exec: no command given"),
    ("exec -- nope", 127, "pidone exec: nope: command not found"),
    ("exec -t abc ls", 64, "pidone exec: 'abc' is not a number of seconds"),
    ("exec -r FOO:BAR ls", 64, "pidone exec: unknown signal 'FOO'"),
    ("ls --foo", 64, "pidone: ls: No such option '--foo'."),
    ("scale a", 64, "pidone: scale: Missing argument"),
    ("reload a --socket none.sock", 69, "pidone: no"),
    ("smoke e.toml --timeout abc", 64, "pidone: smoke: Invalid value for '--timeout'"),
]


@pytest.mark.parametrize(("line", "code", "message"), TABLE, ids=[line for line, _, _ in TABLE])
def test_a_wrong_line_has_a_message(line: str, code: int, message: str, tmp_path: Path) -> None:
    """One that says what is wrong with what was typed; nothing is started, nothing is waited for."""
    (tmp_path / "e.toml").write_text(APP)
    (tmp_path / "empty").mkdir()
    os.symlink("loop.toml", tmp_path / "loop.toml")
    with pidone(*line.split(), cwd=tmp_path) as running:
        assert running.wait() == code
        assert running.err is not None
        told = [*running.err, *(running.out or ())]
        assert any(each.startswith(message) for each in told), told
