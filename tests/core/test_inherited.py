"""What a process inherits and nobody asked for: masks, dispositions, limits, descriptors, variables."""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from harness import PIDONE, Running, eventually
from writing import ecosystem

PROBE = """
import json, os, resource, signal, time
ignored = [n for n in range(1, 32) if signal.getsignal(n) is signal.SIG_IGN]
told = {"blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "ignored": ignored,
        "descriptors": sorted(map(int, os.listdir("/proc/self/fd")))[:-1]}
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
print(json.dumps({"message": "told", **told}), flush=True)
while True: time.sleep(0.05)
"""
PYTHONS_OWN = [signal.SIGPIPE, signal.SIGXFSZ]
"""What an interpreter ignores by itself."""


def all_ignored() -> None:
    for number in set(range(1, 32)) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)


def all_blocked() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


ALARM_S = 4.0
"""Time enough to put a handler in on the busiest machine: before that the timer ends whoever it meets."""


def timer_runs() -> None:
    signal.setitimer(signal.ITIMER_REAL, ALARM_S)


def descriptors_left_open() -> None:
    null = os.open("/dev/null", os.O_RDWR)
    for number in (3, 4, 5, 6, 7, 63, 200):
        os.dup2(null, number, inheritable=True)


def many_descriptors_allowed() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def small_stack() -> None:
    resource.setrlimit(resource.RLIMIT_STACK, (256 << 10, 256 << 10))


def no_rights_for_files() -> None:
    os.umask(0o777)


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    "before",
    [
        *(all_ignored, all_blocked, timer_runs, descriptors_left_open, many_descriptors_allowed),
        *(small_stack, no_rights_for_files),
    ],
    ids=lambda before: before.__name__,
)
def test_it_works_and_apps_begin_afresh(tmp_path: Path, before: Callable[[], None]) -> None:
    """Nothing of it hinders us, and signals and descriptors of an app are as a shell would start it."""
    works(tmp_path, lasts_s=ALARM_S if before is timer_runs else 0.0, preexec_fn=before, close_fds=False)


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"HOME": "/nonexistent\n", "USER": "", "PATH": os.environ["PATH"]},
        {"TZ": ":/etc/shadow", "LANG": "xx_YY.KLINGON", "LC_ALL": "de_DE.ISO-8859-1"},
        {"NAME\udcff": "\udcfe\x01\x1b[31m", "LINES": "a\nb", "COLUMNS": "many"},
        {f"V{number}": "x" * 100 for number in range(5000)},
    ],
    ids=["none", "no_home", "unknown_places", "no_text", "many"],
)
def test_odd_variables(tmp_path: Path, env: Mapping[str, str]) -> None:
    """Whatever a platform puts in: it is the apps' matter."""
    works(tmp_path, prefix=["env", "-i"], env=env)


def works(
    folder: Path,
    *,
    prefix: tuple[str, ...] | list[str] = (),
    env: Mapping[str, str] | None = None,
    lasts_s: float = 0.0,
    **popen: Any,
) -> None:
    """Start an app, hear what it has found, and stop in order, after a while, without a word of complaint."""
    app = {"name": "a", "script": sys.executable, "args": ["-ISc", PROBE], "interpreter": "none", "cwd": "/"}
    file = ecosystem(folder, {**app, "ready": "log:told", "listen_timeout": "1m"})
    words = [*prefix, *(f"{name}={value}" for name, value in (env or {}).items())]
    with Running([*words, PIDONE, "--socket", str(folder / "s"), file], **popen) as run:
        began = time.monotonic()
        told = run.expect(message="told")
        assert told["blocked"] == []
        assert told["ignored"] == PYTHONS_OWN
        assert told["descriptors"] == [0, 1, 2]
        run.expect(event="instance.online")
        eventually(lambda: time.monotonic() - began > lasts_s, "what was set before to happen")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert not [each for each in run.records if each.get("level") in ("warning", "error")]
        assert run.err is not None
        assert run.err.text() == ""
