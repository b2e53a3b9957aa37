"""`pidone reload FILE` and `restart FILE`: a file is laid over what runs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from control.operated import Operated, command, operated

from pidone.init.exitcodes import ExitCode

APP = """
[[apps]]
name = "{name}"
script = "sh"
args = ["-c", 'echo "$0 X=$X Y=$Y Z=$Z"; exec sleep 1000', "{name}"]
ready_delay = 0
env = {{ X = "{x}" }}
env_prod = {{ Y = "prod" }}
"""


def app(name: str, x: str = "1") -> str:
    """An app that says what it sees."""
    return APP.format(name=name, x=x)


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Operated]:
    """Runs ecosystem.toml of a folder, with the apps a and b."""
    with operated(tmp_path, app("a") + app("b")) as running:
        yield running


def pids(it: Operated) -> dict[str, int]:
    """Of every app."""
    apps = it.ask("/api/apps").json["apps"]
    return {each["name"]: each["instances"][0]["pid"] for each in apps}


def write(it: Operated, text: str, name: str = "ecosystem.toml") -> str:
    """A file beside the one that runs, or that one."""
    file = Path(it.socket).with_name(name)
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize("verb", ["reload", "restart"])
def test_what_has_changed_in_the_file_counts(it: Operated, verb: str) -> None:
    """The changed app sees its new variables, the other one is acted on as asked, a new one starts."""
    before = pids(it)
    file = write(it, app("a", "2") + app("b") + app("c"))
    done = it.command(verb, file)
    assert done.returncode == 0, done.stderr
    it.run.expect(message="a X=2 Y= Z=")
    it.run.expect(message="c X=1 Y= Z=")
    after = pids(it)
    assert set(after) == {"a", "b", "c"}
    assert after["a"] != before["a"]
    assert after["b"] != before["b"]


def test_apps_that_the_file_does_not_name_stay(it: Operated) -> None:
    """Another file brings an app of its own and touches nobody."""
    before = pids(it)
    done = it.command("reload", write(it, app("c"), "other.toml"))
    assert done.returncode == 0, done.stderr
    after = pids(it)
    assert {name: after[name] for name in before} == before
    assert set(after) == {"a", "b", "c"}


def test_an_environment_and_a_choice(it: Operated) -> None:
    """`--env` lays env_NAME over the chosen app; the other one keeps its process."""
    before = pids(it)
    done = it.command("restart", write(it, app("a", "2") + app("b")), "--env", "prod", "--only", "b")
    assert done.returncode == 0, done.stderr
    it.run.expect(message="b X=1 Y=prod Z=")
    assert pids(it)["a"] == before["a"]


def test_the_variables_of_the_caller(it: Operated) -> None:
    """Only with --update-env, and the file's own win; with an app as target too."""
    file = write(it, app("a"))
    environ = {"PIDONE_SOCKET": it.socket, "Z": "shell", "X": "9"}
    assert command("reload", file, env=environ).returncode == 0
    assert not it.run.find(message="a X=1 Y= Z=shell")
    assert command("reload", file, "--update-env", env=environ).returncode == 0
    it.run.expect(message="a X=1 Y= Z=shell")
    assert command("restart", "b", "--update-env", env=environ).returncode == 0
    it.run.expect(message="b X=9 Y= Z=shell")


@pytest.mark.parametrize(
    ("text", "words", "code", "said"),
    [
        (app("a", "2") + "bogus\n", (), ExitCode.CONFIG, "new.toml:9:6: is not TOML"),
        (app("a", "2").replace("args", "argz"), (), ExitCode.CONFIG, 'new.toml:5: app "a": argz: '),
        (app("a", "2"), ("--only", "aa"), ExitCode.CONFIG, 'new.toml: --only "aa": there is no such app'),
        (None, (), os.EX_NOINPUT, "new.toml: no such file"),
    ],
    ids=["syntax", "key", "only", "missing"],
)
def test_a_wrong_file_changes_nothing(
    it: Operated, text: str | None, words: tuple[str, ...], code: int, said: str
) -> None:
    """A message with file, line and key; everybody's process stays."""
    before = pids(it)
    file = write(it, text, "new.toml") if text else str(Path(it.socket).with_name("new.toml"))
    done = it.command("reload", file, *words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert pids(it) == before


def test_a_new_version_that_does_not_come_up(it: Operated) -> None:
    """The command fails and says who it is."""
    broken = app("a", "2").replace("exec sleep 1000", "exit 3").replace("ready_delay = 0", "max_restarts = 1")
    done = it.command("restart", write(it, broken))
    assert done.returncode == 1
    assert "a:0 is errored" in done.stderr
    assert set(pids(it)) == {"a", "b"}


def test_a_scale_stays_and_the_files_own_number_counts(it: Operated) -> None:
    """Who was scaled by hand keeps that, until the file says another number."""
    assert it.command("scale", "a", "2").returncode == 0
    assert it.command("reload", write(it, app("a", "2"))).returncode == 0
    assert len(it.ask("/api/apps/a").json["apps"][0]["instances"]) == 2
    assert it.command("reload", write(it, app("a", "2") + "instances = 3\n")).returncode == 0
    assert len(it.ask("/api/apps/a").json["apps"][0]["instances"]) == 3


def test_options_for_files_are_for_files(it: Operated) -> None:
    """`--only` beside an app is a mistake."""
    done = it.command("reload", "a", "--only", "b")
    assert done.returncode == ExitCode.USAGE
    assert "for a FILE" in done.stderr
