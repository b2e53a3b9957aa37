"""`pidone exec` waits for everybody: SIGTERM, time to obey, SIGKILL, and out when the last one is gone."""

import errno
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from harness import DEADLINE_S, Running, alive, children, command_of, descendants, eventually, state
from init_harness import close_stdin, exec_, outcome

from pidone.init.bare import leftovers

PATIENCE = "60"
"""A grace so long that a test would fail if it were ever waited out."""

TIDY = 'trap "echo tidied up; exit 0" TERM; echo $$; while :; do sleep 60 & wait $!; done'
"""A process that says its pid, and on SIGTERM a last word; it also leaves a `sleep` behind."""
STUBBORN = 'trap "" TERM INT HUP; echo $$; while :; do sleep 60 & wait $!; done'

PLACES = {
    "in the group": "sh -c '{}' &",
    "in its own session": "setsid sh -c '{}' &",
    "as a daemon": "(setsid sh -c '{}' &) &",
}
AS_PID1 = pytest.mark.parametrize("pid1", [False, True])


def settled(run: Running) -> None:
    """Wait until the script's child runs: before its exec a signal meets the shell's handler, in vain."""
    run.expect_line("")
    eventually(
        lambda: any(command_of(pid) == "sleep 60" for pid in descendants(run.process.pid)),
        "the script's child",
    )


def family(script: str, place: str, then: str) -> list[str]:
    """A shell that starts `script` at `place` and goes on with `then`."""
    return ["sh", "-c", f"{PLACES[place].format(script)} {then}"]


@AS_PID1
@pytest.mark.parametrize("place", PLACES)
def test_everybody_left_gets_term_and_time(root: None, place: str, *, pid1: bool) -> None:
    """Wherever they went, those left behind run their SIGTERM handler; the command's code is the result."""
    argv = [*exec_("--grace", PATIENCE), *family(TIDY, place, "read x; exit 5")]
    with Running(argv, pid1=pid1, stdin=subprocess.PIPE) as run:
        settled(run)
        close_stdin(run)
        assert run.wait() == 5
        assert run.out is not None
        assert list(run.out)[1:] == ["tidied up"]


@AS_PID1
@pytest.mark.parametrize("place", PLACES)
def test_after_the_grace_everybody_is_killed(root: None, place: str, *, pid1: bool) -> None:
    """Those who ignore SIGTERM are killed, with what they started since, wherever they went."""
    argv = [*exec_("--grace", "0.1"), *family(STUBBORN, place, "read x; exit 5")]
    with Running(argv, pid1=pid1, stdin=subprocess.PIPE) as run:
        settled(run)
        everybody = descendants(run.pid)
        close_stdin(run)
        assert run.wait() == 5
        assert [pid for pid in everybody if alive(pid)] == []


@pytest.mark.parametrize("grace", ["0", "60"])
def test_with_nobody_left_it_ends_at_once(grace: str) -> None:
    """The grace is no delay."""
    started = time.monotonic()
    assert outcome([*exec_("--grace", grace), "sh", "-c", "(sleep 0 &); exit 4"])[0] == 4
    assert time.monotonic() - started < DEADLINE_S


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_a_second_request_to_stop_kills(first: signal.Signals, second: signal.Signals) -> None:
    """The first SIGTERM or SIGINT ends the command; while the others have their time, the next kills them."""
    argv = [*exec_("-t", PATIENCE, "-v"), *family(STUBBORN, "in its own session", "echo up; exec sleep 60")]
    with Running(argv) as run:
        eventually(lambda: run.out is not None and len(run.out) == 2, "both to be up")
        assert run.out is not None
        survivor = int(next(line for line in run.out if line != "up"))
        run.signal(first)
        eventually(lambda: run.err is not None and "left behind" in run.err.text(), "the grace to begin")
        assert alive(survivor)
        run.signal(second)
        assert run.wait() == 128 + first
        assert not alive(survivor)


def test_a_first_request_during_the_grace_changes_nothing() -> None:
    """If the command ended by itself, the first SIGTERM asks for what happens anyway; the second kills."""
    argv = [*exec_("-t", PATIENCE, "-v"), *family(STUBBORN, "in the group", "read x; exit 3")]
    with Running(argv, stdin=subprocess.PIPE) as run:
        survivor = int(run.expect_line(""))  # it ignores SIGTERM from here on
        close_stdin(run)
        assert run.err is not None
        err = run.err
        eventually(lambda: "left behind" in err.text(), "the grace to begin")
        run.signal(signal.SIGTERM)
        eventually(lambda: signal.SIGTERM not in _pending(run.pid), "the signal to be taken")
        assert alive(survivor)
        run.signal(signal.SIGTERM)
        assert run.wait() == 3


def _pending(pid: int) -> set[int]:
    line = next(
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("ShdPnd")
    )
    return {number for number in range(1, 65) if int(line.split()[1], 16) >> (number - 1) & 1}


