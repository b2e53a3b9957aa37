"""`pidone prove FILE`: bad habits are convicted, each for its reason, and a good server is acquitted."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from harness import DEADLINE_S, PIDONE, PYTHON, alive, children, eventually, free_port
from prove.proving import failures, prove, run

SAMPLES = Path(__file__).parent / "samples"


def server(port: int, habit: str = "", *, instances: int = 2, keys: str = 'share = "python"') -> str:
    """The keys of the sample."""
    args = json.dumps([str(port), *([habit] if habit else [])])
    script = f'script = "{SAMPLES / "server.py"}"\ninterpreter = "{PYTHON}"\n'
    more = f'instances = {instances}\nkill_timeout = "3s"\n{keys}\n'
    return f"{script}args = {args}\n{more}"


@pytest.mark.parametrize(
    ("habit", "keys", "trial", "why"),
    [
        ("ignores SIGTERM", 'share = "python"', "stop", "ignores SIGTERM"),
        ("ends at once", 'share = "python"', "reload", "in progress were cut"),
        ("answers 503", 'share = "python"', "reload", "had been told to end"),
        ("cuts each tenth", 'share = "python"', "start", "though nothing was done, ended before"),
        ("binds late", 'share = "none"', "start", "binds its port late"),
        ("keeps its log", 'share = "python"', "log", "answered requests are not in the log"),
        ("leaves a child", 'share = "python"', "reload", "ends before its children"),
        ("", 'share = "none"', "reload", "binds its port itself"),
        ("ready too early", 'share = "python"', "reload", "it says so before it can work"),
    ],
    ids=lambda value: value or "binds for itself",
)
def test_a_bad_habit_is_convicted(habit: str, keys: str, trial: str, why: str, tmp_path: Path) -> None:
    """Each by name, with a cure, and with exit code 1."""
    instances = 1 if "none" in keys else 2
    chosen = trial if trial in ("reload", "kill -9") else "recycling"
    app = server(free_port(), habit, instances=instances, keys=keys)
    code, report = prove(tmp_path, app, "--trial", chosen)
    assert code == 1
    assert why in failures(report)[trial], report
    wrong = [each for step in report["steps"] for each in step["findings"] if why in each["what"]]
    assert wrong
    assert all(each["cure"] for each in wrong)


def test_a_server_that_binds_twice_is_told_so(tmp_path: Path) -> None:
    """The reason is told instead of "given up", whether it counted as ready for a moment or not."""
    app = server(free_port(), keys='share = "none"\nmax_restarts = 2')
    code, report = prove(tmp_path, app, "--trial", "kill -9")
    assert code == 1
    assert "binds the same port itself" in str(failures(report))


def test_who_waits_for_clients_is_told_so(tmp_path: Path) -> None:
    """Not that it ignores SIGTERM. On a machine that is too busy its clients are too slow to hold it up."""
    app = server(free_port(), "waits for clients", instances=1, keys='share = "none"')
    _, report = prove(tmp_path, app, "--trial", "standstill")
    (stop,) = (step for step in report["steps"] if step["name"] == "stop")
    assert "it hears SIGTERM" in str(stop["findings"])
    assert "had to be killed after" in str(stop["findings"])
    assert "ignores" not in str(stop["findings"])


def test_what_a_killed_process_leaves_is_in_the_way_of_the_next(tmp_path: Path) -> None:
    """A lock that only an orderly end removes; here not even that."""
    keys = 'share = "none"\nmax_restarts = 2\nready_delay = "5s"'  # it fails before, however slow
    app = server(free_port(), "leaves a lock", instances=1, keys=keys)
    code, report = prove(tmp_path, app, "--trial", "kill -9")
    assert code == 1
    assert "does not start again after kill -9" in failures(report)["kill -9"]
    assert "File exists" in failures(report)["kill -9"]


def test_a_good_server_is_acquitted(tmp_path: Path) -> None:
    """Nothing is found, every trial was made, and nothing is left behind."""
    code, report = prove(tmp_path, server(free_port()))
    assert failures(report) == {}
    assert code == 0
    assert [step["name"] for step in report["steps"]] == [
        *("start", "reload", "kill -9", "standstill", "recycling", "blocked stdout", "broken version"),
        *("stop", "log", "second start", "second SIGTERM", "left behind"),
    ]
    assert not [step for step in report["steps"] if step["result"] == "skipped"]
    assert sum(step["clients"]["requests"] for step in report["steps"] if step["clients"]) > 100


def test_a_url_is_asked_instead(tmp_path: Path) -> None:
    """And one that is not on this machine is refused before anything is started."""
    port = free_port()
    (tmp_path / "e.toml").write_text(f'[[apps]]\nname = "web"\n{server(port)}')
    done = run(tmp_path, "--url", "http://192.0.2.1/")
    assert done.returncode == 64
    assert "--url http://192.0.2.1/" in done.stderr


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_some_time_is_needed(seconds: str, tmp_path: Path) -> None:
    """And it ends."""
    (tmp_path / "e.toml").write_text(f'[[apps]]\nname = "web"\n{server(free_port())}')
    done = run(tmp_path, "--timeout", seconds)
    assert done.returncode == 64
    assert "seconds are needed, more than 0" in done.stderr


def test_a_file_that_is_refused_is_told_as_by_start(tmp_path: Path) -> None:
    """With its line; and a report that cannot be written before anything is tried."""
    (tmp_path / "e.toml").write_text('[[apps]]\nname = "web"\nscritp = "x"\n')
    done = run(tmp_path)
    assert done.returncode == 78
    assert "e.toml:3" in done.stderr
    assert not done.stdout
    done = run(tmp_path, "--junit", str(tmp_path / "none" / "report.xml"))
    assert done.returncode == 1
    assert "report.xml: No such file or directory" in done.stderr


def test_a_port_that_another_program_has_is_told_so(tmp_path: Path) -> None:
    """By its name; and the log is kept."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        app = server(port, instances=1, keys='share = "none"\nmax_restarts = 1\nready_delay = "60s"')
        (tmp_path / "e.toml").write_text(f'[[apps]]\nname = "web"\n{app}')
        done = run(tmp_path, "--log", str(tmp_path / "log"))
    assert done.returncode == 1
    assert (
        f"its port is taken by another program ({Path('/proc/self/comm').read_text().strip()}, pid"
        in done.stdout
    )
    assert "already in use" in (tmp_path / "log").read_text()


