"""Modules of pidone in processes of their own."""

import subprocess
from pathlib import Path

from pidone.interpreter import module_argv


def test_a_module_runs_whatever_the_environment_says(tmp_path: Path) -> None:
    """Neither PYTHONPATH nor a package `pidone` in the working directory gets in between."""
    (tmp_path / "pidone").mkdir()
    (tmp_path / "pidone/__init__.py").write_text("raise SystemExit('the wrong one')")
    argv = module_argv("pidone", "--version")
    done = subprocess.run(
        argv, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, check=True, text=True
    )
    assert done.stdout.startswith("pidone ")
