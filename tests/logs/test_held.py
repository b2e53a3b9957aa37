"""Nothing of a process that has ended is held: a container restarts its apps a million times."""

import gc
import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import harness
import pytest
from harness import PYTHON
from logs.relaying import Stage, app, stage

from pidone.contracts import Outlet
from pidone.logs import output
from pidone.supervise.run.loop import EarlyLoop

MANY, MORE = 300, 100


def held(package: str = "pidone.logs") -> Counter[str]:
    """How many objects of a package's classes live, by class."""
    gc.collect()
    found: Counter[str] = Counter()
    for kind, count in Counter(map(type, gc.get_objects())).items():  # a million objects are of few classes
        if (name := f"{kind.__module__}.{kind.__qualname__}").startswith(package):
            found[name] += count
    return found


def ended_in_drain(it: Stage, outlet: Outlet) -> None:
    """The commonest way: the reaper is told before the loop looks at the pipe."""
    it.say(outlet, b"short\n")
    outlet.spawned(1)
    outlet.finish()


def ended_in_the_loop(it: Stage, outlet: Outlet) -> None:
    it.say(outlet, b"short\n")
    outlet.spawned(1)
    it.turn(lambda: not it.relay._readers)
    outlet.finish()


def ended_amid_a_line(it: Stage, outlet: Outlet) -> None:
    it.say(outlet, b"x" * 40_000, stream="stderr")
    outlet.spawned(1)
    outlet.finish()


def ended_before_it_began(it: Stage, outlet: Outlet) -> None:
    del it
    outlet.finish()


def ended_while_a_descendant_writes(it: Stage, outlet: Outlet) -> None:
    copy = os.dup(outlet.stdout)
    outlet.spawned(1)
    outlet.finish()
    os.write(copy, b"later\n")
    os.close(copy)
    it.turn(lambda: not it.relay._readers)


@pytest.mark.parametrize(
    "end",
    [
        ended_in_drain,
        ended_in_the_loop,
        ended_amid_a_line,
        ended_before_it_began,
        ended_while_a_descendant_writes,
    ],
)
@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("keys", [{}, {"multiline": "python"}, {"overflow": "drop", "rate_limit": 1000}])
def test_a_stream_that_has_ended_is_dropped(
    end: Callable[[Stage, Outlet], None], keys: dict[str, Any], log_format: str
) -> None:
    """Hundreds of short processes, however they ended, leave as many objects as one."""
    with stage(log_format=log_format) as it:
        spec = app(**keys)
        for _ in range(MANY):  # records are kept up to a size
            end(it, it.open(spec))
        it.turn(lambda: True)
        before = held()
        for _ in range(MORE):
            end(it, it.open(spec))
        it.turn(lambda: True)
        assert {kind: n for kind, n in (held() - before).items() if n >= MORE // 10} == {}


def test_a_stream_that_ended_behind_a_full_stdout_is_dropped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be handed over at the end is, once there is room; then the stream goes."""
    monkeypatch.setattr(output, "OVERFULL", output.FULL)
    read, write = os.pipe()
    with stage(write) as it:
        for _ in range(10):
            outlet = it.open(app())
            it.say(outlet, b"\n" * 20_000)  # a hundred bytes of record each
            outlet.spawned(1)
            outlet.finish()
        assert it.relay._readers, "stdout was to be overfull"
        os.set_blocking(read, False)

        def take() -> bool:
            while it.relay._readers:
                try:
                    os.read(read, 1 << 20)
                except BlockingIOError:
                    break
            return not it.relay._readers

        it.turn(take)
        assert held()["pidone.logs.pipes.PipeReader"] == 0
        os.close(read)
    os.close(write)


def test_the_early_loop_holds_nothing_of_what_it_has_handed_over() -> None:
    """What it knew of readers and timers is the real loop's now; ended ones would stay for good."""
    loop = EarlyLoop(0.0)
    read, write = os.pipe()

    class Mark:
        def heard(self) -> None:
            """Is never called."""

    mark = Mark()
    loop.add_reader(read, mark.heard)
    loop.call_later(0, mark.heard)
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    loop.remove_reader(read)
    os.close(read)
    os.close(write)
    try:
        gc.collect()
        assert [ref for ref in gc.get_referrers(mark) if type(ref).__name__ == "method"] == []
    finally:
        loop.close()


WATCHED = """
import gc, json, os, sys, threading, time
from collections import Counter
from pidone.__main__ import main

folder = os.getcwd()

def tell():
    for number in range(2):
        while not os.path.exists(f"{folder}/ask{number}"):
            time.sleep(0.01)
        gc.collect()
        kinds = Counter(f"{type(o).__module__}.{type(o).__qualname__}" for o in gc.get_objects())
        with open(folder + "/draft", "w") as file:
            json.dump(kinds, file)
        os.rename(folder + "/draft", f"{folder}/told{number}")

threading.Thread(target=tell, daemon=True).start()
sys.exit(main())
"""
"""A runtime that tells on request of what kinds its objects are."""

CRASHING = """
[apps.crash]
script = "/bin/sh"
args = ["-c", "echo x; echo y >&2; exit 1"]
restart_delay = 0
max_restarts = 1000000
hooks.on_exit = "echo ended"
"""


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A runtime whose only app crashes as fast as it can, with a hook each time."""
    (tmp_path / "pidone.toml").write_text(CRASHING)
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(
            [PYTHON, "-W", "ignore", "-c", WATCHED, "pidone.toml"], cwd=tmp_path, stdout=out
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(harness.DEADLINE_S)


@pytest.mark.usefixtures("runtime")
def test_a_crash_loop_with_hooks_leaves_no_objects_behind(tmp_path: Path) -> None:
    """However often an app has crashed, the runtime holds as much as after the first times."""
    out = tmp_path / "out"

    def ask(number: int, exits: int) -> Counter[str]:
        harness.eventually(lambda: out.read_bytes().count(b'"instance.exit"') >= exits, "crashes", 60)
        (tmp_path / f"ask{number}").touch()
        told = tmp_path / f"told{number}"
        harness.eventually(told.exists, "the answer")
        return Counter(json.loads(told.read_text()))

    before, after = ask(0, 350), ask(1, 950)  # 100 events are kept of an app, 200 of all
    assert {kind: n for kind, n in (after - before).items() if n >= 300} == {}
