"""An exception in a callback of the real runtime: told while apps run, and a last stand later."""

import os
import signal
from pathlib import Path

import pytest
import raising
from harness import PIDONE, PYTHON, Running
from writing import ecosystem, shell

import pidone

pytestmark = pytest.mark.usefixtures("root")

POLITE = "trap 'echo heard TERM; exit 0' TERM; echo up; while :; do sleep 0.05; done"
DEAF = "trap '' TERM; echo up; while :; do sleep 0.05; done"
IN_A_TURN = "pidone.supervise.app:App.reconcile"
IN_A_TIMER = "pidone.supervise.features:Features._catch_up"
AT_AN_END = "pidone.supervise.features:Features.explain"
BY_A_READER = "pidone.supervise.run.session:Session._signals_arrived"


def runtime(folder: Path, callback: str, file: str) -> Running:
    """Process 1 of a PID namespace; its callback raises once when the file `flag` is there."""
    packages = str(Path(pidone.__file__).parents[1])
    told = [raising.__file__, callback, str(folder / "flag"), packages, f"{PIDONE}-direct"]
    return Running([PYTHON, "-I", "-S", "-X", "utf8", *told, file], pid1=True)


@pytest.mark.parametrize("callback", [IN_A_TURN, IN_A_TIMER, AT_AN_END, BY_A_READER])
def test_while_apps_run_it_is_told_and_the_app_is_looked_at_again(tmp_path: Path, callback: str) -> None:
    """One that was killed comes back whatever has failed then; the other one notices nothing."""
    flag = tmp_path / "flag"
    file = ecosystem(tmp_path, shell("api", POLITE), shell("other", POLITE))
    with runtime(tmp_path, callback, file) as run:
        run.expect(event="instance.online", count=2)
        run.expect(message="up", count=2)
        victim = run.find(event="instance.start", app="api")[0]["pid"]
        flag.touch()
        os.kill(inside(run, victim), signal.SIGKILL)
        told = run.expect(event="runtime.error")
        assert raising.MESSAGE in told["message"]
        assert "Traceback" in told["exc_info"]
        run.expect(event="instance.online", app="api", count=2)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert len(run.find(event="instance.start", app="other")) == 1
        assert len(run.find(message="heard TERM")) == 2


def inside(run: Running, pid: int) -> int:
    """The pid that a process of the namespace has outside of it."""
    for each in Path("/proc").glob("[0-9]*/status"):
        try:
            numbers = each.read_text().partition("NSpid:")[2].split("\n")[0].split()
        except OSError:
            continue
        if numbers[-1:] == [str(pid)] and len(numbers) > 1 and is_below(int(numbers[0]), run.pid):
            return int(numbers[0])
    raise AssertionError(f"nobody is {pid} inside")


def is_below(pid: int, root: int) -> bool:
    """Whether one process is a child of the other."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) == root


@pytest.mark.parametrize("callback", [IN_A_TURN, AT_AN_END, "pidone.supervise.features:Features.before_stop"])
def test_while_everything_stops_it_is_the_last_stand(tmp_path: Path, callback: str) -> None:
    """Everybody hears the signal, who does not is killed at the deadline, and the code is 70."""
    file = ecosystem(
        tmp_path,
        shell("api", POLITE, depends_on=["db"]),
        shell("db", POLITE),
        shell("deaf", DEAF, kill_timeout="300ms"),
    )
    with runtime(tmp_path, f"stopping {callback}", file) as run:
        run.expect(event="instance.online", count=3)
        run.expect(message="up", count=3)
        run.signal(signal.SIGTERM)
        assert run.wait() == 70
        (told,) = run.find(event="runtime.error")
        assert raising.MESSAGE in told["message"]
        assert {each["app"] for each in run.find(message="heard TERM")} == {"api", "db"}
        assert run.find(event="instance.exit", app="deaf")[-1]["signal"] == "SIGKILL"
        assert run.records[-1]["code"] == 70


def test_what_a_finalizer_raises_is_told_and_changes_nothing(tmp_path: Path) -> None:
    """Also in a stop: nobody is killed for it, and the interpreter writes no traceback of its own."""
    flag = tmp_path / "flag"
    file = ecosystem(tmp_path, shell("api", POLITE), shell("db", POLITE))
    with runtime(tmp_path, "lost pidone.supervise.features:Features.before_stop", file) as run:
        run.expect(event="instance.online", count=2)
        run.expect(message="up", count=2)
        flag.touch()
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        (told,) = run.find(event="runtime.error")
        assert raising.MESSAGE in told["message"]
        assert {each["app"] for each in run.find(message="heard TERM")} == {"api", "db"}
        assert run.err is not None
        assert "Traceback" not in run.err.text()