def test_other_signals_still_reach_the_group_during_the_grace() -> None:
    """Those left of the command's group hear SIGUSR1 as before."""
    script = 'trap "" TERM; trap "echo heard; exit 0" USR1; echo $$; while :; do sleep 60 & wait $!; done'
    argv = [*exec_("-t", PATIENCE, "-v"), *family(script, "in the group", "read x; exit 3")]
    with Running(argv, stdin=subprocess.PIPE) as run:
        settled(run)
        close_stdin(run)
        assert run.err is not None
        err = run.err
        eventually(lambda: "left behind" in err.text(), "the grace to begin")
        run.signal(signal.SIGUSR1)
        run.expect_line("heard")
        assert run.wait() == 3


def test_stopped_processes_can_obey() -> None:
    """A stopped process left behind is continued, so that its SIGTERM handler runs."""
    script = TIDY.replace("while", "kill -STOP $$; while")
    argv = [*exec_("-t", PATIENCE), *family(script, "in its own session", "read x; exit 0")]
    with Running(argv, stdin=subprocess.PIPE) as run:
        stopped = int(run.expect_line(""))
        eventually(lambda: state(stopped) == "T", "the process to stop")
        close_stdin(run)
        assert run.wait() == 0
        assert run.out is not None
        assert list(run.out)[1:] == ["tidied up"]


@pytest.mark.parametrize("script", [TIDY, STUBBORN])
def test_members_of_the_group_that_others_adopted(script: str) -> None:
    """Without being a subreaper, the group is waited for all the same, though no SIGCHLD tells of its end."""
    argv = [*exec_("-S", "-t", "1"), "sh", "-c", f"(sh -c '{script}' &) ; read x; exit 5"]
    with Running(argv, stdin=subprocess.PIPE) as run:
        stranger = int(run.expect_line(""))
        eventually(lambda: children(stranger), "its child")
        inner = children(stranger)
        eventually(lambda: stranger not in descendants(run.pid), "others to adopt it")
        close_stdin(run)
        assert run.wait() == 5
        assert not alive(stranger)
        for pid in (stranger, *inner):
            eventually(lambda pid=pid: _buried(pid))  # type: ignore[misc]


def _buried(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def test_the_final_request_is_rewritten_too() -> None:
    """Where SIGTERM is rewritten, those left behind get what the command would have got."""
    script = 'trap "" TERM; trap "echo told; exit 0" USR1; echo $$; while :; do sleep 60 & wait $!; done'
    argv = [*exec_("-t", PATIENCE, "-r", "TERM:USR1"), *family(script, "as a daemon", "read x; exit 2")]
    with Running(argv, stdin=subprocess.PIPE) as run:
        settled(run)
        close_stdin(run)
        assert run.wait() == 2
        assert run.out is not None
        assert list(run.out)[1:] == ["told"]


def test_children_from_before_are_seen_off_too() -> None:
    """What an entrypoint script started before it became `pidone exec` belongs to us as well."""
    script = f"sh -c '{TIDY}' & read x; exec {' '.join(exec_('-t', PATIENCE))} sh -c 'exit 7'"
    with Running(["sh", "-c", script], stdin=subprocess.PIPE) as run:
        settled(run)
        assert run.process.stdin is not None
        run.process.stdin.write(b"go\n")
        run.process.stdin.close()
        assert run.wait() == 7
        assert run.out is not None
        assert list(run.out)[1:] == ["tidied up"]


def test_a_namespace_without_its_own_proc_is_seen_off_as_well(root: None) -> None:
    """Where /proc shows other processes than ours, nobody there is signalled, and ours end nevertheless."""
    argv = [*exec_("-t", "0.1"), *family(STUBBORN, "as a daemon", "read x; exit 6")]
    argv = ["unshare", "--fork", "--pid", *argv]
    with Running(["sleep", "60"]) as bystander, Running(argv, stdin=subprocess.PIPE) as run:
        run.expect_line("")
        close_stdin(run)
        assert run.wait() == 6
        assert alive(bystander.pid)


def test_many_are_seen_off() -> None:
    """Two hundred processes in as many sessions get their SIGTERM."""
    script = "for i in $(seq 200); do setsid sleep 60 & done; wait $!"
    with Running([*exec_("-t", PATIENCE), "sh", "-c", script]) as run:
        eventually(lambda: sum(command_of(p) == "sleep 60" for p in descendants(run.pid)) == 200, "all")
        everybody = descendants(run.pid)
        run.signal(signal.SIGTERM)
        assert run.wait() == 143
        assert [pid for pid in everybody if alive(pid)] == []


def test_without_pidfds_strangers_are_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pidfd_open(2) is missing, the wait for a stranger is short: its end is found by looking."""

    def missing(_: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "pidfd_open", missing)
    before = len(os.listdir("/proc/self/fd"))
    assert 0 < leftovers._wait_for_strangers(60.0, [os.getpid()]) <= 0.1
    assert leftovers._wait_for_strangers(0.01, [os.getpid()]) <= 0.01
    assert len(os.listdir("/proc/self/fd")) == before
