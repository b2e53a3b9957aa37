"""The start: an app's first line, with half a CPU too, an init's, a hundred apps, a stop that comes at once.

Programs are run in turns, so that all meet the same machine; differences are those of one round. Other work
of the machine is in every figure: `chrt -f 50 make bench ARGS=start` has the least of it.
"""

import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Final

from bench.beside import PIDONE, Command, Programs, children, in_turns, sleepers
from bench.figures import Figure

ROUNDS: Final = int(os.environ.get("START_ROUNDS", "15"))
MANY: Final = 100
MANY_ROUNDS: Final = int(os.environ.get("START_MANY_ROUNDS", "3"))
QUOTA: Final = 0.5
EARLY_S: Final = 0.02
"""In which a stop is asked for, in steps, after process 1 has been executed."""
EARLY_STEPS: Final = 20
_BARE: Final = (sys.executable, "-I", "-S", "-c", "pass")
_GROUPS: Final = Path("/sys/fs/cgroup")


def run() -> Iterable[Figure]:
    """Two minutes; a peer that is not there is left out."""
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder))
        for language in ("toml", "js"):
            yield from bench.first_line(language)
        with half_a_cpu() as prefix:
            if prefix:
                yield bench.first_line_in(prefix)
        yield bench.cpu_time()
        yield bench.init()
        yield bench.many()
        if os.geteuid() == 0:  # PID namespaces
            yield bench.stopped_early()


