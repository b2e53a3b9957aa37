"""Interpreters that are older than the shim: an app in one starts as it would without."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pidone.listen.python.share import SHIM

ENTRY = Path(SHIM, "sitecustomize.py")
NEWER = (ast.JoinedStr, ast.NamedExpr, ast.AnnAssign, ast.AsyncFunctionDef, ast.Starred)
OLD = ("2.7", "3.6", "3.7")


def interpreter(version: str) -> str:
    """One of this version, from PATH or of pyenv; skips the test where there is none."""
    installed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for folder in sorted(installed.glob(f"{version}.*")):
        return str(folder / "bin" / "python")
    return shutil.which(f"python{version}") or pytest.skip(f"no Python {version}")


def begun(*argv: str) -> "subprocess.CompletedProcess[str]":
    """What an interpreter says that imports the shim's entry, which is told to share ports."""
    env = {**os.environ, "PYTHONPATH": SHIM, "PYTHONDONTWRITEBYTECODE": "1", "PIDONE_SHARE": "@nobody"}
    return subprocess.run([*argv], capture_output=True, text=True, check=True, env=env)


def test_the_entry_is_read_by_every_python() -> None:
    """Nothing in it is newer than Python 2.7: whatever the shim needs, that decides it."""
    nodes = list(ast.walk(ast.parse(ENTRY.read_text())))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    assert [node.name for node in functions] == ["_chain"]
    assert not [node for node in nodes if isinstance(node, NEWER)]
    for function in functions:
        assert function.returns is None
        assert not [each for each in function.args.args if each.annotation]


def test_the_shim_is_left_out_where_it_cannot_run() -> None:
    """The version decides, whatever it is that an older one lacks."""
    source = f"""
import sys
sys.path.insert(0, {SHIM!r})
sys.version_info = (3, 7, 16)
sys.modules.pop("sitecustomize", None)
import sitecustomize
print([name for name in sys.modules if name.startswith("pidone_")])
"""
    env = {**os.environ, "PIDONE_SHARE": "@nobody"}
    code = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, env=env)
    assert (code.stdout, code.stderr) == ("[]\n", "")


@pytest.mark.parametrize("version", OLD)
def test_an_old_python_says_nothing_of_it(version: str) -> None:
    """No complaint of ours in the app's log."""
    said = begun(interpreter(version), "-c", "import sys; print(sys.version_info[0])")
    assert (said.stdout, said.stderr) == (f"{version[0]}\n", "")
