"""Misspelt commands and targets."""

import json
from pathlib import Path

import pytest
from control.operated import operated
from harness import pidone

from pidone.cli.prepare.misspelt import refuse_misspelt
from pidone.errors import UsageError


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["lss"], "ls"),
        (["restrat", "api"], "restart"),
        (["chekc", "--json", "e.toml"], "check"),
        (["Exec"], "exec"),
    ],
)
def test_a_word_close_to_a_command_is_not_taken_for_a_script(
    words: list[str], meant: str, tmp_path: Path
) -> None:
    """The command is offered, with the exit code of a wrong command line."""
    with pidone(*words, cwd=tmp_path) as running:
        assert running.wait() == 64
        assert running.err is not None
        first = next(iter(running.err))
        assert first == f'pidone: {words[0]}: no such file or command; did you mean "pidone {meant}"?'


def test_files_and_programs_are_never_misspelt(tmp_path: Path) -> None:
    """Nor are words that no command is near to, paths and options."""
    (tmp_path / "lss").touch()
    program = tmp_path / "bin/chekc"
    program.parent.mkdir()
    program.touch(0o755)
    environ = {"PATH": str(program.parent)}
    for words in (["lss"], ["chekc"], ["server"], ["./restrat"], ["app.js"], ["--envv"], []):
        refuse_misspelt(words, str(tmp_path), environ)
    with pytest.raises(UsageError):
        refuse_misspelt(["chekc"], str(tmp_path), {"PATH": ""})


def test_of_several_targets_one_that_nobody_knows(tmp_path: Path) -> None:
    """Nothing happens to the others: the command fails as a whole, in whatever order they are named."""
    with operated(tmp_path) as it:
        before = _processes(it.command("ls", "--json").stdout)
        for verb in ("restart", "reload", "stop", "delete", "reset", "flush"):
            done = it.command(verb, "api", "nobody")
            assert (done.returncode, "there is no app 'nobody'" in done.stderr) == (66, True), done
        assert _processes(it.command("ls", "--json").stdout) == before


@pytest.mark.parametrize("words", [("api", "api"), ("all", "api"), ("/ap/", "api", "/a.i/"), ("api", "all")])
def test_a_target_that_is_named_twice_is_one(words: tuple[str, ...], tmp_path: Path) -> None:
    """The second `reload` of one command was refused, as the first was still under way."""
    with operated(tmp_path) as it:
        done = it.command("reload", *words)
        assert (done.returncode, "already" in done.stderr) == (0, False), done


def test_a_stopped_app_takes_a_number(tmp_path: Path) -> None:
    """That so many will run is what was asked for: no failure, though none of them runs yet."""
    with operated(tmp_path) as it:
        assert it.command("stop", "api").returncode == 0
        done = it.command("scale", "api", "3")
        assert (done.returncode, done.stderr) == (0, ""), done
        assert it.command("start", "api").returncode == 0
        assert it.app("api")["scale"] == 3


@pytest.mark.parametrize(
    "words", [("describe", ""), ("restart", ""), ("reload", "api", ""), ("scale", "", "2"), ("ls", "")]
)
def test_an_empty_target_is_nobody(words: tuple[str, ...], tmp_path: Path) -> None:
    """`pidone describe "$APP"` where APP is not set: neither all of them nor a bug."""
    with operated(tmp_path) as it:
        done = it.command(*words)
        assert (done.returncode, done.stdout) == (66, "")
        assert done.stderr == "pidone: the name of an app is empty: a variable that is not set?\n"


def _processes(listed: str) -> list[tuple[int, str]]:
    """Pid and state of every instance."""
    return [(each["pid"], each["state"]) for app in json.loads(listed)["apps"] for each in app["instances"]]
