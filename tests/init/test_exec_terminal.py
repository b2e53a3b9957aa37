"""A shell, a terminal, and an init in between: who has the foreground, and what ^Z, fg, bg and ^C do."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import DEADLINE_S, Running, alive, children, command_of, eventually, state
from init_harness import Terminal, exec_, ours, real, shell

EXEC = " ".join(exec_())
READ = "sh -c 'echo asking; read x; echo got:$x'"


def job(of: Terminal) -> int:
    """The init that the shell has started."""
    return eventually(lambda: children(of.run.pid), "a job of the shell")[-1]


INITS: dict[str, Callable[[], str]] = {
    "pidone exec": lambda: EXEC,
    "our tini": lambda: f"{ours('tini')} -s --",
    "tini": lambda: f"{real('tini')} -s --",
    "our dumb-init": lambda: f"{ours('dumb-init')} --",
    "dumb-init": lambda: f"{real('dumb-init')} --",
    "our dumb-init -c": lambda: f"{ours('dumb-init')} -c --",
    "dumb-init -c": lambda: f"{real('dumb-init')} -c --",
}


@pytest.mark.parametrize("init", INITS)
def test_the_command_of_a_session_leader_reads_the_terminal(init: str) -> None:
    """As in `docker run -it`: the init leads the session, and the command has the foreground."""
    with Terminal([*INITS[init]().split(), "sh", "-c", "echo asking; read x; echo got:$x"]) as terminal:
        terminal.expect("asking")
        terminal.type("hello\n")
        terminal.expect("got:hello")
        assert terminal.run.process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize("init", ["pidone exec", "our tini", "tini", "our dumb-init -c", "dumb-init -c"])
def test_the_command_of_a_job_reads_the_terminal(init: str) -> None:
    """Started from a shell with job control, the command can read, and ^C reaches it."""
    with shell() as terminal:
        terminal.type(f"{INITS[init]()} {READ}\n")
        terminal.expect("asking\r")
        terminal.type("hello\n")
        terminal.expect("got:hello")
        terminal.expect("$> ")
        terminal.type(f"{INITS[init]()} sh -c 'echo asking; exec cat'; echo code:$?.\n")
        terminal.expect("asking\r")
        terminal.type("\x03")
        terminal.expect("code:130.")


def test_suspend_and_resume() -> None:
    """^Z stops command and init, so that the shell comes back; fg continues both, terminal included."""
    with shell() as terminal:
        terminal.type(f"{EXEC} {READ}\n")
        terminal.expect("asking\r")
        init = job(terminal)
        (command,) = children(init)
        assert terminal.foreground() == command
        for _ in range(2):
            terminal.type("\x1a")
            terminal.expect("Stopped")
            terminal.expect("$> ")
            assert state(init) == state(command) == "T"
            terminal.type("fg\n")
            eventually(lambda: terminal.foreground() == command, "the command to get the foreground")
            eventually(lambda: state(init) + state(command) == "SS", "both to go on")
        terminal.type("hello\n")
        terminal.expect("got:hello")
        terminal.expect("$> ")


def test_in_the_background_the_foreground_is_not_taken(tmp_path: Path) -> None:
    """A command in the background that reads is stopped, the shell knows, and fg gives it the terminal."""
    with shell() as terminal:
        terminal.type(f"{EXEC} {READ} &\n")
        terminal.expect("asking\r")
        init = job(terminal)
        eventually(lambda: state(init) == "T", "the init to stop with its command")
        assert terminal.foreground() == terminal.run.pid
        terminal.type("jobs\n")
        terminal.expect("Stopped")
        terminal.type("fg\n")
        eventually(lambda: terminal.foreground() == children(init)[0], "the command to get the foreground")
        terminal.type("hello\n")
        terminal.expect("got:hello")


def test_a_running_job_brought_to_the_foreground_can_read(tmp_path: Path) -> None:
    """The shell does not continue a job that runs: the command gets the terminal when it asks for it."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with shell() as terminal:
        terminal.type(f"{EXEC} sh -c 'echo asking; read g < {gate}; read x; echo got:$x' &\n")
        terminal.expect("asking\r")  # on its way there it would take the foreground if its init had it
        init = job(terminal)
        terminal.type("fg\n")
        eventually(lambda: terminal.foreground() == init, "the job to be in the foreground")
        gate.write_text("go\n")
        eventually(lambda: terminal.foreground() == children(init)[0], "the command to get the foreground")
        terminal.type("hello\n")
        terminal.expect("got:hello")


