"""A whole runtime that is stopped while everybody talks: nothing of what was said is missing."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from harness import PIDONE, Running
from writing import ecosystem, python

APPS = 16
CHATTY = """
import os, signal, sys, time
said = 0
def say(count):
    global said
    data = b"".join(b"%d some words of a chatty app\\n" % n for n in range(said, said + count))
    said += count
    while data:
        data = data[os.write(1, data):]
def stop(*_):
    say(3000)
    os.write(1, b"%d end" % said)
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
while True:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    say(100)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    time.sleep(0.01)
"""


@pytest.mark.parametrize("pause", [0.0, 0.001], ids=["", "slow reader"])
def test_nothing_is_lost_while_sixteen_chatty_apps_are_stopped(tmp_path: Path, pause: float) -> None:
    """Each app's last words come whole, in order and before its exit, and the runtime's own exit is last."""
    keys = {"ready_delay": 0, "kill_timeout": "60s"}  # this is not about how fast the reader is
    apps = [python(tmp_path, f"a{n}", CHATTY, **keys) for n in range(APPS)]
    read, write = os.pipe()
    with Running([PIDONE, ecosystem(tmp_path, *apps)], stdout=write) as run, os.fdopen(read, "rb") as out:
        os.close(write)
        said: dict[str, int] = {}
        ended: set[str] = set()
        gone: set[str] = set()
        asked = False
        for line in out:
            record = json.loads(line)
            name = record.get("app", "")
            if record.get("event") == "instance.exit":
                assert name in ended, record
                gone.add(name)
            elif "event" not in record:
                number, *words = record["message"].split()
                assert int(number) == said.get(name, 0)
                if words == ["end"]:
                    ended.add(name)
                    continue
                said[name] = int(number) + 1
                if len(said) == APPS and not asked:
                    asked = True
                    run.signal(signal.SIGTERM)
                if pause and int(number) % 100 == 0:
                    time.sleep(pause)
        assert gone == ended == {f"a{n}" for n in range(APPS)}
        assert record["event"] == "runtime.exit"
        assert run.wait() == 0
