"""Runs `pidone prove` and reads its report."""

import json
import subprocess
from pathlib import Path
from typing import Any

from harness import PIDONE

MANNERS = ("--trial", "reload", "--trial", "kill -9", "--trial", "second start")
"""What tells servers apart; the other trials are made with the sample."""
RELOAD = MANNERS[:2]
"""Most of it: what a server does with its clients while it is told to stop and another one is there."""


def prove(folder: Path, app: str, *words: str) -> "tuple[int, dict[str, Any]]":
    """The exit code and the report."""
    (folder / "e.toml").write_text(f'[[apps]]\nname = "web"\ncwd = "{folder}"\n{app}')
    done = run(folder, "--json", *words)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """The command with the file there."""
    argv = [PIDONE, "prove", str(folder / "e.toml"), "--timeout", "200", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)


def failures(report: "dict[str, Any]") -> "dict[str, str]":
    """What failed, by trial."""
    return {
        step["name"]: "; ".join(each["what"] for each in step["findings"] if each["level"] == "failed")
        for step in report["steps"]
        if step["result"] == "failed"
    }
