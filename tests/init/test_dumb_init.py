"""Called as dumb-init we are dumb-init: each case with its plain expectation, and beside the real program."""

import os
import signal
from collections.abc import Sequence

import pytest
from harness import DEADLINE_S, Running, alive, eventually, state
from hypothesis import given
from hypothesis import strategies as st
from init_harness import (
    ECHO,
    FORWARDABLE,
    inheriting,
    only_child,
    ours,
    outcome,
    real,
    seen_for,
    signal_sets,
    started,
)

from pidone.init.bare.dumb_init import DumbInitSettings, parse
from pidone.init.bare.output import Quit

DUMB_INIT = ours("dumb-init")
JOB_CONTROL = [signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU]
SIMPLE = [number for number in FORWARDABLE if number not in (*JOB_CONTROL, signal.SIGCHLD, signal.SIGRTMAX)]


@pytest.fixture(params=["ours", "real"])
def dumb_init(request: pytest.FixtureRequest) -> str:
    """Both programs: what is expected of us must be true of the original."""
    return DUMB_INIT if request.param == "ours" else real("dumb-init")


@pytest.mark.parametrize(
    ("args", "env", "code"),
    [
        (["sh", "-c", "exit 0"], {}, 0),
        (["sh", "-c", "exit 42"], {}, 42),
        (["--", "sh", "-c", "exit 42"], {}, 42),
        (["sh", "-c", "kill -TERM $$"], {}, 143),
        (["sh", "-c", "kill -KILL $$"], {}, 137),
        (["-c", "sh", "-c", "kill -USR1 $$"], {}, 138),
        (["/nonexistent/program"], {}, 2),
        (["no-such-program"], {}, 2),
        (["/etc/passwd"], {}, 2),
        ([""], {}, 2),
        (["-h"], {}, 0),
        (["--help"], {}, 0),
        (["--he"], {}, 0),
        (["-V"], {}, 0),
        (["--version", "-x"], {}, 0),
        (["-x", "-V"], {}, 1),
        (["-cx"], {}, 1),
        (["--foo"], {}, 1),
        (["--verb=3", "true"], {}, 1),
        (["--ver", "true"], {}, 1),
        (["--v"], {}, 1),
        (["--rewrite"], {}, 1),
        (["-r"], {}, 1),
        ([], {}, 1),
        (["--"], {}, 1),
        (["-c"], {}, 1),
        (["-"], {}, 2),
        (["-r", "15:0", "true"], {}, 0),
        (["-r15:3x", "true"], {}, 0),
        (["-r", " 15: 3", "true"], {}, 0),
        (["--rewrite=15:3", "--rew", "1:2", "true"], {}, 0),
        (["-r", "15 :3", "true"], {}, 1),
        (["-r", "TERM:INT", "true"], {}, 1),
        (["-r", "0:15", "true"], {}, 1),
        (["-r", "32:15", "true"], {}, 1),
        (["-r", "15:32", "true"], {}, 1),
        (["-r", "15:-1", "true"], {}, 1),
        (["-r", "15", "true"], {}, 1),
        (["-r", "", "true"], {}, 1),
        (["-r", "15:", "-h"], {}, 1),
        (["true"], {"DUMB_INIT_DEBUG": "0"}, 0),
        (["true"], {"DUMB_INIT_DEBUG": "1"}, 0),
        (["-v", "true"], {}, 0),
        (["-v", "sh", "-c", "kill -TERM $$"], {}, 143),
        (["-vc", "true"], {}, 0),
        (["-v", "-r", "15:2", "true"], {}, 0),
        (["-v", "-r", "15:0", "true"], {}, 0),
        (["true"], {"DUMB_INIT_DEBUG": "1", "DUMB_INIT_SETSID": "0"}, 0),
        (["-v", "true"], {"DUMB_INIT_SETSID": "1"}, 0),
        (["-v", "no-such-program"], {}, 2),
    ],
)
def test_exit_code_and_output_are_those_of_dumb_init(args: list[str], env: dict[str, str], code: int) -> None:
    """The exit code is the documented one, and both streams say what the original says."""
    got = outcome([DUMB_INIT, *args], env)
    assert got[0] == code
    theirs = outcome([real("dumb-init"), *args], env)
    assert _comparable(got, DUMB_INIT) == _comparable(theirs, real("dumb-init"))


def _comparable(result: tuple[int, str, str], program: str) -> tuple[int, str, list[str]]:
    """Lines sorted: parent and child write at the same time."""
    code, out, err = result
    return code, out, sorted(err.replace(program, "dumb-init").splitlines())


@pytest.mark.parametrize("option", [[], ["-c"]])
def test_every_signal_is_forwarded(dumb_init: str, option: list[str]) -> None:
    """Everything but SIGCHLD reaches the command, faults and real-time signals included."""
    with started([dumb_init, *option, *ECHO]) as run:
        for number in SIMPLE:
            assert seen_for(run, number) == [number], number
        assert seen_for(run, signal.SIGCHLD) == []


