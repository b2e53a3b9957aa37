"""Which process of an app is the main one: who is signalled, shown and asked to stop (MAINPID=)."""

import json
import os
import signal
import subprocess
from pathlib import Path

from harness import PIDONE, eventually, pidone
from writing import ecosystem, python

NAMES_ITS_CHILD = """
import os, signal, socket, sys, time
def say(line):
    os.write(1, line.encode() + b"\\n")  # at once: two processes write here
def heard(number, frame):
    say(f"heard {signal.Signals(number).name} as {'child' if child == 0 else 'parent'}")
    if number == signal.SIGTERM:
        sys.exit(0)
child = None
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, heard)
child = os.fork()
if child == 0:
    say("child runs")
else:
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.connect("\\0" + os.environ["NOTIFY_SOCKET"][1:])
    notify.send(f"MAINPID={child}\\nREADY=1".encode())
    say(f"its child is {child}")
while True:
    time.sleep(0.02)
"""


def test_the_named_process_is_the_main_one(tmp_path: Path) -> None:
    """Signals and the stop go to it while its parent lives, and `ls` shows it; its parent stops after it."""
    file = ecosystem(tmp_path, python(tmp_path, "a", NAMES_ITS_CHILD, ready="notify", kill_timeout="20s"))
    socket = tmp_path / "control"
    with pidone(file, env={"PIDONE_SOCKET": str(socket)}) as run:
        named = int(run.expect_line("its child is").rstrip('"}').split()[-1])
        run.expect_line("child runs")  # Python's fork forgets signals that reach the child before that
        run.expect(event="instance.online")
        run.expect(event="control.listening")
        # A command takes seconds on a busy machine, and may come before the pid that was named.
        eventually(lambda: _shown_pid(socket) == named, "the named pid in `ls`", timeout=90)
        run.signal(signal.SIGUSR1)
        run.expect_line("heard SIGUSR1 as child")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        heard = [r["message"] for r in run.records if str(r.get("message", "")).startswith("heard")]
        assert heard == ["heard SIGUSR1 as child", "heard SIGTERM as child", "heard SIGTERM as parent"]
        assert not run.find(event="instance.kill")


NAMES_IT_LATE = """
import os, signal, socket, sys, time
def say(line):
    os.write(1, line.encode() + b"\\n")
def tell(text):
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.connect("\\0" + os.environ["NOTIFY_SOCKET"][1:])
    notify.send(text.encode())
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(None))
tell("READY=1")
while not asked:
    time.sleep(0.02)
asked.clear()
can_hear, hears = os.pipe()
child = os.fork()
if child:
    os.read(can_hear, 1)  # Python's fork forgets signals that reach the child before it is through
    tell(f"MAINPID={child}")
else:
    os.write(hears, b"x")
while not asked:
    time.sleep(0.02)
say(f"heard SIGTERM as {'parent' if child else 'child'}")
"""


def test_who_is_named_during_a_stop_is_asked_as_well(tmp_path: Path) -> None:
    """Nobody is killed who was never asked to end."""
    file = ecosystem(tmp_path, python(tmp_path, "a", NAMES_IT_LATE, ready="notify", kill_timeout="60s"))
    with pidone(file) as run:
        run.expect(event="instance.online")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        heard = [r["message"] for r in run.records if str(r.get("message", "")).startswith("heard")]
        assert heard == ["heard SIGTERM as child", "heard SIGTERM as parent"]
        assert not run.find(event="instance.kill")


def _shown_pid(socket: Path) -> int:
    done = subprocess.run(
        [PIDONE, "jlist"],
        env={**os.environ, "PIDONE_SOCKET": str(socket)},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(json.loads(done.stdout)[0]["pid"])
