"""What a freshly started program finds: descriptors, signals, group, rights. Both ways of starting it."""

import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pidone.errors import SpawnError
from pidone.init.exitcodes import ExitCode
from pidone.init.spawn import SpawnPlan, exit_code_of, keep_descriptors_private, spawn

REPORT = """
import json, os, resource, signal, sys
lines = open("/proc/self/status").read().splitlines()
status = dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
print(json.dumps({
    "fds": {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{fd}") and "/proc/" not in os.readlink(f"/proc/self/fd/{fd}")},
    "blocked": int(status["SigBlk"], 16), "ignored": int(status["SigIgn"], 16),
    "pgrp": os.getpgrp(), "pid": os.getpid(), "session": os.getsid(0),
    "uid": os.getresuid(), "gid": os.getresgid(), "groups": os.getgroups(),
    "umask": status["Umask"], "nice": os.nice(0), "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
    "no_new_privs": status["NoNewPrivs"], "oom": open("/proc/self/oom_score_adj").read().strip(),
    "cpus": sorted(os.sched_getaffinity(0)), "cwd": os.getcwd(), "env": dict(os.environ),
    "argv": sys.argv,
}))
"""

FORKED: Mapping[str, Any] = {"umask": 0o022}
"""Anything that posix_spawn cannot do makes it a fork."""


def report(tmp_path: Path, **plan: Any) -> dict[str, Any]:
    """Start Python with REPORT and return what it saw."""
    script = tmp_path / "report.py"
    script.write_text(REPORT)
    read, write = os.pipe()
    keys: dict[str, Any] = {
        "argv": (sys.executable, "-I", str(script), "a b", ""),
        "env": {"A": "1"},
        "stdout": write,
        **plan,
    }
    pid = spawn(SpawnPlan(**keys))
    os.close(write)
    with os.fdopen(read) as output:
        text = output.read()
    assert os.waitpid(pid, 0)[1] == 0
    result: dict[str, Any] = json.loads(text)
    assert result["pid"] == pid
    return result


