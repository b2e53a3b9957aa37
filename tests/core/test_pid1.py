"""pidone as process 1 of a real PID namespace."""

import os
import signal
import subprocess
import time
from pathlib import Path

import harness
import pytest
from harness import pidone
from writing import FOREVER, PRINT_SIGNALS, ecosystem, python, shell

pytestmark = pytest.mark.usefixtures("root")


def catches_sigterm(pid: int) -> bool:
    """Whether a handler for SIGTERM is installed."""
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("after_ms", [0, 5, 10, 20, 40, 80, 160, 320])
def test_an_early_sigterm_is_never_lost(tmp_path: Path, after_ms: int) -> None:
    """From the moment its handlers are in, a SIGTERM at any point of the start is an orderly stop.

    Before that moment the kernel discards it (PID 1 has no default dispositions); the next test is about how
    early that moment is.
    """
    file = ecosystem(tmp_path, shell("a", FOREVER))
    with pidone(file, pid1=True) as run:
        pid = run.pid
        harness.eventually(lambda: catches_sigterm(pid))
        began = time.monotonic()
        while time.monotonic() - began < after_ms / 1000:
            time.sleep(0.001)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        # A machine so busy that the file is not read within the grace of a stop has nothing to end either.
        assert run.err is not None
        unread = "stopped before the ecosystem was read" in run.err.text()
        assert unread or [r["event"] for r in run.records][-1] == "runtime.exit"


def test_handlers_come_before_anything_slow() -> None:
    """What is imported before the handlers are in is a handful of tiny modules, and none of the library."""
    code = """
import sys
before = set(sys.modules)
import pidone.__main__, pidone.cli.main, pidone.init.signals
pidone.init.signals.SignalInbox()
print(*sorted(set(sys.modules) - before))
"""
    with harness.Running([harness.PYTHON, "-I", "-c", code]) as run:
        assert run.wait() == 0
        assert run.out is not None
        imported = run.out.text().split()
    assert all(name.partition(".")[0] == "pidone" for name in imported), imported
    assert len(imported) <= 8


@pytest.mark.parametrize("init", ["command", "tini", "dumb_init"])
def test_an_init_for_one_command_imports_no_library(init: str) -> None:
    """A container's start waits for every module; typing and contextlib cost milliseconds each."""
    code = f"""
import sys
before = set(sys.modules)
import pidone.init.bare.main, pidone.init.bare.{init}
new = set(sys.modules) - before
print(*sorted(name for name in new if sys.modules[name].__spec__.origin.endswith(".py")))
"""
    with harness.Running([harness.PYTHON, "-I", "-c", f"import pidone\n{code}"]) as run:
        assert run.wait() == 0
        assert run.out is not None
        imported = run.out.text().split()
    assert f"pidone.init.bare.{init}" in imported
    assert [name for name in imported if not name.startswith("pidone.")] == []


def test_signals_that_a_parent_has_blocked_are_heard(tmp_path: Path) -> None:
    """A blocked one would wait for ever: neither a stop nor the end of a child hangs on who started us."""
    block = "import os, signal as s, sys; s.pthread_sigmask(s.SIG_BLOCK, s.valid_signals()); "
    argv = [harness.PYTHON, "-c", block + "os.execv(sys.argv[1], sys.argv[1:])", harness.PIDONE]
    job = shell("job", "echo done", autorestart=False)
    with harness.Running([*argv, ecosystem(tmp_path, job, shell("a", FOREVER))]) as run:
        run.expect(event="instance.exit", app="job", code=0)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_orphans_are_reaped(tmp_path: Path) -> None:
    """An app that double-forks leaves no zombie behind."""
    script = "for i in 1 2 3 4 5; do (sh -c 'exit 0' & ) ; done; echo forked; sleep 1000"
    with pidone(ecosystem(tmp_path, shell("a", script)), pid1=True) as run:
        run.expect(message="forked")
        harness.eventually(
            lambda: all(harness.state(pid) != "Z" for pid in harness.descendants(run.pid)) or None
        )
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("pid1", [True, False], ids=["pid1", "subreaper"])
def test_a_stop_signal_stops_in_order(tmp_path: Path, number: int, *, pid1: bool) -> None:
    """The apps get their kill_signal, whatever signal we got, and the code is 0."""
    file = ecosystem(tmp_path, python(tmp_path, "a", PRINT_SIGNALS))
    with pidone(file, pid1=pid1) as run:
        run.expect(message="ready")
        run.signal(number)
        assert run.wait() == 0
        assert run.find(message="got SIGTERM")
        assert run.find(event="instance.exit", code=0, reason="stop")


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2", "SIGCONT"])
def test_signals_for_the_apps_are_forwarded(tmp_path: Path, name: str) -> None:
    """Every instance's main process gets them."""
    file = ecosystem(tmp_path, python(tmp_path, "a", PRINT_SIGNALS, instances=2, exec_mode="fork"))
    with pidone(file, pid1=True) as run:
        run.expect(message="ready", count=2)
        run.signal(getattr(signal, name))
        run.expect(message=f"got {name}", count=2)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_the_signal_map_can_be_changed(tmp_path: Path) -> None:
    """[runtime.signals] sends one signal as another, ignores one, and makes one stop."""
    file = ecosystem(
        tmp_path,
        python(tmp_path, "a", PRINT_SIGNALS),
        runtime={
            "signals": {"SIGUSR1": "SIGHUP", "SIGUSR2": "ignore", "SIGHUP": "forward", "SIGALRM": "stop"}
        },
    )
    with pidone(file, pid1=True) as run:
        run.expect(message="ready")
        run.signal(signal.SIGUSR2)
        run.signal(signal.SIGUSR1)
        run.expect(message="got SIGHUP")
        run.signal(signal.SIGALRM)
        assert run.wait() == 0
        assert not run.find(message="got SIGUSR2")


