"""Surroundings that refuse, tell or take away what they should not: calls, signals, variables, ourselves."""

import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import seccomp
from harness import PIDONE, PYTHON, Running, alive, command_of, descendants, eventually, pidone
from writing import FOREVER, ecosystem, shell

from pidone.listen.kernel import seccomp as listener

POLITE = "trap 'echo heard TERM; exit 0' TERM; echo up; while :; do sleep 0.05; done"
CALLS = {
    "limits": [seccomp.CLONE3, seccomp.PRLIMIT64, seccomp.SCHED_GETAFFINITY],
    "pidfd_send_signal": [seccomp.PIDFD_SEND_SIGNAL],
    "listener": [each for name, each in seccomp.BY_NAME.items() if name == "seccomp"] + [seccomp.PIDFD_GETFD],
    "setitimer": [seccomp.SETITIMER],
    "newer": [*seccomp.NEWER],
    "all": [*seccomp.NEWER, *seccomp.BY_NAME.values(), seccomp.SCHED_GETAFFINITY, seccomp.PRLIMIT64],
}


def sandboxed(number: int, calls: list[int]) -> list[str]:
    """What follows runs where these calls are answered with an error."""
    return [PYTHON, "-I", seccomp.__file__, str(number), ",".join(map(str, calls))]


@pytest.mark.parametrize(
    ("name", "number"),
    [*((name, errno.EPERM) for name in CALLS), ("all", errno.ENOSYS), ("limits", errno.EINVAL)],
    ids=lambda value: value if isinstance(value, str) else errno.errorcode[value],
)
def test_newer_calls_may_be_refused(tmp_path: Path, root: None, name: str, number: int) -> None:
    """EPERM is what engines older than a call answer, ENOSYS kernels: both mean that there is none."""
    stray = "setsid sh -c 'trap \"\" TERM; sleep 1000' & "
    address = f"unix:{tmp_path}/listen"
    apps = [
        shell("a", POLITE, post_start=["true"], watch=[str(tmp_path / "watched")]),
        shell(
            "b", stray + FOREVER, kill_timeout="300ms", uid="nobody", cwd="/", out_file=str(tmp_path / "log")
        ),
        shell("c", POLITE, instances=2, listen=[address], max_memory_restart="1G"),
        shell("d", POLITE, exec_mode="cluster", instances=2),
    ]
    (tmp_path / "watched").mkdir()
    file = ecosystem(tmp_path, *apps)
    with Running([*sandboxed(number, CALLS[name]), PIDONE, "--socket", str(tmp_path / "s"), file]) as run:
        run.expect(event="instance.online", count=6)
        run.expect(message="up", count=5)  # their traps are set
        run.expect(event="control.listening")
        asked = [PIDONE, "reload", "c", "--socket", str(tmp_path / "s")]
        done = subprocess.run(asked, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        run.signal(signal.SIGTERM)
        assert run.wait() in (0, 124)
        assert run.find(message="heard TERM", app="a")
        assert run.find(message="heard TERM", app="d")
        for event in ("instance.spawn_failed", "runtime.error", "runtime.refused", "log.file_failed"):
            assert not run.find(event=event)
        assert run.err is not None
        assert "Traceback" not in run.err.text()


@pytest.mark.parametrize(
    ("call", "number"),
    [(seccomp.PRCTL, errno.EPERM), (seccomp.INOTIFY_INIT1, errno.ENOSYS)],
    ids=["prctl", "inotify"],
)
def test_files_are_watched_where_a_call_is_refused(tmp_path: Path, call: int, number: int) -> None:
    """The helper ends when its pipe breaks, where it cannot ask to end with us; without inotify it polls."""
    folder = tmp_path / "watched"
    folder.mkdir()
    file = ecosystem(tmp_path, shell("a", POLITE, watch=str(folder), ready_delay="10ms"))
    with Running([*sandboxed(number, [call]), PIDONE, "--socket", "none", file]) as run:
        run.expect(event="instance.online")
        names = (str(number) for number in range(10_000))
        eventually(
            lambda: (folder / next(names)).write_text("") == 0 and len(run.find(event="instance.start")) > 1,
            "a change to be seen",
            every=0.2,
        )
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert run.err is not None
        assert "Traceback" not in run.err.text()


REFUSED = {
    "filter": [seccomp.BY_NAME.get("seccomp", -1)],
    "copies": [seccomp.PIDFD_GETFD],
    "processes": [seccomp.PIDFD_OPEN],
}


@pytest.mark.skipif(not listener.is_known(), reason="takes Linux 5.9 on x86-64 or arm64")
@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EINVAL], ids=errno.errorcode.get)
@pytest.mark.parametrize("name", REFUSED)
def test_ports_that_the_kernel_may_not_share_are_given_up(
    tmp_path: Path, port: int, name: str, number: int
) -> None:
    """Whoever binds first has them, and one record says why; before, we held them and nobody could."""
    bind = (
        "import socket, signal; server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, 2, 1);"
        f"server.bind(('127.0.0.1', {port})); server.listen(); print('serves', flush=True); signal.pause()"
    )
    keys = {"interpreter": "none", "args": ["-c", bind], "share": "kernel", "max_restarts": 5}
    app = {"name": "a", "script": PYTHON, "listen": [f"127.0.0.1:{port}"], **keys}
    file = ecosystem(tmp_path, app)
    with Running([*sandboxed(number, REFUSED[name]), PIDONE, "--socket", "none", file]) as run:
        run.expect(message="serves")
        socket.create_connection(("127.0.0.1", port)).close()
        (told,) = run.find(event="listen.unshared")
        assert errno.errorcode[number] in told["message"]
        assert "is given up" in told["message"]
        os.kill(run.pid, signal.SIGHUP)  # the file as it is
        run.expect(event="config.reload")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGRTMIN + 3, signal.SIGRTMIN + 6, signal.SIGPWR])