class _Bench(Programs):
    def first_line(self, language: str) -> Iterator[Figure]:
        """How much later than without a runtime an app's first line is seen, in each round."""
        ours, theirs, floor = self._overheads(language)
        what = f"first line of a Python app, {language}, beyond plain Python"
        yield Figure(what, "ms", ours, target="45", met=statistics.median(ours) <= 45)
        yield Figure("  plain Python, which is the floor", "ms", floor)
        if theirs:
            yield _share("  as a share of pm2-runtime's", ours, theirs, 6)

    def first_line_in(self, prefix: Command) -> Figure:
        """The same where the container has half a CPU."""
        ours, theirs, _ = self._overheads("js", prefix)
        what = f"first line with a CPU quota of {QUOTA}"
        return _share(what, ours, theirs, 5) if theirs else Figure(what, "ms", ours)

    def _overheads(self, language: str, prefix: Command = ()) -> tuple[list[float], list[float], list[float]]:
        """Ours, theirs, and plain Python's own time; milliseconds."""
        hello, javascript = self.folder / "hello.py", self.folder / "hello.config.js"
        app = {"name": "hello", "script": str(hello), "interpreter": self.python}
        javascript.write_text(f"module.exports = {json.dumps({'apps': [app]})}")
        toml = self.folder / "hello.toml"
        toml.write_text(f'[[apps]]\nname = "hello"\nscript = "{hello}"\ninterpreter = "{self.python}"\n')
        commands: list[Command] = [[self.python, str(hello)]]
        commands.append([PIDONE, str(toml if language == "toml" else javascript)])
        if self.peer:
            commands.append([self.peer, "start", str(javascript)])
        tasks = [partial(self.until_first_line, [*prefix, *command]) for command in commands]
        floor, ours, *rest = in_turns(ROUNDS, tasks)
        return _beyond(ours, floor), _beyond(rest[0], floor) if rest else [], floor

    def cpu_time(self) -> Figure:
        """Of the runtime, its reading child and `true`, from the start to the end of all."""
        file = self.folder / "true.toml"
        file.write_text(
            '[[apps]]\nname = "t"\nscript = "/bin/true"\ninterpreter = "none"\nautorestart = false\n'
        )
        ours, floor = in_turns(
            ROUNDS, [partial(_cpu_ms, [PIDONE, "--socket", "none", str(file)]), partial(_cpu_ms, _BARE)]
        )
        return Figure("CPU time of a start that runs true", "ms", ours, floor, "an interpreter")

    def init(self) -> Figure:
        """`pidone exec`, and what of it is the interpreter's."""
        ours, floor = in_turns(
            ROUNDS, [partial(_wall_ms, [PIDONE, "exec", "--", "true"]), partial(_wall_ms, _BARE)]
        )
        beyond = _beyond(ours, floor)
        met = statistics.median(beyond) <= 3
        return Figure("exec -- true, beyond an interpreter", "ms", beyond, floor, "which takes", "3", met)

    def many(self) -> Figure:
        """Until the last of a hundred apps has been executed."""

        def up(command: Command) -> float:
            began = time.monotonic()
            with self.running(command, apps=MANY, patience=120):
                return (time.monotonic() - began) * 1e3

        commands = self.commands(sleepers(MANY))
        ours, *theirs = in_turns(MANY_ROUNDS, [partial(up, command) for command in commands])
        what = f"{MANY} apps up"
        return _share(what, ours, theirs[0], 8) if theirs else Figure(what, "ms", ours)

    def stopped_early(self) -> Figure:
        """How many stops are lost of those that come as soon as process 1 has been executed."""
        [command, *_] = self.commands(sleepers(1))
        lost = sum(not self._stops(command, EARLY_S * step / EARLY_STEPS) for step in range(EARLY_STEPS))
        what = f"SIGTERMs lost of {EARLY_STEPS}, in the first {EARLY_S * 1e3:g} ms of process 1"
        return Figure(what, "", [lost], target="0", met=lost == 0)

    def _stops(self, command: Command, after_s: float) -> bool:
        with self.started(["unshare", "--fork", "--pid", "--mount-proc", *command]) as process:
            while not (found := [pid for pid in children(process.pid) if _has_executed(pid, command[0])]):
                time.sleep(0.0002)
            time.sleep(after_s)
            os.kill(found[0], signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.kill(found[0], signal.SIGKILL)
                return False
            return True


@contextlib.contextmanager
def half_a_cpu() -> Iterator[Command]:
    """What to put before a command, so that it gets half a CPU; nothing where no group can be made.

    The kernel gives real-time tasks no quota, so that who measures by `chrt` has this measured without.
    """
    v1 = _GROUPS / "cpu"
    group = (v1 if v1.is_dir() else _GROUPS) / f"pidone-bench-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        yield ()
        return
    try:
        if v1.is_dir():
            (group / "cpu.cfs_period_us").write_text("100000")
            (group / "cpu.cfs_quota_us").write_text(str(int(QUOTA * 100000)))
        else:
            (group / "cpu.max").write_text(f"{int(QUOTA * 100000)} 100000")
        usual = ("chrt", "-o", "0") if shutil.which("chrt") else ()
        yield (*usual, "sh", "-c", f'echo $$ >{group}/cgroup.procs && exec "$@"', "sh")
    except OSError:  # a controller that is not enabled here
        yield ()
    finally:
        deadline = time.monotonic() + 10
        while group.is_dir() and time.monotonic() < deadline:
            try:
                group.rmdir()
            except OSError:  # somebody in it has not been buried yet
                time.sleep(0.1)


def _has_executed(pid: int, program: str) -> bool:
    """Whether it is that program by now, or what that becomes, and not what starts it."""
    try:
        return program.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"unshare")[0]
    except OSError:
        return False


def _beyond(values: Sequence[float], floor: Sequence[float]) -> list[float]:
    return [value - least for value, least in zip(values, floor, strict=True)]


def _share(what: str, ours: Sequence[float], theirs: Sequence[float], part: int) -> Figure:
    met = statistics.median(ours) <= statistics.median(theirs) / part
    ratio = statistics.median(ours) / statistics.median(theirs)
    target = f"at most 1/{part} of theirs (is {ratio:.2f})"
    return Figure(what, "ms", ours, theirs, "pm2-runtime", target, met)


def _wall_ms(command: Command) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True)
    return (time.monotonic() - began) * 1e3


def _cpu_ms(command: Command) -> float:
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = getrusage(RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1e3
