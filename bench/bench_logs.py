"""The log pipeline beside pm2-runtime: throughput, fairness, a stalled stdout, latency.

The writer of a throughput run gives its lines in big blocks, so that it is never the bottleneck; what counts
is the time from the first record on stdout to the last.
"""

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from bench import peers
from bench.figures import Figure
from bench.wakeups import HAVE_STRACE, system_calls

PIDONE: Final = str(Path(sysconfig.get_path("scripts")) / "pidone")
ROUNDS: Final = int(os.environ.get("LOGS_ROUNDS", "15"))
LINES: Final = 1_000_000
PEER_LINES: Final = 1_000_000
WRITERS: Final = 16
BLOCK: Final = 200
STALL_S: Final = 15.0
LATENCY_LINES: Final = 200
QUIET: Final = 10
SETTLE_S: Final = 3.0
IDLE_S: Final = 10.0

PLAIN: Final = "2026-11-20 hello from app number 12345 ok"
OBJECT: Final = '{"level":"info","time":"2026-11-20T23:04:43.697Z","msg":"request done","ms":12.5}'

FILTERS: Final = {"log_drop": ["GET /healthz "], "log_redact": [r"password=(\S+)", r"[Bb]earer (\S+)"]}
"""Probe noise and two kinds of secrets."""
SECRET: Final = "2026-11-20 login of app number 12345 with password=hunter2"
FILTER_ROUNDS: Final = 15

MANY_LINES: Final = 2_000_000
"""Of all writers together."""
_WRITER: Final = """
import os, sys, time
block = (sys.argv[2] + "\\n").encode() * 200
if len(sys.argv) > 3:
    open(os.path.join(sys.argv[3], str(os.getpid())), "w").close()
    while not os.path.exists(os.path.join(sys.argv[3], "go")):
        time.sleep(0.001)
for _ in range(int(sys.argv[1]) // 200):
    left = memoryview(block)
    while left:
        left = left[os.write(1, left):]
time.sleep(600)
"""
_TICKER: Final = """
import os, time
while True:
    time.sleep(0.02)
    os.write(1, b"%d\\n" % time.monotonic_ns())
"""


def run() -> Iterable[Figure]:
    """Measure everything; about two minutes."""
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder))
        plain = bench.rates(PLAIN)
        met = statistics.median(plain) >= 4e6
        yield Figure("plain lines to NDJSON, one writer", "lines/s", plain, target="4e6", met=met)
        merged = bench.rates(OBJECT)
        met = statistics.median(merged) >= 1.2e6
        yield Figure("JSON lines merged, one writer", "lines/s", merged, target="1.2e6", met=met)
        yield from bench.many(statistics.median(plain))
        yield bench.filtered()
        yield from bench.beside_the_peer()
        yield bench.stalled()
        yield bench.latency()
        if HAVE_STRACE:
            yield bench.idle()


