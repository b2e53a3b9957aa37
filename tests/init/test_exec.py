"""`pidone exec`, from outside: signals in, exit codes out, and what the command finds."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import DEADLINE_S, PYTHON, Running, alive, children, eventually, spawned, state
from init_harness import (
    ECHO,
    FORWARDABLE,
    close_stdin,
    exec_,
    inheriting,
    only_child,
    outcome,
    seen_for,
    signal_sets,
    started,
)

JOB_CONTROL = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


@pytest.fixture(scope="module", params=["group", "single-child"])
def echo(request: pytest.FixtureRequest) -> Iterator[Running]:
    """An init whose command tells every signal it gets."""
    with started([*exec_(f"--{request.param}"), *ECHO]) as run:
        yield run


@pytest.mark.parametrize("number", [n for n in FORWARDABLE if n not in (signal.SIGCHLD, signal.SIGRTMAX)])
def test_every_signal_is_forwarded(echo: Running, number: int) -> None:
    """Whatever is sent to the init, the command gets, and nothing else."""
    assert seen_for(echo, number) == [number]


def test_sigchld_is_not_forwarded(echo: Running) -> None:
    """It is about the children of the init."""
    assert seen_for(echo, signal.SIGCHLD) == []


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        *((f"kill -{n} $$", 128 + n) for n in (1, 2, 3, 6, 9, 10, 11, 13, 14, 15, 25, 31, 34, 64)),
    ],
)
def test_exit_codes(script: str, code: int) -> None:
    """The command's own code, or 128 + n if signal n ended it."""
    assert outcome([*exec_(), "sh", "-c", f"ulimit -c 0; {script}"]) == (code, "", "")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--map-exit", "143"], 0),
        (["--map-exit", "143:7"], 7),
        (["-e", "143:7", "-e", "7:9"], 7),
        (["-e", "7", "-e143:1"], 1),
        (["-e", "15"], 143),
    ],
)
def test_mapped_exit_codes(options: list[str], code: int) -> None:
    """A code becomes 0 or another one, once."""
    assert outcome([*exec_(*options), "sh", "-c", "kill -TERM $$"])[0] == code


def test_a_failed_exec_is_mapped_once() -> None:
    """The code of a command that could not be executed is a code like any other."""
    assert outcome([*exec_("-e", "127:5", "-e", "5:6"), "no-such-program"])[0] == 5


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("no-such-program", 127, "no-such-program: command not found"),
        ("/nonexistent/program", 127, "/nonexistent/program: command not found"),
        ("/etc/passwd/x", 127, "/etc/passwd/x: command not found"),
        ("", 127, ": command not found"),
        ("/etc/passwd", 126, "/etc/passwd: Permission denied"),
        ("/etc", 126, "/etc: Permission denied"),
    ],
)
def test_a_command_that_cannot_be_executed(command: str, code: int, message: str) -> None:
    """127 if it is not there, 126 if it is; one line on stderr says why."""
    assert outcome([*exec_(), command]) == (code, "", f"pidone exec: {message}")


def test_the_path_is_searched_as_the_shell_does(tmp_path: Path) -> None:
    """A file that may not be executed does not end the search, but decides the error; text goes to sh."""
    denied, script = tmp_path / "a" / "tool", tmp_path / "b" / "tool"
    for file in (denied, script):
        file.parent.mkdir()
        file.write_text("echo from-script $1")
    env = {"PATH": f"{denied.parent}:/nonexistent:{script.parent}:{os.environ['PATH']}"}
    assert outcome([*exec_(), "tool", "x"], env)[0] == 126
    script.chmod(0o755)
    assert outcome([*exec_(), "tool", "x"], env) == (0, "from-script x", "")


def test_the_command_starts_with_clean_signals() -> None:
    """Nothing is ignored and nothing blocked, whatever the init inherited, and it leads its own group."""
    argv = [*exec_(), "sleep", "60"]
    hostile = inheriting(ignored=[1, 2, 13, 15, 17, 21, 22, 25, 40], blocked=[10, 15, 17, 34])
    with Running(argv, preexec_fn=hostile) as run:
        child = only_child(run)
        assert signal_sets(child) == {"SigBlk": set(), "SigIgn": set()}
        assert os.getpgid(child) == child
        assert os.getsid(child) == os.getsid(run.pid)


def test_ignored_signals_are_forwarded_all_the_same() -> None:
    """An init started by nohup still passes SIGHUP on."""
    with started([*exec_(), *ECHO], preexec_fn=inheriting(ignored=FORWARDABLE)) as run:
        assert seen_for(run, signal.SIGHUP) == [signal.SIGHUP]


