"""`pidone smoke FILE`, as CI runs it."""

import json
import os
import signal
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from control.operated import command
from harness import DEADLINE_S, PIDONE, PYTHON, children, command_of, eventually, free_port, spawned, state


def smoke(folder: Path, checks: str, *words: str, script: str = "", port: int = 0) -> "tuple[int, str, str]":
    """Run it over a small web server."""
    script = script or f"-m http.server {port} --bind 127.0.0.1"
    args = json.dumps(script.split())
    (folder / "e.toml").write_text(
        f'[[apps]]\nname = "web"\nscript = "{PYTHON}"\nargs = {args}\ncwd = "{folder}"\n'
        f'kill_signal = "SIGINT"\nsuccess_exit_codes = [0, 130]\n'
        + (f'ready = {{ http = "http://127.0.0.1:{port}/" }}\nlisten_timeout = "1m"\n' if port else "")
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
        ('http = "http://127.0.0.1:{port}/nothing"', "status 404, expected 200 to 399"),
        ('http = "http://127.0.0.1:{port}/"\nstatus = 404', "got 200, expected 404"),
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


@pytest.mark.parametrize("check", ['http = "http://127.0.0.1:{port}/"', 'tcp = "127.0.0.1:{port}"'])
def test_what_does_not_listen_yet_is_asked_again(tmp_path: Path, check: str) -> None:
    """Not every app tells when it listens; on a busy machine it is counted as online before it does."""
    port = free_port()
    (tmp_path / "late.py").write_text(
        "import http.server, time\ntime.sleep(2.5)\n"
        f"http.server.test(http.server.SimpleHTTPRequestHandler, port={port}, bind='127.0.0.1')"
    )
    checks = '[[smoke]]\ntimeout = "1m"\n' + check.replace("{port}", str(port))
    code, out, err = smoke(tmp_path, 'listen_timeout = "1s"\n' + checks, script=f"{tmp_path}/late.py")
    assert code == 0, out + err


def test_what_never_listens_fails_when_the_time_of_the_check_is_up(tmp_path: Path) -> None:
    """With what was seen last."""
    checks = f'[[smoke]]\ntimeout = "300ms"\ntcp = "127.0.0.1:{free_port()}"'
    code, out, _ = smoke(tmp_path, checks, script="-c __import__('time').sleep(1000)")
    assert code == 1
    assert "Connection refused" in out


def test_an_app_that_is_given_up_is_not_waited_for(tmp_path: Path) -> None:
    """A crash loop ends the test as soon as the runtime has given up, and is told by name."""
    crashing = 'wait_ready = true\nlisten_timeout = "60s"\nmin_uptime = "60s"\nmax_restarts = 2\n'
    code, out, err = smoke(tmp_path, crashing, script="-c input()")
    assert code == 1
    assert "given up: web" in out
    assert "EOFError" in err


def test_the_timeout_bounds_it_all(tmp_path: Path) -> None:
    """What never gets ready is stopped when the time is up."""
    slow = 'wait_ready = true\nlisten_timeout = "60s"\n'
    code, out, _ = smoke(tmp_path, slow, "--timeout", "3", script="-m http.server 0")
    assert code == 1
    assert "not ready in time" in out


def test_a_check_that_hangs_leaves_nothing_behind(tmp_path: Path) -> None:
    """What it has started is killed with it."""
    port = free_port()
    checks = '[[smoke]]\nname = "stuck"\nexec = ["sh", "-c", "sleep 1000 & sleep 1000"]\ntimeout = "200ms"'
    code, out, _ = smoke(tmp_path, checks, port=port)
    assert code == 1
    assert "not within 0.2 s" in out
    orphans = children(os.getpid())  # they are ours now
    eventually(lambda: all(state(pid) == "Z" for pid in orphans), "them to be dead")
    for pid in orphans:
        os.waitpid(pid, 0)


def test_an_app_that_does_not_stop_is_killed_in_time(tmp_path: Path) -> None:
    """The time of everything bounds the stop as well, whatever the app's own time to stop is."""
    deaf = 'ready = "log:deaf"\nkill_timeout = "1h"\n[runtime]\nshutdown_timeout = "2h"\n'
    (tmp_path / "deaf.py").write_text(
        "import signal, time\nsignal.signal(2, 1)\nprint('deaf', flush=True)\nwhile True: time.sleep(9)"
    )
    code, out, _ = smoke(tmp_path, deaf, "--timeout", "6", script=f"{tmp_path}/deaf.py")
    assert code == 1
    assert "it did not stop in time" in out


def test_whoever_gives_up_on_it_leaves_no_runtime_behind(tmp_path: Path) -> None:
    """SIGTERM, as from a CI system that cancels, stops the ecosystem in order."""
    (tmp_path / "e.toml").write_text(
        '[[apps]]\nname = "x"\nscript = "/bin/sleep"\nargs = "1000"\nwait_ready = true\nlisten_timeout = "1h"'
    )
    with spawned([PIDONE, "smoke", str(tmp_path / "e.toml")], stderr=subprocess.DEVNULL) as run:
        [runtime] = eventually(lambda: children(run.pid))
        eventually(lambda: "/bin/sleep 1000" in map(command_of, children(runtime)), "the app, not its reader")
        os.kill(run.pid, signal.SIGTERM)
        assert run.wait(DEADLINE_S) == 128 + signal.SIGTERM


def test_the_report_is_xml_whatever_the_names_are(tmp_path: Path) -> None:
    """Control characters have no place in XML 1.0; a file that cannot be written is told and no traceback."""
    checks = '[[smoke]]\nname = "a \\u0007 <b> & \\u00fc"\nexec = ["/bin/false"]'
    smoke(tmp_path, checks, "--junit", str(tmp_path / "out.xml"), port=free_port())
    names = [case.get("name") for case in ET.parse(tmp_path / "out.xml").getroot()]
    assert names == ["ready", "a \\x07 <b> & ü", "stop"]
    code, _, err = smoke(tmp_path, "", "--junit", "/nowhere/out.xml", port=free_port())
    assert (code, err) == (1, "pidone: /nowhere/out.xml: No such file or directory\n")
