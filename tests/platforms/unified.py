"""The core suite, and what only a unified hierarchy (version 2) with controllers can show.

`python3 -m platforms.unified PIDONE [NAME ...]` needs root and an empty group /sys/fs/cgroup/suite that
passes on `cpu`, `memory` and `pids`; otherwise it is like core.py.
"""

import contextlib
import itertools
import os
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from platforms import core
from platforms.core import PATIENCE_S, Run, Starting, check, free_port, python, shell, until

SUITE: Final = Path("/sys/fs/cgroup/suite")
FOREVER: Final = "while :; do sleep 1000; done"
GROWS: Final = """
import sys, time
print("up", flush=True)
kept = []
for _ in range(int(sys.argv[1])):
    kept.append(bytearray(b"x") * (4 << 20))
    time.sleep(0.02)
print("grown", flush=True)
time.sleep(1000)
"""
_NUMBERS = itertools.count()


@contextlib.contextmanager
def group(**values: str) -> Iterator[Path]:
    """A group with these values of its files (`memory_max` is `memory.max`)."""
    folder = SUITE / f"case{next(_NUMBERS)}"
    folder.mkdir()
    for name, value in values.items():
        (folder / name.replace("_", ".")).write_text(value)
    yield folder


def inside(start: Starting, folder: Path, *apps: dict[str, Any], **runtime: Any) -> Run:
    """Start pidone as a member of the group; what asks it is none."""
    program, wrapper = start.program, f"/tmp/enter-{folder.name}"
    Path(wrapper).write_text(f'#!/bin/sh\necho $$ >{folder}/cgroup.procs\nexec {program} "$@"\n')
    os.chmod(wrapper, 0o755)
    start.program = wrapper
    try:
        run = start(*apps, **runtime)
    finally:
        start.program = program
    run.program = program
    return run


def grows(mib: int, **more: Any) -> dict[str, Any]:
    """An app that takes so much memory."""
    app = python(GROWS, ready="log:up", listen_timeout=core.WAIT, **more)
    return {**app, "args": [*app["args"], str(mib // 4)]}


def cpu_max(start: Starting) -> None:
    """`instances = "max"` follows cpu.max up and down while it runs."""
    with group(cpu_max="100000 100000") as folder:
        run = inside(start, folder, shell(FOREVER, instances="max", ready_delay="10ms"))
        check(run.expect(event="runtime.start")["cpus"] == 1, "the CPUs at the start")
        run.expect(event="instance.online")
        (folder / "cpu.max").write_text("max 100000")
        run.expect(event="instance.online", instance=1)
        (folder / "cpu.max").write_text("50000 100000")
        run.expect(event="instance.exit", instance=1)
        check(len(run.records(event="app.scale")) == 2, "told twice")
        check(not run.records(event="instance.exit", instance=0), "the first one serves on")


def memory_max(start: Starting) -> None:
    """A share of memory.max follows it."""
    with group(memory_max=str(400 << 20)) as folder:
        keys = {"max_memory_restart": "80%", "memory_interval": "100ms"}
        run = inside(start, folder, shell(FOREVER, ready_delay="10ms", **keys))
        run.expect(event="instance.online")
        until(lambda: os.path.exists(run.socket), "the control socket", run)
        (folder / "memory.max").write_text(str(200 << 20))
        told = run.expect(event="host.resize", resource="memory")
        check((told["previous"], told["now"]) == (400 << 20, 200 << 20), str(told))


def oom_kill(start: Starting) -> None:
    """The kernel's kill is named, and the next ones come slower and slower."""
    with group(memory_max=str(100 << 20)) as folder:
        run = inside(start, folder, grows(400, min_uptime="10ms"))
        told = run.expect(event="instance.exit", signal="SIGKILL")
        check("OOM killer" in told["reason"], told["reason"])
        check("limit 100 MiB" in told["reason"], told["reason"])
        run.expect(event="instance.backoff", delay_s=1)


def oom_group(start: Starting) -> None:
    """With memory.oom.group, as the kubelet sets it, all of the container ends at once; nothing is left."""
    with group(memory_max=str(100 << 20), memory_oom_group="1") as folder:
        run = inside(start, folder, grows(400))
        check(run.process.wait(PATIENCE_S * 2) == -9, f"the runtime's end: {run.process.returncode}")
        until(lambda: not (folder / "cgroup.procs").read_text(), "everybody to end")


def memory_high(start: Starting) -> None:
    """Above memory.high everybody in the group is slow; the runtime still answers, and stops in time."""
    with group(memory_high=str(90 << 20)) as folder:
        run = inside(start, folder, grows(100, kill_timeout="5s"))
        run.expect(message="up")
        events = folder / "memory.events"
        until(lambda: "high 0\n" not in events.read_text(), "the limit to be felt", run)

        def answers() -> bool:
            """The first one may give up: what answers is read from files then, in this very group."""
            with contextlib.suppress(core.WrongError):
                return '"apps"' in run.ask("ls", "--json")
            return False

        until(answers, "ls", run)
        check(run.end() in (0, 124), "its end")


def pressure(start: Starting) -> None:
    """PSI of the group is in /metrics."""
    with group() as folder:
        port = free_port()
        run = inside(start, folder, shell(FOREVER, ready_delay="10ms"), admin=f"127.0.0.1:{port}")

        def metrics() -> str:
            with contextlib.suppress(OSError):
                address = f"http://127.0.0.1:{port}/metrics"
                with urllib.request.urlopen(address, timeout=PATIENCE_S) as response:
                    return str(response.read().decode())
            return ""

        until(lambda: "pidone_container_pressure_seconds_total{" in metrics(), "the pressure", run)
        check('scope="container"' in metrics(), "whose it is")


UNIFIED: Final[dict[str, Callable[[Starting], None]]] = {
    each.__name__: each for each in (cpu_max, memory_max, oom_kill, oom_group, memory_high, pressure)
}

if __name__ == "__main__":
    core.CASES.update(UNIFIED)
    sys.exit(core.main(sys.argv[1], sys.argv[2:]))