@pytest.mark.parametrize("pid1", [False, True])
def test_sigchld_inherited_as_ignored_does_not_hang(root: None, *, pid1: bool) -> None:
    """Else the kernel would bury the command without telling anybody."""
    with Running(
        [*exec_(), "sh", "-c", "exit 6"], preexec_fn=inheriting(ignored=[signal.SIGCHLD]), pid1=pid1
    ) as run:
        assert run.wait() == 6


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        (["--rewrite", "TERM:QUIT"], {15: [3], 3: [3], 1: [1]}),
        (["-r", "SIGUSR1:none", "-r", "USR2:0"], {10: [], 12: [], 15: [15]}),
        (["-r", "HUP:RTMIN+2", "-r", "RTMIN+2:HUP"], {1: [36], 36: [1]}),
        (["-r", "TSTP:USR1"], {20: [10]}),
    ],
)
def test_rewriting(options: list[str], seen: dict[int, list[int]]) -> None:
    """One signal becomes another, or nothing; names and numbers alike."""
    with started([*exec_(*options), *ECHO]) as run:
        assert {number: seen_for(run, number) for number in seen} == seen


@pytest.mark.parametrize(("option", "reached"), [("--group", True), ("--single-child", False), ("-v", False)])
def test_the_group_or_the_command_alone(option: str, *, reached: bool) -> None:
    """By default only the command gets the signal, with --group all of its group."""
    script = 'trap "echo told \\$!" USR1; "$@" & wait; wait; wait'  # before anybody can say `ready`
    with started([*exec_(option), "sh", "-c", script, "sh", *ECHO]) as run:
        run.signal(signal.SIGUSR1)
        grandchild = int(run.expect_line("told").split()[1])
        os.kill(grandchild, signal.SIGUSR2)
        assert run.out is not None
        out = run.out
        eventually(lambda: "12" in list(out), "the grandchild's answer")
        assert ("10" in list(out)) is reached


def test_a_signal_before_the_command_has_its_group_is_not_lost() -> None:
    """From the first moment on signals wait; none is dropped between fork and exec."""
    for _ in range(5):
        with Running([*exec_(), "sleep", "60"]) as run:
            eventually(lambda pid=run.pid: _holds_signals(pid), "signals to be blocked")  # type: ignore[misc]
            run.signal(signal.SIGTERM)
            assert run.wait() == 143


def _holds_signals(pid: int) -> bool:
    # While sigwaitinfo() sleeps the kernel shows its signals as not blocked; by then there is a child.
    return signal.SIGTERM in signal_sets(pid)["SigBlk"] or bool(children(pid))


@pytest.mark.parametrize("pid1", [True, False])
def test_orphans_are_buried(tmp_path: Path, root: None, *, pid1: bool) -> None:
    """As process 1 and as a subreaper, adopted processes do not stay zombies."""
    # They end only once they are orphans: a shell buries a background job that ends before the shell does.
    wait = f"until test -e {tmp_path}/gate; do sleep 0.02; done"
    script = f"(sh -c '{wait}; exit 3' & sh -c '{wait}; kill -9 $$' &) ; echo orphaned; cat"
    with Running([*exec_("-v"), "sh", "-c", script], pid1=pid1, stdin=subprocess.PIPE) as run:
        run.expect_line("orphaned")
        (tmp_path / "gate").touch()
        assert run.err is not None
        err = run.err
        eventually(lambda: err.text().count("buried orphan") == 2, "two burials")
        close_stdin(run)
        assert run.wait() == 0


def test_without_subreaper_orphans_go_elsewhere() -> None:
    """--no-subreaper leaves orphans to whoever adopts them."""
    script = "(sleep 60 & echo $!); echo orphaned; cat"
    for option, adopter_is_init in (("--no-subreaper", False), ("--subreaper", True)):
        with Running([*exec_(option), "sh", "-c", script], stdin=subprocess.PIPE) as run:
            orphan = int(run.expect_line(""))
            run.expect_line("orphaned")
            parent = int(Path(f"/proc/{orphan}/stat").read_text().rpartition(")")[2].split()[1])
            assert (parent == run.pid) is adopter_is_init
            close_stdin(run)
            assert run.wait() == 0  # in either case it is in the command's group, and ended with it
            if not adopter_is_init:
                eventually(lambda orphan=orphan: os.waitpid(orphan, os.WNOHANG)[0])  # type: ignore[misc]


def test_the_environment_passes_through_untouched() -> None:
    """Byte for byte and in order: no LC_CTYPE of Python's, no loss of what Python cannot represent."""
    env = {b"PATH": os.environb[b"PATH"], b"BYTES": b"\xff\xfe", b"EMPTY": b"", b"LISTEN_PID": b"1"}
    with spawned(
        [*exec_(), "cat", "/proc/self/environ"], env=env, stdout=subprocess.PIPE
    ) as run:  # fmt: skip
        assert run.stdout is not None
        assert run.stdout.read() == b"".join(b"%b=%b\0" % item for item in env.items())


