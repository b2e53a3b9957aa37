"""Called as tini we are tini: each case with its plain expectation, and beside the real program."""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from harness import DEADLINE_S, PYTHON, Running, alive, children, descendants, eventually, state
from hypothesis import given
from hypothesis import strategies as st
from init_harness import (
    ECHO,
    FORWARDABLE,
    close_stdin,
    inheriting,
    only_child,
    ours,
    outcome,
    real,
    seen_for,
    signal_sets,
    signals_in,
    started,
)

from pidone.init.bare.tini import _leading_number

TINI = ours("tini")
NOT_FORWARDED = [
    signal.SIGILL,
    signal.SIGTRAP,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGSEGV,
    signal.SIGSYS,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGCHLD,
]
FATAL = NOT_FORWARDED[:7]
SILENT = [number for number in FORWARDABLE if number not in FATAL]


@pytest.fixture(params=["ours", "real"])
def tini(request: pytest.FixtureRequest) -> str:
    """Both programs: what is expected of us must be true of the original."""
    return TINI if request.param == "ours" else real("tini")


@pytest.mark.parametrize(
    ("args", "env", "code"),
    [
        (["-s", "--", "sh", "-c", "exit 0"], {}, 0),
        (["-s", "--", "sh", "-c", "exit 42"], {}, 42),
        (["-s", "--", "sh", "-c", "kill -TERM $$"], {}, 143),
        (["-s", "--", "sh", "-c", "kill -KILL $$"], {}, 137),
        (["-s", "-e", "143", "--", "sh", "-c", "kill -TERM $$"], {}, 0),
        (["-s", "-e", "143", "-e7", "--", "sh", "-c", "exit 7"], {}, 0),
        (["-s", "-e", "8", "--", "sh", "-c", "exit 7"], {}, 7),
        (["-s", "-e", " +7", "--", "sh", "-c", "exit 7"], {}, 0),
        (["-e", "256", "true"], {}, 1),
        (["-e", "-1", "true"], {}, 1),
        (["-e", "7x", "true"], {}, 1),
        (["-e", "", "true"], {"TINI_SUBREAPER": ""}, 0),
        (["-e", "99999999999999999999", "true"], {}, 1),
        (["-s", "--", "/nonexistent/program"], {}, 127),
        (["-s", "--", "no-such-program"], {}, 127),
        (["-s", "--", "/etc/passwd"], {}, 126),
        (["-s", "--", "/"], {}, 126),
        (["-s", "--", ""], {}, 127),
        (["-s", "--", "/etc/passwd/x"], {}, 1),
        (["true"], {}, 0),
        (["true"], {"TINI_SUBREAPER": ""}, 0),
        (["true"], {"TINI_VERBOSITY": "0"}, 0),
        (["-vv", "true"], {"TINI_VERBOSITY": "0"}, 0),
        (["-vvv", "-s", "true"], {}, 0),
        (["-s", "true"], {"TINI_VERBOSITY": " 2x"}, 0),
        (["-vvvs", "sh", "--", "-c", "kill -USR1 $$"], {}, 138),
        (["--version"], {}, 0),
        (["--version", "x"], {}, 1),
        (["-h"], {}, 0),
        (["-s", "-h", "-x"], {}, 0),
        (["-x", "-h"], {}, 1),
        (["sh", "-c", "exit 5"], {}, 1),
        (["sh", "-c", "exit 5"], {"POSIXLY_CORRECT": "", "TINI_SUBREAPER": "1"}, 5),
        (["true", "-s"], {}, 0),
        (["true", "-", "-s"], {}, 0),
        ([], {}, 1),
        (["--"], {}, 1),
        (["-p"], {}, 1),
        (["-p", "TERM", "true"], {}, 1),
        (["-p", "SIGPWR", "true"], {}, 1),
        (["-p", "SIGTERM", "-s", "true"], {}, 0),
        (["-pSIGSYS", "-s", "true"], {}, 0),
        (["-s:", "true"], {}, 1),
    ],
)
def test_exit_code_and_output_are_those_of_tini(args: list[str], env: dict[str, str], code: int) -> None:
    """The exit code is the documented one, and both streams say what the original says."""
    got = outcome([TINI, *args], env)
    assert got[0] == code
    theirs = outcome([real("tini"), *args], env)
    assert _comparable(got, TINI) == _comparable(theirs, real("tini"))