def test_time_that_is_up_leaves_trials_out_and_nothing_behind(tmp_path: Path) -> None:
    """What was not tried is said; JUnit has every trial."""
    (tmp_path / "e.toml").write_text(f'[[apps]]\nname = "web"\n{server(free_port())}')
    path = tmp_path / "report.xml"
    done = run(tmp_path, "--timeout", "20", "--junit", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no time left" in done.stdout
    suite = ET.parse(path).getroot()
    assert suite.get("failures") == "0"
    assert int(suite.get("skipped", 0)) == len(suite.findall("testcase/skipped")) > 0
    assert "web: reload" in [case.get("name") for case in suite]


def test_given_up_by_a_ci_system_it_leaves_nobody(tmp_path: Path) -> None:
    """SIGTERM in the middle of it."""
    (tmp_path / "e.toml").write_text(f'[[apps]]\nname = "web"\n{server(free_port())}')
    process = subprocess.Popen([PIDONE, "prove", str(tmp_path / "e.toml")], stdout=subprocess.DEVNULL)
    eventually(lambda: [one for each in children(process.pid) for one in children(each)], "the apps")
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 128 + signal.SIGTERM
    assert not children(process.pid)


def test_killed_it_leaves_nobody_either(tmp_path: Path) -> None:
    """SIGKILL: the runtime hears of it, and ends its apps in order."""
    (tmp_path / "e.toml").write_text(f'[[apps]]\nname = "web"\n{server(free_port())}')
    process = subprocess.Popen([PIDONE, "prove", str(tmp_path / "e.toml")], stdout=subprocess.DEVNULL)
    apps = eventually(lambda: [one for each in children(process.pid) for one in children(each)], "the apps")
    [runtime] = children(process.pid)
    process.kill()
    process.wait(DEADLINE_S)
    eventually(lambda: os.waitpid(runtime, os.WNOHANG)[0], "the runtime, ours now, to end")
    assert not any(map(alive, apps))


def test_an_app_without_a_port_is_tried_as_well(tmp_path: Path) -> None:
    """A worker has no clients, but has to end, to start again, and to leave nobody."""
    (tmp_path / "worker.py").write_text("import signal\nsignal.pause()\n")
    code, report = prove(tmp_path, f'script = "worker.py"\ninterpreter = "{sys.executable}"\n')
    assert code == 0, report
    assert {"reload", "kill -9", "second SIGTERM"} <= {step["name"] for step in report["steps"]}
