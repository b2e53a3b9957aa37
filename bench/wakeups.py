"""How often processes are woken up while there is nothing to do."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

HAVE_STRACE = shutil.which("strace") is not None


def system_calls(pids: Sequence[int], seconds: float) -> list[float]:
    """System calls of each process, all its threads, in the same `seconds`."""
    with tempfile.TemporaryDirectory() as folder:
        traces = [Path(folder, str(pid)) for pid in pids]
        tracers = [
            subprocess.Popen(["strace", "-f", "-qq", "-p", str(pid), "-o", str(trace)])
            for pid, trace in zip(pids, traces, strict=True)
        ]
        time.sleep(seconds)
        for tracer in tracers:
            tracer.terminate()
            tracer.wait()
        return [float(_finished(trace)) for trace in traces]


def _finished(trace: Path) -> int:
    """Calls that returned: what waits when the tracer comes and still waits when it leaves is no wake-up."""
    lines = trace.read_text().splitlines()
    return sum(" = " in line and "<detached" not in line for line in lines)