def test_stop_signals_of_other_inits(tmp_path: Path, number: int) -> None:
    """What an image inherits from a base with systemd, and what LXC sends, stops in order."""
    with pidone(ecosystem(tmp_path, shell("a", POLITE))) as run:
        run.expect(message="up")
        run.signal(number)
        assert run.wait() == 0
        assert run.find(message="heard TERM")


def test_a_resized_terminal_concerns_nobody(tmp_path: Path) -> None:
    """Apache stops at it. One record says what to set if it was meant."""
    file = ecosystem(tmp_path, shell("a", "trap 'echo resized' WINCH; " + POLITE))
    with pidone(file) as run:
        run.expect(message="up")
        for _ in range(3):
            run.signal(signal.SIGWINCH)
            eventually(lambda: run.find(event="runtime.signal"), "the record")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert not run.find(message="resized")
        (told,) = run.find(event="runtime.signal")
        assert "STOPSIGNAL" in told["message"]


@pytest.mark.parametrize("number", [signal.SIGRTMIN + 13, signal.SIGSTKFLT])
def test_another_stop_signal_is_not_ignored_without_a_word(tmp_path: Path, number: int) -> None:
    """One record says what to set, in words that the file takes."""
    file = ecosystem(tmp_path, shell("a", POLITE))
    with pidone(file) as run:
        run.expect(message="up")
        for _ in range(2):
            run.signal(number)
        told = run.expect(event="runtime.signal")
        assert f'{told["signal"]} = "stop" in [runtime.signals]' in told["message"]
    meant = ecosystem(tmp_path, shell("a", POLITE), runtime={"signals": {told["signal"]: "stop"}})
    with pidone(meant) as run:
        run.expect(message="up")
        run.signal(number)
        assert run.wait() == 0


