"""Modules of pidone in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from runtime.interpreter import module_argv

ROOT = Path(__file__).parent.parent


def test_a_module_runs_whatever_the_environment_says(tmp_path: Path) -> None:
    """Neither PYTHONPATH nor a package `runtime` in the working directory gets in between."""
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime/__init__.py").write_text("raise SystemExit('the wrong one')")
    argv = module_argv("runtime", "--version")
    done = subprocess.run(
        argv, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, check=True, text=True
    )
    assert done.stdout.startswith("pidone ")


def test_in_the_bundle_it_goes_through_its_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled interpreter does not start by itself, and knows our packages only from start.py."""
    packages = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    (tmp_path / packages).mkdir(parents=True)
    (tmp_path / packages / "runtime").symlink_to(ROOT / "runtime")
    (tmp_path / "lib/start.py").write_bytes((ROOT / "docker/bundle/start.py").read_bytes())
    loader = tmp_path / "lib/ld.so"
    loader.write_text('#!/bin/sh\nshift 3\nexec "$REAL" "$@"\n')  # as ld.so: its own arguments go
    loader.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/python3"))
    argv = module_argv("runtime", "--version")
    assert argv[:4] == (str(loader), "--library-path", f"{tmp_path}/lib", f"{tmp_path}/bin/python3")
    real = str(Path(sys._base_executable))  # type: ignore[attr-defined]
    done = subprocess.run(argv, cwd="/", env={"REAL": real}, capture_output=True, check=True, text=True)
    assert done.stdout.startswith("pidone ")