def _comparable(result: tuple[int, str, str], program: str) -> tuple[int, list[str], list[str]]:
    """Lines sorted: parent and child write at the same time."""
    code, out, err = result
    return (
        code,
        # How often "No child to reap" is found out depends on when the child ends.
        sorted({line.replace(program, "tini") for line in out.splitlines()}),
        sorted(err.replace(program, "tini").splitlines()),
    )


def test_the_licence_is_ours() -> None:
    """-l prints a licence on stdout, and it is the one of this program."""
    code, out, err = outcome([TINI, "-l"])
    assert (code, err) == (0, "")
    assert "MIT" in out
    assert "pidone" in out.lower()


def test_a_script_without_a_hash_bang_is_run_by_sh(tini: str, tmp_path: Path) -> None:
    """Text files are executed as execvp(3) does it."""
    script = tmp_path / "script"
    script.write_text("exit $1\n")
    script.chmod(0o755)
    assert outcome([tini, "-s", "--", str(script), "9"])[0] == 9


@pytest.mark.parametrize("option", ["", "-g"])
def test_every_signal_is_forwarded_or_not_as_by_tini(tini: str, option: str) -> None:
    """All but the faults, TTIN, TTOU and CHLD reach the command, to a group as well."""
    with started([tini, "-s", *option.split(), "--", *ECHO]) as run:
        for number in SILENT:
            expected = [] if number in NOT_FORWARDED else [number]
            assert seen_for(run, number) == [n for n in expected if n != signal.SIGRTMAX], number


@pytest.mark.parametrize("number", FATAL)
def test_fault_signals_end_tini(tini: str, number: signal.Signals) -> None:
    """Signals of a fault are not caught: tini ends by them."""
    with started([tini, "-s", "--", *ECHO]) as run:
        child = only_child(run)
        run.signal(number)
        assert run.process.wait(DEADLINE_S) == -number
        assert alive(child)
        os.kill(child, signal.SIGKILL)
        eventually(lambda: os.waitpid(child, os.WNOHANG)[0])


@pytest.mark.parametrize(
    ("ignored", "blocked"),
    [
        ([], []),
        ([signal.SIGHUP], []),
        ([signal.SIGTTIN, signal.SIGUSR1, signal.SIGINT], [signal.SIGUSR2, signal.SIGTTOU]),
        ([], [signal.SIGTERM, signal.SIGCHLD, signal.SIGRTMIN]),
    ],
)
def test_the_command_inherits_mask_and_ignored_signals(
    tini: str, ignored: Sequence[int], blocked: Sequence[int]
) -> None:
    """What tini was started with, the command is started with."""
    argv = [tini, "-s", "--", "sleep", "60"]
    with Running(argv, preexec_fn=inheriting(ignored=ignored, blocked=blocked)) as run:
        sets = signal_sets(only_child(run))
        assert sets == {"SigBlk": set(blocked), "SigIgn": set(ignored)}


def test_sigchld_inherited_as_ignored_does_not_hang() -> None:
    """The original hangs here; the command still finds SIGCHLD as it was."""
    with Running(
        [TINI, "-s", "--", "grep", "SigIgn", "/proc/self/status"],
        preexec_fn=inheriting(ignored=[signal.SIGCHLD]),
    ) as run:
        assert run.wait() == 0
        assert run.out is not None
        assert signals_in(run.out.text().split()[1]) == {signal.SIGCHLD}


def test_with_stdin_closed_tini_fails(tini: str) -> None:
    """A stdin that is no descriptor at all is fatal, with tini's words."""
    code, _, err = outcome(["sh", "-c", f'exec "{tini}" -s -- true <&-'])
    assert code == 1
    assert "tcsetpgrp failed: Bad file descriptor" in err


