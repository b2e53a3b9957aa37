"""`pidone smoke FILE`, as CI runs it."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from control.operated import command
from harness import PYTHON, free_port


def smoke(folder: Path, checks: str, *words: str, script: str = "", port: int = 0) -> "tuple[int, str, str]":
    """Run it over a small web server."""
    script = script or f"-m http.server {port} --bind 127.0.0.1"
    args = json.dumps(script.split())
    (folder / "e.toml").write_text(
        f'[[apps]]\nname = "web"\nscript = "{PYTHON}"\nargs = {args}\ncwd = "{folder}"\n'
        f'kill_signal = "SIGINT"\nsuccess_exit_codes = [0, 130]\n'
        + (f'ready = {{ http = "http://127.0.0.1:{port}/" }}\n' if port else "")
        + checks
    )
    done = command("smoke", str(folder / "e.toml"), *words, env={"PIDONE_SOCKET": ""})
    return done.returncode, done.stdout, done.stderr


def test_everything_fine_is_0_and_one_table(tmp_path: Path) -> None:
    """Start, readiness, every kind of check and the stop each have a row."""
    (tmp_path / "index.html").write_text("hello")
    port = free_port()
    checks = f"""
    [[smoke]]
    http = "http://127.0.0.1:{port}/index.html"
    contains = "hello"
    [[smoke]]
    tcp = "127.0.0.1:{port}"
    [[smoke]]
    name = "command"
    exec = ["/bin/true"]
    """
    code, out, err = smoke(tmp_path, checks, port=port)
    assert code == 0, out + err
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        ["ok", "ready"],
        ["ok", "http"],
        ["ok", "tcp"],
        ["ok", "command"],
        ["ok", "stop"],
    ]


@pytest.mark.parametrize(
    ("check", "why"),
    [
        ('http = "http://127.0.0.1:{port}/nothing"', "status 404"),
        ('http = "http://127.0.0.1:{port}/"\ncontains = "absent"', "does not contain"),
        ('exec = ["/bin/false"]', "exit code 1"),
        ('exec = ["/bin/sleep", "100"]\ntimeout = "200ms"', "not within"),
    ],
)
def test_a_failed_check_is_1_and_in_the_xml(tmp_path: Path, check: str, why: str) -> None:
    """The JUnit file names the check and the reason; everything is stopped all the same."""
    port = free_port()
    checks = "\n[[smoke]]\n" + check.replace("{port}", str(port))
    code, _, _ = smoke(tmp_path, checks, "--junit", str(tmp_path / "out.xml"), port=port)
    assert code == 1
    suite = ET.parse(tmp_path / "out.xml").getroot()
    assert suite.get("failures") == "1"
    [failure] = suite.iter("failure")
    assert why in str(failure.get("message"))


def test_an_app_that_is_given_up_is_not_waited_for(tmp_path: Path) -> None:
    """A crash loop ends the test as soon as the runtime has given up, and is told by name."""
    code, out, err = smoke(tmp_path, 'wait_ready = true\nlisten_timeout = "60s"\n', script="-c input()")
    assert code == 1
    assert "given up: web" in out
    assert "EOFError" in err


def test_the_timeout_bounds_it_all(tmp_path: Path) -> None:
    """What never gets ready is stopped when the time is up."""
    slow = 'wait_ready = true\nlisten_timeout = "60s"\n'
    code, out, _ = smoke(tmp_path, slow, "--timeout", "3", script="-m http.server 0")
    assert code == 1
    assert "not ready in time" in out