def test_the_foreground_is_given_back() -> None:
    """A script without job control can go on reading after its init has ended."""
    with Terminal(["sh", "-c", f"{EXEC} {READ}; echo again; read x; echo more:$x"]) as terminal:
        terminal.expect("asking\r")
        terminal.type("one\n")
        terminal.expect("got:one")
        terminal.expect("again")
        assert terminal.foreground() == terminal.run.pid
        terminal.type("two\n")
        terminal.expect("more:two")


def test_a_stop_that_nobody_could_undo_is_undone(root: None) -> None:
    """As process 1 with a terminal, ^Z does not freeze the container."""
    argv = [
        *exec_(),
        "sh",
        "-c",
        'trap "echo continued" CONT; echo asking; while ! read x; do :; done; echo got:$x',
    ]
    with Terminal(argv, pid1=True) as terminal:
        terminal.expect("asking")
        terminal.type("\x1a")
        terminal.expect("continued")
        terminal.type("hello\n")
        terminal.expect("got:hello")
        assert terminal.run.process.wait(DEADLINE_S) == 0


def test_a_stop_that_was_sent_to_us_stays(root: None) -> None:
    """As process 1, a SIGTSTP from outside pauses the command until SIGCONT."""
    with Running([*exec_(), "sleep", "60"], pid1=True) as run:
        (command,) = eventually(lambda: children(run.pid), "the command")
        eventually(lambda: Path(f"/proc/{command}/comm").read_text() == "sleep\n", "the command to run")
        run.signal(signal.SIGTSTP)
        eventually(lambda: state(command) == "T", "the command to stop")
        run.signal(signal.SIGCONT)
        eventually(lambda: state(command) == "S", "the command to go on")


def test_sigtstp_to_the_init_of_a_job_stops_both() -> None:
    """`kill -TSTP` of the init is passed on, and the init follows its command."""
    with shell() as terminal:
        terminal.type(f"{EXEC} sh -c 'echo ready; exec sleep 60' &\n")
        terminal.expect("ready\r")
        init = job(terminal)
        (command,) = children(init)
        os.kill(init, signal.SIGTSTP)
        eventually(lambda: state(init) + state(command) == "TT", "both to stop")
        os.kill(init, signal.SIGCONT)
        eventually(lambda: state(init) + state(command) == "SS", "both to go on")
        assert terminal.foreground() == terminal.run.pid


def test_a_second_ctrl_c_kills_what_is_left() -> None:
    """The first ^C reaches the command alone; the second, while the others have their time, ends that."""
    stubborn = 'trap "" TERM INT; echo up; while :; do sleep 60 & wait $!; done'
    command = ["sh", "-c", f"setsid sh -c '{stubborn}' & exec sleep 60"]
    with Terminal([*exec_("-v", "-t", "60"), *command]) as terminal:
        terminal.expect("up\r")
        (child,) = children(terminal.run.pid)
        eventually(lambda: command_of(child) == "sleep 60", "the command to run")
        terminal.type("\x03")
        terminal.expect("left behind")
        terminal.type("\x03")
        terminal.expect("SIGKILL")
        assert terminal.run.process.wait(DEADLINE_S) == 128 + signal.SIGINT


def test_hanging_up_ends_the_command() -> None:
    """When the terminal goes away, SIGHUP reaches the command, and everybody ends."""
    terminal = Terminal([*exec_(), "sh", "-c", "echo ready; exec sleep 60"])
    with terminal.run:
        terminal.expect("ready")
        os.close(terminal.master)
        assert terminal.run.wait() == 128 + signal.SIGHUP
    assert not alive(terminal.run.pid)
