"""`pidone check`."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from harness import PIDONE, pidone

from pidone.cli.click_app import run as run_command


def run(words: list[str]) -> int:
    """`pidone check`, in this process."""
    return run_command(["check", *words])


GOOD = """
[[apps]]
name = "api"
script = "/bin/true"
instances = 2
kill_timeout = "5s"
max_memory_restart = "1G"
env = { PORT = 3000, DB_PASSWORD = "hunter2", URL = "redis://u:hunter2@h/0" }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "e.toml"
    path.write_text(GOOD)
    return path


def test_json_has_canonical_keys_and_resolved_values(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seconds, bytes and lists, whatever the file wrote; secrets are masked."""
    assert run([str(file), "--json"]) == 0
    (app,) = json.loads(capsys.readouterr().out)["apps"]
    assert (app["name"], app["instances"], app["kill_timeout"]) == ("api", 2, 5.0)
    assert (app["max_memory_restart"], app["kill_signal"]) == (2**30, "SIGTERM")
    assert app["env"] == {"PORT": "3000", "DB_PASSWORD": "***", "URL": "redis://***@h/0"}


@pytest.mark.parametrize("length", [300, 5000])
def test_a_path_may_be_too_long(tmp_path: Path, length: int, capsys: pytest.CaptureFixture[str]) -> None:
    """It is a wrong value, no fault of ours; the message does not repeat all of it."""
    file = tmp_path / "e.toml"
    file.write_text('[[apps]]\nname = "a"\nscript = "/bin/true"\ncwd = "' + "x" * length + '"\n')
    assert run([str(file)]) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f'error: {file}:4: app "a": cwd = "xxx')
    assert told.endswith("cannot be used: File name too long")


@pytest.mark.parametrize(
    "text",
    [
        '{{"apps": [{{"script": "{}"}}]}}',
        '{{"apps": [{{"script": "sleep", "interpreter": "{}"}}]}}',
        '{{"apps": [{{"script": "{} 5"}}]}}',
        '{{"apps": [{{"script": "npm", "args": "start", "cwd": "{}"}}]}}',
        '{{"apps": [{{"script": "sleep", "args": "1"}}], "static": {{"path": "{}", "port": 8080}}}}',
    ],
)
@pytest.mark.parametrize("place", ["out of reach", "too long"])
def test_a_file_that_nobody_can_look_for(text: str, place: str, tmp_path: Path) -> None:
    """In a folder that may not be entered, or with a name that none can have: told with its line."""
    (folder := tmp_path / "closed").mkdir(mode=0)
    file = tmp_path / "e.json"
    file.write_text("\n" + text.format(folder / "a.js" if place == "out of reach" else "9" * 300))
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"] if os.geteuid() == 0 else []
    told = subprocess.run([*bound, PIDONE, "check", file], capture_output=True, text=True, check=False).stderr
    assert told.startswith((f"error: {file}:2: ", f"warning: {file}:2: ")), told


def test_the_table_names_the_file_of_each_value(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of several, with what one takes back; a mask is written as people write it."""
    over = tmp_path / "over.json"
    taken = {"name": "api", "max_memory_restart": None, "umask": "022", "env": {"PORT": None, "B": "1"}}
    over.write_text(json.dumps({"apps": [taken]}))
    assert run([str(file), str(over)]) == 0
    out = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert f"umask 022 ({over})" in lines
    assert f"instances 2 ({file})" in lines
    assert f"env B 1 ({over})" in lines
    assert "max_memory_restart" not in out


def test_the_table_names_what_is_not_the_default(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Readable, and without secrets."""
    assert run([str(file)]) == 0
    out = capsys.readouterr().out
    assert "kill_timeout" in out
    assert "hunter2" not in out
    assert "min_uptime" not in out


def test_what_would_not_start_is_code_1(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All errors, one line each."""
    file.write_text(GOOD.replace("= 2", '= "many"').replace("/bin/true", "/bin/nope"))
    assert run([str(file)]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert all(line.startswith(f"error: {file}:") for line in errors)


def test_strict_makes_warnings_errors(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bare small duration is a warning."""
    file.write_text(GOOD.replace('"5s"', "30").replace('max_memory_restart = "1G"', ""))
    assert (run([str(file)]), run([str(file), "--strict"])) == (0, 1)
    assert "warning: " in capsys.readouterr().err


def test_javascript_sees_the_command_line_of_a_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that looks for --env in process.argv means the same when it is checked."""
    file = tmp_path / "e.config.js"
    file.write_text("module.exports = {apps: [{script: '/bin/true', args: process.argv.slice(2)}]}")
    assert run([str(file), "--json", "--env", "production"]) == 0
    (app,) = json.loads(capsys.readouterr().out)["apps"]
    assert app["args"] == ["start", str(file), "--env", "production"]


def test_the_command_checks_without_starting_anything(file: Path, tmp_path: Path) -> None:
    """From outside: the table on stdout, what is wrong on stderr, the code."""
    started = tmp_path / "started"
    file.write_text(f"[[apps]]\nname = 'toucher'\nscript = 'touch {started}'\n")
    with pidone("check", str(file)) as check:
        assert check.wait() == 0
        assert check.out is not None
        assert check.out.text().startswith("toucher  [fork x1]")
    assert not started.exists()


def test_a_value_of_two_lines_takes_one(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table stays one, and no value forges a line of it."""
    file.write_text(GOOD.replace("PORT = 3000", 'PORT = "1\\n    env FORGED 1"'))
    assert run([str(file)]) == 0
    out = capsys.readouterr().out
    assert "\\n    env FORGED 1" in out
    assert not any(line.startswith("    env FORGED") for line in out.splitlines())
