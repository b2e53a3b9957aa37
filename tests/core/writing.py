"""Writing ecosystems for tests."""

import json
import sys
from pathlib import Path
from typing import Any


def ecosystem(folder: Path, *apps: dict[str, Any], name: str = "ecosystem.json", **top: Any) -> str:
    """Write a JSON ecosystem and return its path."""
    path = folder / name
    path.write_text(json.dumps({"apps": list(apps), **top}))
    return str(path)


def shell(name: str, script: str, **keys: Any) -> dict[str, Any]:
    """An app that is a line of sh."""
    return {"name": name, "script": "/bin/sh", "interpreter": "none", "args": ["-c", script], **keys}


def python(folder: Path, name: str, source: str, **keys: Any) -> dict[str, Any]:
    """An app that is a Python program."""
    script = folder / f"{name}.py"
    script.write_text(source)
    return {"name": name, "script": str(script), "interpreter": sys.executable, **keys}


FOREVER = "while :; do sleep 1000; done"
"""A shell that is replaced by nobody: its sleep is a child of it."""

PRINT_SIGNALS = """
import signal, sys, time
def note(number, frame):
    print("got", signal.Signals(number).name, flush=True)
    if number in (signal.SIGTERM, signal.SIGINT):
        sys.exit(0)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
               signal.SIGWINCH, signal.SIGCONT, signal.SIGALRM):
    signal.signal(number, note)
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""
"""A signal between the interpreter's look for one and a sleep is seen after the sleep: so it is short."""