def test_a_second_signal_kills(tmp_path: Path) -> None:
    """An app that ignores SIGTERM has no say against the second one."""
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    file = ecosystem(tmp_path, shell("a", script, kill_timeout="60s"))
    with pidone(file, pid1=True) as run:
        run.expect(message="ready")
        run.signal(signal.SIGTERM)
        run.expect(event="instance.stop")
        run.signal(signal.SIGINT)
        assert run.wait() == 128 + signal.SIGINT


def test_an_app_that_ignores_sigterm_is_killed_after_kill_timeout(tmp_path: Path) -> None:
    """The stop always ends; that something had to be killed shows in the code."""
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    file = ecosystem(tmp_path, shell("a", script, kill_timeout="300ms"))
    with pidone(file, pid1=True) as run:
        run.expect(message="ready")
        run.signal(signal.SIGTERM)
        assert run.wait() == 124
        assert run.find(event="instance.exit", signal="SIGKILL")


def test_a_suspended_app_is_woken_to_stop(tmp_path: Path) -> None:
    """SIGTERM alone would be heard by nobody: it gets SIGCONT too, and stops in order."""
    with pidone(ecosystem(tmp_path, python(tmp_path, "a", PRINT_SIGNALS)), pid1=True) as run:
        run.expect(message="ready")
        [app] = harness.eventually(lambda: harness.children(run.pid), "the app")
        harness.hold(app)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert run.find(message="got SIGTERM")


def test_only_the_main_process_is_told_to_stop(tmp_path: Path) -> None:
    """A group-wide SIGTERM would kill workers before their master can drain them."""
    source = f"""
import os, signal, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", {PRINT_SIGNALS!r}])
def drain(number, frame):
    time.sleep(0.3)
    print("master lets its worker go", flush=True)
    worker.send_signal(signal.SIGTERM)
    sys.exit(worker.wait())
signal.signal(signal.SIGTERM, drain)
print("master ready", flush=True)
while True: time.sleep(0.05)
"""
    with pidone(ecosystem(tmp_path, python(tmp_path, "a", source)), pid1=True) as run:
        run.expect(message="ready")
        run.expect(message="master ready")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        said = [r["message"] for r in run.find(app="a", stream="stdout")]
        assert said[2:] == ["master lets its worker go", "got SIGTERM"]


def test_what_escapes_the_group_is_found_and_ended(tmp_path: Path) -> None:
    """A daemon that left group and session by a double fork gets SIGTERM and time before we end."""
    source = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        def end(number, frame):
            print("stray ends well", flush=True)
            os._exit(0)
        signal.signal(signal.SIGTERM, end)
        print("stray", os.getpid(), flush=True)
        while True: time.sleep(0.05)
    os._exit(0)
os.wait()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True: time.sleep(0.05)
"""
    with pidone(ecosystem(tmp_path, python(tmp_path, "a", source)), pid1=True) as run:
        run.expect_line("stray")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert run.find(message="stray ends well")


def test_a_stop_is_as_quick_with_an_unreaped_child_as_without(tmp_path: Path) -> None:
    """The peer takes a zombie for a living process and waits for it twice over."""
    source = """
import os, sys, time
if os.fork() == 0: os._exit(0)
print("ready", flush=True)
while True: time.sleep(0.05)
"""
    file = ecosystem(tmp_path, python(tmp_path, "a", source, kill_timeout="60s"))
    with pidone(file, pid1=True) as run:
        run.expect(message="ready")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        exit_ = run.find(event="instance.exit")[0]
        assert exit_["signal"] == "SIGTERM"
        assert not run.find(event="instance.kill")


def test_leftovers_of_a_crash_are_cleared_before_the_next_life(tmp_path: Path) -> None:
    """A worker that outlives its crashed master is ended first; its last words are in the log."""
    source = """