def test_the_stop_signal_of_every_app_stops_the_whole(tmp_path: Path) -> None:
    """As of a haproxy image, SIGUSR1: passed on it would end the app, which would be started again."""
    script = "trap 'echo soft; exit 0' USR1; echo up; while :; do sleep 0.05; done"
    app = shell("a", script, kill_signal="SIGUSR1")
    with pidone(ecosystem(tmp_path, app)) as run:
        run.expect(message="up")
        run.signal(signal.SIGUSR1)
        assert run.wait() == 0
        assert len(run.find(message="soft")) == 1
        assert len(run.find(event="instance.start")) == 1
    with pidone(ecosystem(tmp_path, app, runtime={"signals": {"SIGUSR1": "forward"}})) as run:
        run.expect(message="up")
        run.signal(signal.SIGUSR1)
        run.expect(event="instance.start", count=2)


@pytest.mark.parametrize(("meaning", "message"), [("stop", "heard TERM"), ("forward", "resized")])
def test_a_resized_terminal_may_be_meant(tmp_path: Path, meaning: str, message: str) -> None:
    """As the file says."""
    script = "trap 'echo resized' WINCH; " + POLITE
    file = ecosystem(tmp_path, shell("a", script), runtime={"signals": {"SIGWINCH": meaning}})
    with pidone(file) as run:
        run.expect(message="up")
        run.signal(signal.SIGWINCH)
        run.expect(message=message)


FOR_US = {
    "NOTIFY_SOCKET": "/nowhere/notify",
    "LISTEN_FDS": "1",
    "LISTEN_FDNAMES": "web",
    "LISTEN_PID": "1",
    "WATCHDOG_USEC": "1000000",
    "WATCHDOG_PID": "1",
}


def test_what_our_manager_tells_us_is_not_for_apps(tmp_path: Path) -> None:
    """Nor for hooks and probes; what an app's own env says is."""
    show = "env | grep -E '^(NOTIFY_|LISTEN_|WATCHDOG_)' >> {0}; echo end >> {0}"
    marks = [tmp_path / name for name in ("app", "hook", "probe")]
    app, hook, probe = (["/bin/sh", "-c", show.format(mark)] for mark in marks)
    one = shell("a", "", env={"LISTEN_FDNAMES": "mine"}, post_start=hook, ready={"exec": probe})
    one["args"] = ["-c", f"{app[2]}; {FOREVER}"]
    with pidone(ecosystem(tmp_path, one), env=FOR_US) as run:
        run.expect(event="instance.online")
        for mark in marks:
            eventually(lambda mark=mark: mark.exists() and "end" in mark.read_text(), mark.name)  # type: ignore[misc]
            assert mark.read_text().splitlines()[:2] == ["LISTEN_FDNAMES=mine", "end"]


@pytest.mark.parametrize("pid1", [False, True])
def test_an_app_of_another_user_opens_its_output_anew(tmp_path: Path, root: None, *, pid1: bool) -> None:
    """As nginx does with /dev/stdout and /dev/stderr, and many with /proc/self/fd/1."""
    script = "echo one >/dev/stdout; echo two >/proc/self/fd/1; echo three >/dev/stderr; exec sleep 1000"
    hook = ["/bin/sh", "-c", "echo four >/dev/stdout"]
    file = ecosystem(tmp_path, shell("a", script, cwd="/", uid="nobody", post_start=hook))
    with pidone(file, pid1=pid1) as run:
        for word in ("one", "two", "three", "four"):
            run.expect(message=word)


@pytest.mark.parametrize("stays", [False, True])
def test_apps_end_with_a_runtime_that_was_killed(tmp_path: Path, *, stays: bool) -> None:
    """Where it is not process 1, whose end is everybody's; unless they shall not."""
    keys = {"die_with_runtime": False} if stays else {}
    with pidone(ecosystem(tmp_path, shell("a", "exec sleep 1000", **keys))) as run:
        app = run.expect(event="instance.start")["pid"]
        guards = [] if stays else [_guard_of(run.pid, app)]
        run.signal(signal.SIGKILL)
        run.wait()
        if stays:
            assert alive(app)
            os.kill(app, signal.SIGKILL)
        for pid in (app, *guards):
            eventually(lambda pid=pid: not alive(pid), "its end")  # type: ignore[misc]
            os.waitpid(pid, 0)