class _Bench:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._peer = peers.find("pm2-runtime")
        (folder / "writer.py").write_text(_WRITER)
        (folder / "ticker.py").write_text(_TICKER)

    def rates(self, line: str) -> list[float]:
        """Lines per second through pidone."""
        return [self._rate(self._ours(self._writers(line, LINES)), LINES) for _ in range(ROUNDS)]

    def many(self, single: float) -> Iterable[Figure]:
        """All writers at once: the sum, and the slowest when the first one is done."""
        each = MANY_LINES // WRITERS // BLOCK * BLOCK
        rates = [self._together(each) for _ in range(ROUNDS)]
        fairness = []
        for _ in range(ROUNDS):
            parts: list[bytes] = []
            self._together(each, parts)
            fairness.append(_slowest_share(b"".join(parts), each))
        yield Figure(
            f"plain lines, {WRITERS} writers",
            "lines/s",
            rates,
            [single],
            "one writer",
            "85 %",
            statistics.median(rates) >= 0.85 * single,
        )
        yield Figure(
            "the slowest writer when the first is done",
            "of the mean",
            fairness,
            target="0.9",
            met=statistics.median(fairness) >= 0.9,
        )

    def _together(self, each: int, keep: list[bytes] | None = None) -> float:
        """Lines per second of all writers, none of which begins before all of them run."""
        with (
            tempfile.TemporaryDirectory(dir=self._folder) as gate,
            self._running(self._ours(self._writers(PLAIN, each, WRITERS, gate))) as process,
        ):
            while len(os.listdir(gate)) < WRITERS:
                time.sleep(0.01)
            (Path(gate) / "go").touch()
            return each * WRITERS / _collect(process, each * WRITERS, keep)

    def filtered(self) -> Figure:
        """What `log_drop` and `log_redact` cost, with a secret in every hundredth line.

        In CPU time of the runtime, as a share of the round beside it: others on the machine do not count.
        """
        apps = self._writers("\n".join([*[PLAIN] * 99, SECRET]), LINES // 100)
        filtered = [{**app, **FILTERS} for app in apps]
        shares = []
        for _ in range(FILTER_ROUNDS):
            # In the order A, B, B, A: a processor that gets slower meanwhile does so for both.
            runs = [self._cpu(self._ours(each), LINES) for each in (apps, filtered, filtered, apps)]
            shares.append((runs[1] + runs[2]) / (runs[0] + runs[3]))
        return Figure(
            "CPU time with log_drop and log_redact",
            "of that without",
            shares,
            target="1.15",
            met=statistics.median(shares) < 1.15,
        )

    def _cpu(self, command: Sequence[str], lines: int) -> float:
        """CPU seconds of the runtime from the first output to the last of so many lines."""
        with self._running(command) as process:
            assert process.stdout
            fd = process.stdout.fileno()
            seen = os.read(fd, 1 << 20).count(b"\n")
            began = _cpu_s(process.pid)
            while seen < lines:
                chunk = os.read(fd, 1 << 20)
                if not chunk:
                    raise RuntimeError(f"stdout ended after {seen} of {lines} lines")
                seen += chunk.count(b"\n")
            return _cpu_s(process.pid) - began

    def beside_the_peer(self) -> Iterable[Figure]:
        """The same line through pm2-runtime, in its fastest format and in the one with fields."""
        if not self._peer:
            return
        pairs = (("--raw", "raw", 4), ("--raw", "json", 4), ("--format", "json", 10))
        for flag, ours_format, factor in pairs:
            apps = self._writers(PLAIN, PEER_LINES)
            ours, theirs = [], []
            for _ in range(ROUNDS):
                ours.append(self._rate([*self._ours(apps), "--log-format", ours_format], PEER_LINES))
                theirs.append(self._rate([self._peer, "start", self._config(apps), flag], PEER_LINES))
            met = statistics.median(ours) >= factor * statistics.median(theirs)
            yield Figure(
                f"one writer, {ours_format} against {flag}",
                "lines/s",
                ours,
                theirs,
                "pm2-runtime",
                f"{factor} x",
                met,
            )

    def stalled(self) -> Figure:
        """Growth of RSS while nobody reads stdout and an app floods it."""
        with self._running(self._ours(self._writers(PLAIN, 10**9))) as process:
            assert process.stdout
            os.read(process.stdout.fileno(), 1)
            before = _rss_mib(process.pid)
            time.sleep(STALL_S)
            growth = _rss_mib(process.pid) - before
        return Figure(
            f"RSS growth in {STALL_S:g} s of stalled stdout", "MiB", [growth], target="8", met=growth < 8
        )

    def latency(self) -> Figure:
        """From an app's write() to our read() of the record, on a quiet system."""
        apps = [{"name": "ticker", "script": str(self._folder / "ticker.py"), "interpreter": sys.executable}]
        taken: list[float] = []
        with self._running(self._ours(apps)) as process:
            assert process.stdout
            for line in process.stdout:
                now = time.monotonic_ns()
                record = json.loads(line)
                if record.get("app") == "ticker" and "event" not in record:
                    taken.append((now - int(record["message"])) / 1e6)
                if len(taken) == LATENCY_LINES:
                    break
        median = statistics.median(taken)
        return Figure("latency of a single line", "ms", taken, target="median 2", met=median < 2)

    def idle(self) -> Figure:
        """System calls while apps that have said something hold their pipes open and are silent."""
        words = f"echo {PLAIN}; echo {PLAIN} >&2; exec sleep 600"
        apps = [
            {"name": f"quiet{n}", "script": "/bin/sh", "interpreter": "none", "args": ["-c", words]}
            for n in range(QUIET)
        ]
        with self._running(self._ours(apps)) as process:
            _collect(process, 2 * QUIET)
            time.sleep(SETTLE_S)
            calls = system_calls([process.pid], IDLE_S)
        return Figure(
            f"system calls in {IDLE_S:g} s beside {QUIET} silent apps",
            "",
            calls,
            target="none",
            met=calls == [0],
        )

    def _writers(self, line: str, lines: int, count: int = 1, *gate: str) -> list[dict[str, Any]]:
        """Apps that write; with a gate, a folder, they wait there for each other."""
        return [
            {
                "name": f"w{n}",
                "script": str(self._folder / "writer.py"),
                "args": [str(lines), line, *gate],
                "interpreter": sys.executable,
            }
            for n in range(count)
        ]

    def _config(self, apps: Sequence[dict[str, Any]]) -> str:
        quiet = {"out_file": "/dev/null", "error_file": "/dev/null"}
        path = self._folder / "ecosystem.json"
        path.write_text(json.dumps({"apps": [{**app, **quiet} for app in apps]}))
        return str(path)

    def _ours(self, apps: Sequence[dict[str, Any]]) -> list[str]:
        return [PIDONE, self._config(apps)]

    def _rate(self, command: Sequence[str], lines: int) -> float:
        with self._running(command) as process:
            return lines / _collect(process, lines)

    @contextlib.contextmanager
    def _running(self, command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
        env = {**os.environ, "PM2_HOME": str(self._folder / "pm2")}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env) as process:
            assert process.stdout
            try:
                yield process
            finally:
                process.send_signal(signal.SIGTERM)
                while os.read(process.stdout.fileno(), 1 << 20):
                    pass


def _collect(process: subprocess.Popen[bytes], lines: int, keep: list[bytes] | None = None) -> float:
    """Read until so many lines of the app are there; the time from the first of them.

    The buffer is one and the same: what the reader does is not to be the bottleneck.
    """
    assert process.stdout
    fd, mark = process.stdout.fileno(), PLAIN[:4].encode()
    buffer = bytearray(1 << 20)
    seen, started = 0, 0.0
    while seen < lines:
        count = os.readv(fd, [buffer])
        if not count:
            raise RuntimeError(f"stdout ended after {seen} of {lines} lines")
        if not started:
            if buffer.find(mark, 0, count) < 0 and buffer.find(b"request done", 0, count) < 0:
                continue
            started = time.perf_counter()
        if keep is not None:
            keep.append(bytes(buffer[:count]))
        seen += buffer.count(b"\n", 0, count)
    return time.perf_counter() - started


def _slowest_share(data: bytes, each: int) -> float:
    """Lines of the slowest writer when the first has written all, as a share of the mean."""
    counts = {f"w{n}": 0 for n in range(WRITERS)}
    for line in data.splitlines():
        record = json.loads(line)
        if "event" in record or record.get("app") not in counts:
            continue
        counts[record["app"]] += 1
        if counts[record["app"]] == each:
            break
    return min(counts.values()) / statistics.mean(counts.values())


def _cpu_s(pid: int) -> float:
    """CPU time of the main thread, from proc_pid_schedstat(5): stat counts ticks of 10 ms."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")