def test_a_given_locale_is_kept() -> None:
    """LC_CTYPE is removed only if Python invented it."""
    script = 'echo "${LC_CTYPE-unset}"'
    for env, value in (
        ({"LC_CTYPE": "C.UTF-8"}, "C.UTF-8"),
        ({"LC_CTYPE": "C"}, "C"),
        ({"LC_ALL": ""}, "unset"),
    ):
        argv = ["env", "-u", "LC_CTYPE", "-u", "LANG", *(f"{k}={v}" for k, v in env.items())]
        assert outcome([*argv, *exec_(), "sh", "-c", script]) == (0, value, "")


def descriptors(pid: int) -> list[str]:
    return sorted(entry.name for entry in Path(f"/proc/{pid}/fd").iterdir())


def test_activated_sockets_are_handed_on() -> None:
    """LISTEN_PID follows to the command, and the init keeps no descriptor of it open."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        script = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        code = (
            "import os, time; print(os.environ['LISTEN_PID'] == str(os.getpid()), flush=True); time.sleep(60)"
        )
        with Running(
            ["sh", "-c", script, "sh", *exec_(), PYTHON, "-c", code], pass_fds=[server.fileno()]
        ) as run:
            assert run.expect_line("") == "True"
            eventually(lambda: descriptors(run.pid) == ["0", "1", "2"], "the init to let go")


def test_inherited_descriptors_reach_the_command_only() -> None:
    """The command has the descriptor, the init lets go of it and of the directory."""
    read_end, write_end = os.pipe()
    with Running([*exec_(), "sleep", "60"], pass_fds=[write_end], cwd="/tmp") as run:
        os.close(write_end)
        child = only_child(run)
        assert str(write_end) in descriptors(child)
        eventually(lambda: descriptors(run.pid) == ["0", "1", "2"])
        assert Path(f"/proc/{run.pid}/cwd").readlink() == Path("/")
        assert Path(f"/proc/{child}/cwd").readlink() == Path("/tmp")
    os.close(read_end)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("options", ["", "-v"])
def test_closed_streams_hurt_nobody(closed: str, options: str) -> None:
    """Without stdin, stdout or stderr the command runs and its code is passed on."""
    script = f"{' '.join(exec_(*options.split()))} sh -c '(exit 3) & wait; exit 5' {closed}"
    assert outcome(["sh", "-c", script])[0] == 5
    assert outcome(["sh", "-c", f"{' '.join(exec_())} no-such-program {closed}"])[0] == 127


def test_messages_nobody_reads_do_not_signal_the_command() -> None:
    """A broken stderr pipe is our own affair: no SIGPIPE reaches the command."""
    read_end, write_end = os.pipe()
    with started([*exec_("-v"), *ECHO], stderr=write_end) as run:
        os.close(write_end)
        os.close(read_end)
        assert seen_for(run, signal.SIGUSR1) == [signal.SIGUSR1]
        assert seen_for(run, signal.SIGUSR2) == [signal.SIGUSR2]


def test_the_parents_death_is_a_signal() -> None:
    """With --pdeath-signal the init is told, passes it on, and ends as usual."""
    script = '"$@" & wait'
    argv = [*exec_("--pdeath-signal", "INT", "-r", "INT:USR1"), *ECHO]
    with Running(["sh", "-c", script, "sh", *argv]) as parent:
        parent.expect_line("ready")
        (init,) = _children_of(parent.pid)
        (command,) = _children_of(init)
        parent.signal(signal.SIGKILL)
        parent.expect_line("10")
        os.kill(command, signal.SIGKILL)
        eventually(lambda: os.waitpid(init, os.WNOHANG)[0], "the init to end")


def _children_of(pid: int) -> list[int]:
    return eventually(lambda: children(pid), "children")


def test_stopped_from_outside_the_command_stays_stopped() -> None:
    """SIGSTOP to the command is no death: the init goes on waiting, and TERM still gets through."""
    with Running([*exec_(), "sleep", "60"]) as run:
        child = only_child(run)
        os.kill(child, signal.SIGSTOP)
        eventually(lambda: state(child) == "T", "the command to stop")
        run.signal(signal.SIGTERM)
        run.signal(signal.SIGCONT)
        assert run.wait() == 143


def test_a_bug_of_ours_is_one_line_and_leaves_nobody_behind() -> None:
    """An internal error ends what runs, is reported without a traceback, and has its own code."""
    code = (
        "import os, sys\n"
        "from pidone.init.bare import command, main\n"
        "def broken(self, info): raise LookupError('of all things')\n"
        "command.Init._handle = broken\n"
        "os._exit(main.run(['pidone', 'exec', '-t', '5', 'sh', '-c', 'echo $$; exec sleep 60']))\n"
    )
    with Running([PYTHON, "-c", code]) as run:
        child = int(run.expect_line(""))
        run.signal(signal.SIGUSR1)
        assert run.process.wait(DEADLINE_S) == 70
        assert not alive(child)
        assert run.err is not None
        run.err.join()
        (line,) = run.err
        assert line.startswith("pidone: internal error: LookupError: of all things (")