@pytest.fixture(params=[{}, FORKED], ids=["posix_spawn", "fork"])
def way(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Both ways of starting a program have to look the same from inside."""
    return dict(request.param)


def test_arguments_and_environment_are_exact(tmp_path: Path, way: dict[str, Any]) -> None:
    """Nothing is split, added or inherited."""
    seen = report(tmp_path, **way)
    assert seen["argv"][1:] == ["a b", ""]
    assert {k: v for k, v in seen["env"].items() if k != "LC_CTYPE"} == {"A": "1"}


def test_signals_are_default_and_nothing_is_blocked(tmp_path: Path, way: dict[str, Any]) -> None:
    """Python ignores SIGPIPE and SIGXFSZ, and we may be blocking anything: a child must not notice."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    hup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        seen = report(tmp_path, **way)
    finally:
        signal.signal(signal.SIGHUP, hup)
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
    python_ignores = {signal.SIGPIPE, signal.SIGXFSZ}
    ignored = {n for n in range(1, 32) if seen["ignored"] >> (n - 1) & 1}
    assert seen["blocked"] == 0
    assert ignored <= python_ignores, "the reporting Python itself ignores these two, and nothing else"


def test_sigpipe_kills_a_writer_again(tmp_path: Path, way: dict[str, Any]) -> None:
    """`yes | head` ends only if SIGPIPE has its default disposition."""
    read, write = os.pipe()
    pid = spawn(SpawnPlan(argv=("/usr/bin/yes",), env={}, stdout=write, **way))
    os.close(write)
    os.read(read, 10)
    os.close(read)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGPIPE


def test_it_leads_its_own_group(tmp_path: Path, way: dict[str, Any]) -> None:
    """A signal to the group reaches the program and its children, and not us."""
    seen = report(tmp_path, **way)
    assert seen["pgrp"] == seen["pid"]
    assert seen["session"] == os.getsid(0)


def test_it_has_only_the_descriptors_meant_for_it(tmp_path: Path, way: dict[str, Any]) -> None:
    """Standard streams and what was asked for, at the numbers that were asked for."""
    leaky = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(leaky, True)  # as if whoever started us had leaked it
    keep_descriptors_private()
    a, b = os.pipe()
    try:
        seen = report(tmp_path, fds={3: a, 9: b}, **way)
    finally:
        for fd in (leaky, a, b):
            os.close(fd)
    assert set(seen["fds"]) == {"0", "1", "2", "3", "9"}
    assert seen["fds"]["0"] == "/dev/null"
    assert seen["fds"]["3"] == seen["fds"]["9"], "the two ends of one pipe"


def test_descriptors_may_change_places(tmp_path: Path, way: dict[str, Any]) -> None:
    """A descriptor of ours whose number is wanted for another one is not overwritten first."""
    a, b = os.pipe()
    first, second = os.open("/etc/hostname", os.O_RDONLY), os.open("/etc/passwd", os.O_RDONLY)
    try:
        seen = report(tmp_path, fds={second: first, first: second}, **way)
    finally:
        for fd in (a, b, first, second):
            os.close(fd)
    assert seen["fds"][str(second)] == "/etc/hostname"
    assert seen["fds"][str(first)] == "/etc/passwd"


def test_working_directory(tmp_path: Path, way: dict[str, Any]) -> None:
    """It starts where it should."""
    assert report(tmp_path, cwd=str(tmp_path), **way)["cwd"] == str(tmp_path)


def test_rights_are_applied(open_path: Path, root: None) -> None:
    """Everything that needs a fork, at once."""
    seen = report(
        open_path,
        argv=("/usr/bin/python3", "-I", str(open_path / "report.py")),
        uid=65534,
        gid=65533,
        groups=(65532, 65531),
        umask=0o027,
        nice=5,
        limits={"nofile": (123, 456)},
        no_new_privs=True,
        oom_score_adj=77,
        cpu_affinity=(0,),
        pid_vars=("LISTEN_PID",),
    )
    assert seen["uid"] == [65534] * 3
    assert seen["gid"] == [65533] * 3
    assert sorted(seen["groups"]) == [65531, 65532]
    assert int(seen["umask"], 8) == 0o027
    assert (seen["nice"], seen["nofile"], seen["oom"]) == (5, [123, 456], "77")
    assert seen["no_new_privs"] == "1"
    assert seen["cpus"] == [0]
    assert seen["env"]["LISTEN_PID"] == str(seen["pid"])


@pytest.mark.parametrize(
    ("plan", "step", "code"),
    [
        ({"argv": ("/no/such/program",)}, "exec: /no/such/program: No such file", ExitCode.NOT_FOUND),
        ({"argv": ("/etc/passwd",)}, "exec: /etc/passwd: Permission denied", ExitCode.NOT_EXECUTABLE),
        ({"cwd": "/no/such/folder"}, "cwd: /no/such/folder: No such file", ExitCode.NOT_FOUND),
    ],
)
def test_a_failure_names_the_step(
    plan: dict[str, Any], step: str, code: ExitCode, way: dict[str, Any]
) -> None:
    """What cannot be started is an error with the reason, and leaves no child behind."""
    keys: dict[str, Any] = {"argv": ("/bin/true",), "env": {}, **plan, **way}
    with pytest.raises(SpawnError, match=step) as caught:
        spawn(SpawnPlan(**keys))
    assert exit_code_of(caught.value) == code


def test_a_refused_right_is_a_failure(root: None) -> None:
    """A hard limit above what the kernel allows is reported by name."""
    plan = SpawnPlan(argv=("/bin/true",), env={}, limits={"nofile": (10**9, 10**10)})
    with pytest.raises(SpawnError, match=r"limits: nofile: not allowed .*CAP_SYS_RESOURCE"):
        spawn(plan)


def test_want_of_descriptors_is_a_failure(way: dict[str, Any]) -> None:
    """It is told like any other, and costs none of those that are left."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = sorted(os.listdir("/proc/self/fd"))
    os.close(lowest := os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))
    try:
        with pytest.raises(SpawnError, match="Too many open files"):
            spawn(SpawnPlan(argv=("/bin/true",), env={}, **way))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert sorted(os.listdir("/proc/self/fd")) == open_now


def test_nothing_stays_open(tmp_path: Path, way: dict[str, Any]) -> None:
    """A thousand starts, good or bad, cost no descriptor."""
    before = len(os.listdir("/proc/self/fd"))
    for number in range(60):
        program = "/bin/true" if number % 2 else "/no/such/program"
        try:
            os.waitpid(spawn(SpawnPlan(argv=(program,), env={}, **way)), 0)
        except SpawnError:
            continue
    assert len(os.listdir("/proc/self/fd")) == before
