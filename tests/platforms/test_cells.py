"""The core suite wherever namespaces, mounts and rights alone make another surrounding."""

import json
import os
import subprocess

import pytest
from harness import PIDONE
from platforms.cells import CELLS, command, environment

FIXED = ("signals", "exit_codes", "zombies", "shared_ports", "ls", "metrics")
"""What every run looks at; `make test-platforms` runs all."""


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell != "as it is"])
def test_the_core_suite(cell: str) -> None:
    """Every case holds there."""
    cases = () if os.environ.get("PLATFORMS") == "all" else FIXED
    done = subprocess.run(
        command(cell, PIDONE, *cases),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert results, done.stderr
    assert [f"{each['name']}: {each['why']}" for each in results if not each["ok"]] == []
    assert done.returncode == 0, done.stderr