@pytest.mark.parametrize("number", JOB_CONTROL)
@pytest.mark.parametrize(
    ("options", "sent"),
    [([], signal.SIGSTOP), (["-c"], 0), (["-r", "20:12", "-r", "21:12", "-r", "22:12"], signal.SIGUSR2)],
)
def test_stop_signals_stop_dumb_init_as_well(
    dumb_init: str, number: signal.Signals, options: list[str], sent: int
) -> None:
    """TSTP, TTIN, TTOU become STOP in session mode unless rewritten; dumb-init stops in any case."""
    with started([dumb_init, *options, *ECHO]) as run:
        child = only_child(run)
        run.signal(number)
        eventually(lambda: state(run.pid) == "T", "dumb-init to stop")
        if sent == signal.SIGSTOP:
            eventually(lambda: state(child) == "T", "the command to stop")
        else:
            run.expect_line(str(int(sent or number)))
        run.signal(signal.SIGCONT)
        run.expect_line(str(int(signal.SIGCONT)))
        assert seen_for(run, signal.SIGUSR1) == [signal.SIGUSR1]


@pytest.mark.parametrize(
    ("rewrite", "seen"),
    [
        ({1: 3}, {1: [3], 3: [3], 2: [2]}),
        ({1: 0}, {1: [], 3: [3]}),
        ({1: 3, 3: 1}, {1: [3], 3: [1]}),
        ({number: number % 17 + 1 for number in range(1, 8)}, {2: [3], 7: [8], 8: [8]}),
    ],
)
def test_rewriting(dumb_init: str, rewrite: dict[int, int], seen: dict[int, list[int]]) -> None:
    """Signals are sent as something else, dropped, or swapped."""
    options = [part for received, sent in rewrite.items() for part in ("-r", f"{received}:{sent}")]
    with started([dumb_init, *options, *ECHO]) as run:
        assert {number: seen_for(run, number) for number in seen} == seen


@pytest.mark.parametrize(
    ("ignored", "blocked"),
    [([], []), ([signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE], [signal.SIGTERM, signal.SIGRTMIN])],
)
def test_the_command_starts_with_clean_signals(
    dumb_init: str, ignored: Sequence[int], blocked: Sequence[int]
) -> None:
    """Nothing is blocked and nothing is ignored, whatever dumb-init inherited."""
    argv = [dumb_init, "sleep", "60"]
    with Running(argv, preexec_fn=inheriting(ignored=ignored, blocked=blocked)) as run:
        assert signal_sets(only_child(run)) == {"SigBlk": set(), "SigIgn": set()}


@pytest.mark.parametrize(
    ("options", "env", "leads"),
    [([], {}, True), (["-c"], {}, False), ([], {"DUMB_INIT_SETSID": "0"}, False)],
)
def test_the_command_leads_a_session(
    dumb_init: str, options: list[str], env: dict[str, str], *, leads: bool
) -> None:
    """In session mode the command leads session and group; else it stays in dumb-init's."""
    with started([dumb_init, *options, *ECHO], env=env) as run:
        child = only_child(run)
        expected = child if leads else None
        assert os.getsid(child) == (expected or os.getsid(run.pid))
        assert os.getpgid(child) == (expected or os.getpgid(run.pid))


def test_dumb_init_leaves_the_directory(dumb_init: str) -> None:
    """It keeps no mount busy; the command stays where it was started."""
    with started([dumb_init, *ECHO], cwd="/tmp") as run:
        child = only_child(run)
        eventually(lambda: os.path.realpath(f"/proc/{run.pid}/cwd") == "/", "dumb-init to leave")
        assert os.path.realpath(f"/proc/{child}/cwd") == "/tmp"


@pytest.mark.parametrize(("options", "dies"), [([], True), (["-r", "15:0"], False)])
def test_the_rest_of_the_group_gets_term_at_the_end(
    dumb_init: str, options: list[str], *, dies: bool
) -> None:
    """When the command ends its group gets SIGTERM, through the rewriting; nobody is waited for."""
    with Running([dumb_init, *options, "sh", "-c", "sleep 60 & echo $!"], stderr=None) as run:
        left = int(run.expect_line(""))
        assert run.process.wait(DEADLINE_S) == 0
        if dies:
            eventually(lambda: not alive(left), "the rest to end")
        else:
            assert alive(left)
            os.kill(left, signal.SIGKILL)
        eventually(lambda: os.waitpid(left, os.WNOHANG)[0], "the rest to be buried")


def test_with_stdin_closed_dumb_init_works(dumb_init: str) -> None:
    """It does not need a terminal, nor any stdin."""
    assert outcome(["sh", "-c", f'exec "{dumb_init}" sh -c "exit 4" <&-']) == (4, "", "")


@given(st.text(alphabet=" \t+-0123456789:x", max_size=20))
def test_a_rewriting_is_two_numbers_in_range_or_refused(text: str) -> None:
    """As sscanf(3) reads `%d:%d`; compared with a second implementation."""
    import re

    match = re.match(r"[ \t]*([+-]?[0-9]+):[ \t]*([+-]?[0-9]+)", text)
    valid = match is not None and 1 <= int(match[1]) <= 31 and 0 <= int(match[2]) <= 31
    args = ["-c", "-r", text, "true"]
    if match is None or not valid:
        with pytest.raises(Quit) as quit_:
            _parse(args)
        assert quit_.value.code == 1
    else:
        assert _parse(args).rewrite == {int(match[1]): int(match[2])}


def _parse(args: list[str]) -> DumbInitSettings:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pidone.init.bare.dumb_init.say", lambda *_: None)
        return parse(["dumb-init", *args])