import os, signal, sys, time
life = os.environ["PIDONE_INSTANCE"].rpartition(":")[2]
is_up, up = os.pipe()
if os.fork() == 0:
    def end(number, frame):
        print("worker of life", life, "ends", flush=True)
        os._exit(0)
    signal.signal(signal.SIGTERM, end)
    print("worker of life", life, flush=True)
    os.write(up, b"x")
    while True: time.sleep(0.05)
os.read(is_up, 1)
time.sleep(0 if life == "1" else 1000)
os._exit(3)
"""
    with pidone(ecosystem(tmp_path, python(tmp_path, "a", source)), pid1=True) as run:
        run.expect(message="worker of life 2")
        said = [r["message"] for r in run.records if r.get("stream") == "stdout"]
        assert said == ["worker of life 1", "worker of life 1 ends", "worker of life 2"]
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_a_daemon_of_a_namesake_is_not_a_leftover(tmp_path: Path) -> None:
    """Two namespaces may each have an app of one name: the end of one leaves the other's daemon alone."""
    daemon = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print("daemon", flush=True)
        time.sleep(1000)
    os._exit(0)
os.wait()
time.sleep(1000)
"""
    file = ecosystem(
        tmp_path,
        python(tmp_path, "a", daemon, namespace="one"),
        shell("a", "sleep 0.5; exit 3", namespace="two"),
    )
    with pidone(file, pid1=True) as run:
        run.expect_line("daemon")
        run.expect(event="instance.start", count=4)  # leftovers are cleared before the next life
        harness.eventually(  # while others end, the kernel may leave some out
            lambda: sum("a.py" in harness.command_of(pid) for pid in harness.descendants(run.pid)) == 2,
            "the daemon and who started it",
        )
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_neither_ps_nor_a_home_nor_a_writable_folder_is_needed(tmp_path: Path) -> None:
    """Nothing but /proc: no PATH, no HOME, no PM2_HOME."""
    file = ecosystem(tmp_path, shell("a", "echo up; while :; do /bin/sleep 1000; done"))
    argv = ["env", "-i", harness.PIDONE, file]
    with harness.Running(argv, pid1=True, cwd="/") as run:
        run.expect(message="up")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_no_descriptor_leaks_over_restarts(tmp_path: Path) -> None:
    """After many lives we hold as many descriptors as after the first, and no zombie."""
    file = ecosystem(
        tmp_path,
        shell("crashing", "sleep 0.01; exit 1", max_restarts=40),
        shell("steady", FOREVER),
    )
    with pidone(file, pid1=True) as run:
        run.expect(event="instance.online", app="steady")
        run.expect(event="instance.errored", app="crashing")
        run.expect(event="control.listening")
        # 0-2, stdout opened anew, the loop's epoll and its two sockets, the signal pipe, two of steady's,
        # the control socket, the one in reserve
        expected = 3 + 1 + 3 + 2 + 2 + 1 + 1
        folder = f"/proc/{run.pid}/fd"
        try:
            harness.eventually(lambda: len(os.listdir(folder)) == expected, "what was open to be closed")
        except AssertionError:
            held = subprocess.run(["ls", "-l", folder], capture_output=True, text=True, check=False).stdout
            raise AssertionError(f"not {expected}:\n{held}") from None
        harness.eventually(
            lambda: all(harness.state(pid) != "Z" for pid in harness.descendants(run.pid)), "burials"
        )
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_apps_hold_no_descriptor_of_ours(tmp_path: Path) -> None:
    """Only 0, 1 and 2, and each app its own pipes."""
    file = ecosystem(tmp_path, shell("a", "echo $(ls /proc/self/fd); exec sleep 1000"))
    leak = os.open("/etc/hostname", os.O_RDONLY)
    try:
        with pidone(file, pid1=True, pass_fds=(leak,)) as run:
            line = run.expect(app="a", stream="stdout")["message"]
            assert line.split() == ["0", "1", "2", "3"], "3 is the folder that ls reads"
            run.signal(signal.SIGTERM)
            assert run.wait() == 0
    finally:
        os.close(leak)


def test_it_adopts_orphans_without_being_pid_1(tmp_path: Path) -> None:
    """In a shared PID namespace orphans come to us, not to whoever is PID 1 there."""
    script = "(sh -c 'echo orphan; sleep 1000' &); sleep 0.1; exec sleep 1000"
    with pidone(ecosystem(tmp_path, shell("a", script))) as run:
        run.expect(message="orphan")
        harness.eventually(lambda: len(harness.children(run.pid)) >= 2, "the orphan to be adopted")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
