"""sd_notify, notify descriptors and probes, from real processes."""

import errno
import itertools
import os
import socket
from pathlib import Path

import pytest
from harness import eventually
from hypothesis import given
from hypothesis import strategies as st
from listen.fleet import Fleet, app_of, python_app

from pidone.ecosystem.spec import AppSpec, Probe, Readiness
from pidone.errors import ListenError
from pidone.init import proctree
from pidone.listen.readiness.notify import parse
from pidone.listen.readiness.probes import pauses

SAY = """
import os, socket, sys, time
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect("\\0" + os.environ["NOTIFY_SOCKET"][1:])
def say(*lines):
    notify.send("\\n".join(lines).encode())
"""
NOTIFY = Readiness(notify=True)


def notifying(code: str, **keys: object) -> AppSpec:
    return python_app(SAY + code, ready=NOTIFY, **keys)


def test_all_messages(fleet: Fleet) -> None:
    """READY, STATUS, EXTEND_TIMEOUT_USEC, RELOADING and MAINPID of a child arrive as what they are."""
    member = fleet.start(
        notifying("""
child = os.fork()
if child == 0:
    time.sleep(60)
say("STATUS=warming up", "EXTEND_TIMEOUT_USEC=2500000")
say(f"MAINPID={child}", "READY=1", "STATUS=at work")
say("RELOADING=1", "MONOTONIC_USEC=123")
time.sleep(60)
""")
    )
    fleet.eventually(lambda: "reloading" in member.heard("status"), "the last message")
    assert member.heard("ready") == ["notify"]
    assert member.heard("status") == ["warming up", "at work", "reloading"]
    assert member.heard("extend") == [2.5]
    (child,) = member.heard("main_pid")
    member.signal(9)
    os.kill(child, 9)
    fleet.gone(member)
    os.waitpid(child, 0)  # adopted by the test


def test_foreign_main_pid_is_refused(fleet: Fleet) -> None:
    """A process cannot make us signal somebody else."""
    member = fleet.start(
        notifying('say(f"MAINPID={os.getppid()}"); say("MAINPID=x"); say("READY=1"); time.sleep(60)')
    )
    fleet.ready(member)
    assert not member.heard("main_pid")
    assert any(f"MAINPID={os.getpid()}: not a descendant" in text for text in fleet.log.of("channel.ignored"))


def test_a_number_without_end_is_no_process(fleet: Fleet) -> None:
    """Python makes no number of so many digits; what follows in the message counts all the same."""
    member = fleet.start(notifying('say("MAINPID=" + "9" * 5000, "READY=1"); time.sleep(60)'))
    fleet.ready(member)
    assert not member.heard("main_pid")
    assert any("MAINPID=999" in text for text in fleet.log.of("channel.ignored"))