def test_tini_does_not_stop_with_its_command(tini: str) -> None:
    """SIGTSTP goes to the command only."""
    with started([tini, "-s", "--", "sh", "-c", "echo ready; exec sleep 60"]) as run:
        child = only_child(run)
        # The group is not orphaned, since tini is in the same session and another group.
        run.signal(signal.SIGTSTP)
        eventually(lambda: state(child) == "T", "the command to stop")
        eventually(lambda: state(run.pid) == "S", "the init to wait for what comes")
        run.signal(signal.SIGCONT)
        eventually(lambda: state(child) == "S", "the command to go on")


def test_tini_ends_with_its_command_and_waits_for_nobody(tini: str) -> None:
    """What the command leaves behind is left alone."""
    with Running([tini, "--", "sh", "-c", "sleep 60 & echo $!"], env={"TINI_VERBOSITY": "0"}) as run:
        left = int(run.expect_line(""))
        assert run.process.wait(DEADLINE_S) == 0
        assert alive(left)
        os.kill(left, signal.SIGKILL)
        eventually(lambda: os.waitpid(left, os.WNOHANG)[0])


def test_adopted_orphans_are_reaped_with_a_warning(tini: str) -> None:
    """With -s -w each orphan is buried and spoken of on stderr."""
    # The orphan ends only once it is one: a shell buries a background job that ends before the shell does.
    argv = [tini, "-s", "-w", "--", "sh", "-c", "(sleep 600 & echo $! >&2); cat"]
    with Running(argv, stdin=subprocess.PIPE) as run:
        assert run.err is not None
        err = run.err
        orphan = int(eventually(lambda: next(iter(err), None)))
        eventually(lambda: orphan in children(run.pid), "tini to adopt it")
        os.kill(orphan, signal.SIGKILL)
        eventually(lambda: len(err) > 1, "what is said of its burial")
        assert state(orphan) == ""
        close_stdin(run)
        assert run.wait() == 0
        assert list(err)[1] == f"[WARN  tini ({run.process.pid})] Reaped zombie process with pid={orphan}"


def test_group_mode_reaches_the_whole_group(tini: str) -> None:
    """With TINI_KILL_PROCESS_GROUP set to anything, the command's children get the signal too."""
    shell = ["sh", "-c", f'trap "" TERM; "{PYTHON}" -ISc "$0" & wait', ECHO[-1]]
    for env, expected in (({"TINI_KILL_PROCESS_GROUP": "0"}, [15]), ({}, [])):
        with started([tini, "-s", "--", *shell], env={**env, "TINI_VERBOSITY": "0"}) as run:
            run.signal(signal.SIGTERM)
            assert run.out is not None
            out = run.out
            if expected:
                eventually(lambda out=out: "15" in list(out), "the signal in the group")  # type: ignore[misc]
            else:
                (grandchild,) = children(only_child(run))
                os.kill(grandchild, signal.SIGUSR1)
                eventually(lambda out=out: "10" in list(out), "the grandchild's answer")  # type: ignore[misc]
                assert "15" not in list(out)


@pytest.mark.parametrize("group", [False, True])
def test_parent_death_signal(tini: str, *, group: bool) -> None:
    """-p has the signal sent to tini, which forwards it, when tini's parent ends."""
    options = "-g" if group else ""
    with Running(["sh", "-c", f'"{tini}" -s {options} -p SIGUSR1 -- "$@" & wait', "sh", *ECHO]) as parent:
        parent.expect_line("ready")
        family = descendants(parent.pid)
        parent.signal(signal.SIGKILL)
        parent.expect_line("10")
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        for pid in family:
            eventually(lambda pid=pid: _collected(pid), "everybody to be gone")  # type: ignore[misc]


def _collected(pid: int) -> bool:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


@given(st.text(alphabet=" \t+-0123456789xa", max_size=30))
def test_numbers_are_read_as_strtol_reads_them(text: str) -> None:
    """Blanks, one sign, digits, and the rest; compared with a second implementation."""
    import re

    match = re.match(r"[ \t]*([+-]?[0-9]+)(.*)", text)
    number, rest = _leading_number(text)
    if match is None:
        assert (number, rest) == (0, text)
    else:
        assert rest == match[2]
        assert number == int(match[1]) or (abs(number) > 255 and abs(int(match[1])) > 255)