WRAPPED = {
    "shell": {"script": "sleep 1000 & exec >/dev/null; sleep 1001"},
    "another user": {"script": "sleep 1000 & sleep 1001", "uid": "nobody"},
    "own session": {"script": "setsid sleep 1000 & sleep 1001"},
    "tree": {"script": "sleep 1000 & sleep 1001", "kill_mode": "tree"},
    "stubborn": {"script": "trap '' TERM; sleep 1000 & sleep 1001", "kill_timeout": "300ms"},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_what_an_app_has_started_ends_with_a_runtime_that_was_killed(
    tmp_path: Path, root: None, kind: str
) -> None:
    """As behind `npm start` or a shell: its signal alone would reach the one that is in front."""
    keys: dict[str, Any] = {**WRAPPED[kind]}
    app = shell("a", keys.pop("script"), cwd="/", ready_delay="10ms", **keys)
    with pidone(ecosystem(tmp_path, app)) as run:
        main = run.expect(event="instance.start")["pid"]
        guard = _guard_of(run.pid, main)
        eventually(lambda: len(descendants(main)) >= 2, "its children")
        family = {main, *descendants(main)}
        run.signal(signal.SIGKILL)
        run.wait()
        for pid in (*family, guard):
            eventually(lambda pid=pid: not alive(pid), "its end")  # type: ignore[misc]
        _bury(family | {guard})


def test_descendants_may_live_on_after_a_runtime_that_was_killed(tmp_path: Path) -> None:
    """With `kill_mode = "process"`, as after an orderly stop."""
    app = shell("a", "sleep 1000 & wait", kill_mode="process")
    with pidone(ecosystem(tmp_path, app)) as run:
        main = run.expect(event="instance.start")["pid"]
        guard = _guard_of(run.pid, main)
        (child,) = eventually(lambda: descendants(main), "its child")
        run.signal(signal.SIGKILL)
        run.wait()
        for pid in (main, guard):
            eventually(lambda pid=pid: not alive(pid), "its end")  # type: ignore[misc]
        assert alive(child)
        os.kill(child, signal.SIGKILL)
        eventually(lambda: not alive(child), "its end")
        _bury({main, guard, child})


def _bury(pids: set[int]) -> None:
    """Those that were left to us; a parent of theirs may have buried others."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def test_a_guard_that_was_killed_is_replaced_and_knows_all(tmp_path: Path) -> None:
    """Also of apps that were started before it, and of those that have ended meanwhile."""
    script = "trap 'echo gone; exit' TERM; while :; do sleep 0.05; done"
    with pidone(ecosystem(tmp_path, shell("a", script), shell("b", script))) as run:
        apps = [run.expect(event="instance.start", app=name)["pid"] for name in ("a", "b")]
        first = _guard_of(run.pid, *apps)
        os.kill(first, signal.SIGKILL)
        second = _guard_of(run.pid, *apps, first)
        os.kill(apps[0], signal.SIGKILL)
        apps[0] = run.expect(event="instance.start", app="a", restarts=1)["pid"]
        assert _guard_of(run.pid, *apps) == second
        run.signal(signal.SIGKILL)
        run.wait()
        for pid in (*apps, second):
            eventually(lambda pid=pid: not alive(pid), "its end")  # type: ignore[misc]
            os.waitpid(pid, 0)


def test_a_guard_ends_with_an_orderly_stop(tmp_path: Path) -> None:
    """It is nobody's leftover, and takes no time."""
    with pidone(ecosystem(tmp_path, shell("a", "exec sleep 1000"))) as run:
        app = run.expect(event="instance.start")["pid"]
        guard = _guard_of(run.pid, app)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert not alive(guard)


def _guard_of(runtime: int, *others: int) -> int:
    """The one child beside the apps."""

    def find() -> int | None:
        listed = Path(f"/proc/{runtime}/task/{runtime}/children").read_text()
        left = {int(pid) for pid in listed.split()} - {*others}
        if len(left) != 1:  # what an app that was killed has left is adopted, until it is buried
            return None
        (pid,) = left
        return pid if alive(pid) and "sleep" not in command_of(pid) else None

    return eventually(find, "the guard")


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_exec_that_may_not_signal_says_so_and_ends(root: None) -> None:
    """As tini does; a command of another user may run under it."""
    command = [PIDONE, "exec", "-v", "--", "setpriv", "--reuid=65534", "--clear-groups", "sleep", "1000"]
    argv = ["setpriv", "--bounding-set=-kill", "--inh-caps=-kill", "--", *command]
    with Running(argv) as run:
        assert run.err is not None
        err = run.err
        eventually(lambda: "started" in err.text(), "the start")
        child = eventually(lambda: _only_child(run.pid), "the command")
        eventually(lambda: Path(f"/proc/{child}").stat().st_uid == 65534, "the command to be somebody else")
        run.signal(signal.SIGTERM)
        assert run.wait() == 1
        assert "SIGTERM may not be sent to the command" in err.text()
        assert "CAP_KILL" in err.text()
        assert "sent 15" not in err.text()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _only_child(pid: int) -> int | None:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(found[0]) if found else None


BROKEN = {
    "crlf": (b"#!/bin/sh\r\necho\r\n", "its first line ends with CR LF"),
    "interpreter": (b"#!/no/such/shell -e\n", "its interpreter /no/such/shell does not exist"),
    "loader": (None, "its dynamic loader does not exist"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_program_that_cannot_run_says_why(tmp_path: Path, kind: str) -> None:
    """Under exec and as an app: "No such file" is not what anybody would look for."""
    content, message = BROKEN[kind]
    if content is None:
        content = Path("/bin/true").resolve().read_bytes()
        start = (
            content.index(b"/lib64/ld-linux") if b"/lib64/ld-linux" in content else content.index(b"/lib/ld-")
        )
        content = content[:start] + b"/nope" + content[start + 5 :]
    program = tmp_path / "program"
    program.write_bytes(content)
    program.chmod(0o755)
    done = subprocess.run([PIDONE, "exec", str(program)], capture_output=True, text=True, check=False)
    assert (done.returncode, message in done.stderr) == (127, True)
    app = {"name": "a", "script": str(program), "interpreter": "none", "autorestart": False}
    with pidone(ecosystem(tmp_path, app)) as run:
        assert run.wait() == 127
        assert message in run.find(event="instance.spawn_failed")[0]["message"]


@pytest.mark.parametrize("words", [["ecosystem"], ["exec", "sleep", "1000"]], ids=["start", "exec"])
def test_a_stop_in_the_first_moment_of_process_1(tmp_path: Path, root: None, words: list[str]) -> None:
    """While there is only an interpreter that starts: the signal waits for its handler."""
    file = ecosystem(tmp_path, shell("a", FOREVER))
    argv = [PIDONE, *(file if word == "ecosystem" else word for word in words)]
    for _ in range(5):
        with Running(argv, pid1=True) as run:
            child = eventually(lambda pid=run.process.pid: _only_child(pid), "process 1", every=0.0)  # type: ignore[misc]
            eventually(lambda pid=child: _is_starting(pid), "the interpreter", every=0.0)  # type: ignore[misc]
            os.kill(child, signal.SIGTERM)
            assert run.wait() in (0, 143)


def _is_starting(pid: int) -> bool:
    return "python" in os.path.basename(os.readlink(f"/proc/{pid}/exe"))


def test_commands_as_process_1_can_be_interrupted(root: None) -> None:
    """What has no signal handlers finds its signals as they were."""
    with Running([PIDONE, "exec", "grep", "SigBlk", "/proc/self/status"], pid1=True) as run:
        assert run.wait() == 0
        assert run.out is not None
        assert run.out.text().split() == ["SigBlk:", "0" * 16]