def test_where_proc_cannot_be_read_that_is_told(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor is left to look at somebody with: he is not believed, and what he himself says counts."""

    def read(_pid: int) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(proctree, "read", read)
    member = fleet.start(
        notifying("""
if (child := os.fork()) == 0:
    say("READY=1")
    os._exit(0)
os.waitpid(child, 0)
say(f"MAINPID={child}", "STATUS=at work")
time.sleep(60)
""")
    )
    fleet.eventually(lambda: member.heard("status"), "the last message")
    assert not member.heard("ready")
    assert not member.heard("main_pid")
    by_whom, what = fleet.log.of("channel.ignored")
    assert "datagram of process" in by_whom
    assert "MAINPID=" in what
    assert all("Too many open files" in each for each in (by_whom, what))


def test_stranger_is_ignored(fleet: Fleet) -> None:
    """A datagram of a process that is not the app's is ignored, and the log says so."""
    member = fleet.start(notifying('say("STATUS=here"); time.sleep(60)'))
    fleet.eventually(lambda: member.heard("status"), "a first message")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.connect("\0" + member.handover.env["NOTIFY_SOCKET"][1:])
        stranger.send(b"READY=1")
        fleet.eventually(lambda: fleet.log.of("channel.ignored"), "the notice")
    assert not member.heard("ready")
    assert f"datagram of process {os.getpid()}" in fleet.log.of("channel.ignored")[0]


def test_grandchild_may_notify(fleet: Fleet) -> None:
    """Descendants speak for the app, as with NotifyAccess=all."""
    member = fleet.start(
        python_app(
            "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])",
            SAY + 'say("READY=1"); time.sleep(60)',  # who is gone when it is heard has no family
            ready=NOTIFY,
        )
    )
    assert fleet.ready(member) == "notify"


def test_notify_from_another_user(root: None, fleet: Fleet) -> None:
    """The socket needs no permission: a process that runs as nobody can be ready too."""
    app = app_of(
        "/usr/bin/python3", "-c", SAY + 'say("READY=1"); time.sleep(60)', ready=NOTIFY, uid=65534, gid=65534
    )
    assert fleet.ready(fleet.start(app)) == "notify"


def test_barrier_is_lifted(fleet: Fleet) -> None:
    """BARRIER=1: the pipe closes once everything before it has been handled (sd_notify_barrier)."""
    member = fleet.start(
        notifying("""
import array, select
ours, theirs = os.pipe()
say("READY=1")
notify.sendmsg([b"BARRIER=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs]))])
os.close(theirs)
waiting = select.poll(); waiting.register(ours, 0)
print("lifted" if waiting.poll(10000) else "stuck", flush=True)
""")
    )
    assert fleet.gone(member) == 0
    assert member.text().strip() == "lifted"
    assert member.heard("ready") == ["notify"]


def test_watchdog_expires(fleet: Fleet) -> None:
    """An app that promised to be heard from and falls silent has failed."""
    code = 'say("READY=1")\nfor _ in range(5): time.sleep(0.05); say("WATCHDOG=1")\ntime.sleep(60)'
    app = notifying(code, env={"WATCHDOG_USEC": "300000"})
    member = fleet.start(app)
    assert member.handover.env["WATCHDOG_USEC"] == "300000"
    fleet.eventually(lambda: member.heard("failed"), "the watchdog")
    assert member.heard("failed") == ["no WATCHDOG=1 for 0.3 s"]


def test_watchdog_trigger_and_change(fleet: Fleet) -> None:
    """WATCHDOG=trigger fails at once; WATCHDOG_USEC sets the interval; 0 turns it off."""
    member = fleet.start(notifying('say("READY=1"); say("WATCHDOG=trigger"); time.sleep(60)'))
    fleet.eventually(lambda: member.heard("failed"), "the trigger")
    member = fleet.start(notifying('say("READY=1", "WATCHDOG_USEC=50000"); time.sleep(60)'))
    fleet.eventually(lambda: member.heard("failed"), "the watchdog")
    assert member.heard("failed") == ["no WATCHDOG=1 for 0.05 s"]
    code = """
say("READY=1", "WATCHDOG_USEC=50000")
say("WATCHDOG_USEC=0")
print("said", flush=True)
time.sleep(0.2)
say("STATUS=alive")
time.sleep(60)
"""
    member = fleet.start(notifying(code))
    eventually(lambda: "said" in member.text(), "both to be said")  # nobody listens in between, nor watches
    fleet.eventually(lambda: member.heard("status"), "the status")
    assert not member.heard("failed")


@given(st.binary(max_size=300))
def test_parse_survives_everything(data: bytes) -> None:
    """Any bytes are some fields, and no field of its own contains a line break."""
    for key, value in parse(data).items():
        assert "\n" not in key + value
        assert "=" not in key


def test_parse_takes_the_last() -> None:
    """Of two equal keys the later counts; a value may contain an equals sign."""
    assert parse(b"A=1\nA=2=3\nnothing\n") == {"A": "2=3"}


def test_ready_fd(fleet: Fleet) -> None:
    """A newline on the agreed descriptor is readiness (s6); bytes without one are not."""
    code = "import os, time; os.write(7, b'half '); time.sleep(0.1); os.write(7, b'done\\n'); time.sleep(60)"
    assert fleet.ready(fleet.start(python_app(code, ready=Readiness(fd=7)))) == "fd"


def test_ready_fd_closed_without_a_word(fleet: Fleet) -> None:
    """Closing the descriptor without a newline is no readiness, and no busy loop."""
    member = fleet.start(python_app("import os, time; os.close(7); time.sleep(60)", ready=Readiness(fd=7)))
    watched = _watched(fleet)
    # A descriptor at its end is always readable: whoever goes on watching it never sleeps again.
    fleet.eventually(lambda: len(watched - _watched(fleet)) == 1, "the pipe not to be watched any more")
    assert not member.heard("ready")


def _watched(fleet: Fleet) -> set[int]:
    return set(fleet.loop._selector.get_map())  # type: ignore[attr-defined]


def test_any_program_can_say_ready(fleet: Fleet) -> None:
    """A Python program that writes `"ready"` on descriptor 3 is ready, as under PM2."""
    code = """
import json, os
channel = os.fdopen(int(os.environ["NODE_CHANNEL_FD"]), "r+b", buffering=0)
channel.write(b'"ready"\\n')
print(json.loads(channel.readline()), flush=True)
"""
    member = fleet.start(python_app(code, ready=Readiness(ipc=True)))
    assert member.handover.env["NODE_CHANNEL_FD"] == "3"
    assert fleet.ready(member) == "ipc"
    assert member.handover.send("shutdown")
    assert fleet.gone(member) == 0
    assert member.text().strip() == "shutdown"


def test_last_words(fleet: Fleet) -> None:
    """What a program said right before it ended is heard, even if its end is noticed first."""
    code = "import os; os.write(int(os.environ['NODE_CHANNEL_FD']), b'%a\\n' % 9**99 * 999 + b'\"last\"\\n')"
    member = fleet.start(python_app(code, shutdown_with_message=True))
    fleet.gone(member)
    assert member.heard("message")[-1] == "last"


SERVER = """
import http.server, os, time, sys
class Handler(http.server.BaseHTTPRequestHandler):
    answers = 0
    def do_GET(self):
        Handler.answers += 1
        self.send_response(200 if Handler.answers in range(3, 8) else 503)
        self.end_headers()
    def log_message(self, *_): pass
time.sleep(0.2)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_http_probes(fleet: Fleet, port: int) -> None:
    """Ready at the first 200, failed after so many other answers in a row."""
    probe = Probe(http="/health", interval=0.02, timeout=2.0, failures=3)
    ready = Readiness(probe=probe)
    member = fleet.start(python_app(SERVER, ready=ready, health=probe, env={"PORT": str(port)}))
    assert fleet.ready(member) == "probe"
    fleet.eventually(lambda: member.heard("failed"), "the failures")
    assert member.heard("failed") == ["health check failed 3 times in a row: HTTP 503"]


def test_first_looks_follow_quickly(fleet: Fleet, port: int) -> None:
    """A server that needs a moment is found ready soon after that, and not a second later."""
    code = (
        "import socket, time; time.sleep(0.3); "
        f"server = socket.create_server(('127.0.0.1', {port})); print(time.monotonic(), flush=True); "
        "time.sleep(600)"
    )
    quickest = 60.0
    for index in range(5):  # the machine may be busy with something else now and then
        member = fleet.start(python_app(code, ready=Readiness(probe=Probe(tcp=str(port)))), index)
        fleet.ready(member)
        found = fleet.loop.time()
        fleet.eventually(lambda member=member: member.text().endswith("\n"), "when it was ready")  # type: ignore[misc]
        quickest = min(quickest, found - float(member.text()))
        member.signal(9)
        fleet.gone(member)
    assert quickest < 0.6


def test_pauses_between_looks() -> None:
    """They grow to a second; what the file says is what it means."""
    unset = list(itertools.islice(pauses(Probe(tcp="80")), 30))
    assert unset[0] == 0.02
    assert unset == sorted(unset)
    assert sum(unset[:8]) < 1.0
    assert unset[-1] == 1.0
    assert list(itertools.islice(pauses(Probe(tcp="80", interval=0.5)), 3)) == [0.5] * 3


def test_tcp_probe_and_grace(fleet: Fleet, port: int) -> None:
    """A refused connection is a failure, but not within the grace period."""
    member = fleet.start(
        python_app(
            "import time; time.sleep(60)",
            ready=Readiness(fd=9),
            health=Probe(tcp=str(port), interval=0.01, failures=2, grace=0.3),
        )
    )
    began = fleet.loop.time()
    member.handover.online()
    fleet.eventually(lambda: member.heard("failed"), "the failures")
    assert fleet.loop.time() - began >= 0.3
    assert member.heard("failed") == ["health check failed 2 times in a row: Connection refused"]


def test_exec_probe(tmp_path: Path) -> None:
    """The command's exit code decides; it is run by whoever may run processes."""
    codes = [1, 1, 0]
    seen: list[tuple[str, ...]] = []

    async def run_command(_app: AppSpec, argv: tuple[str, ...]) -> tuple[int, str]:
        seen.append(argv)
        return codes.pop(0), ""

    with Fleet(tmp_path, run_command) as fleet:
        probe = Probe(exec=("check", "it"), interval=0.01)
        member = fleet.start(python_app("import time; time.sleep(60)", ready=Readiness(probe=probe)))
        assert fleet.ready(member) == "probe"
        assert seen == [("check", "it")] * 3


def test_exec_probe_of_one_of_many(tmp_path: Path) -> None:
    """The command knows which instance it is to judge, as that itself does."""
    asked: list[str] = []

    async def run_command(app: AppSpec, argv: tuple[str, ...]) -> tuple[int, str]:
        del argv
        asked.append(f"{app.env['NODE_APP_INSTANCE']} {app.env['PORT']}")
        return 0, ""

    with Fleet(tmp_path, run_command) as fleet:
        ready = Readiness(probe=Probe(exec=("check",), interval=0.01))
        app = python_app("import time; time.sleep(60)", ready=ready, instances=2, increment_var="PORT")
        app = app.but(env={"PORT": "7000"})
        for index in range(2):
            assert fleet.ready(fleet.start(app, index)) == "probe"
        assert asked == ["0 7000", "1 7001"]


def test_probe_that_hangs_times_out(fleet: Fleet, port: int) -> None:
    """A server that accepts and says nothing is not healthy."""
    with socket.create_server(("127.0.0.1", port)):
        probe = Probe(http=f"http://localhost:{port}/", interval=0.01, timeout=0.05, failures=2)
        member = fleet.start(python_app("import time; time.sleep(60)", ready=Readiness(fd=9), health=probe))
        member.handover.online()
        fleet.eventually(lambda: member.heard("failed"), "the failures")
    assert member.heard("failed") == ["health check failed 2 times in a row: no answer within 0.05 s"]


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        (Probe(http="/x"), "needs a port"),
        (Probe(http="https://localhost/"), "only http://"),
        (Probe(http="http://example.com/"), "IP address or localhost"),
        (Probe(http="http://localhost:99999/"), "Port out of range"),
        (Probe(tcp="web"), "no port"),
        (Probe(exec=("true",)), "not available"),
    ],
)
def test_impossible_probes(fleet: Fleet, probe: Probe, message: str) -> None:
    """What cannot be probed is refused at the start, not at the first failure."""
    with pytest.raises(ListenError, match=message):
        fleet.broker.open(python_app("", health=probe, env={"PORT": "x"}))
