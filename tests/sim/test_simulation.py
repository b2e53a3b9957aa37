"""The whole runtime in many worlds; what is found is shrunk and shown."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HISTORIES = int(os.environ.get("SIM_SEEDS", "50"))
"""In each run of the tests; `make sim` plays 20,000 unless it is told another number."""


@pytest.mark.slow
def test_no_history_breaks_a_promise() -> None:
    """Whatever operators, programs and the kernel do, in any order: see sim/judge.py for what must hold.

    In processes of their own, because the calls to the system are replaced there.
    """
    tests = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "sim", "--seeds", str(HISTORIES)],
        cwd=tests,
        env={**os.environ, "PYTHONPATH": str(tests)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
