"""What the action, the pre-commit hook and the devcontainer do for others."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from harness import PIDONE

ROOT = Path(__file__).parents[1]
GOOD = """
[[apps]]
name = "one"
script = "sleep"
args = ["3600"]
interpreter = "none"
[[smoke]]
name = "trial"
exec = ["true"]
"""
BAD = GOOD.replace('"true"', '"false"')
WRONG = GOOD.replace("args", "agrs")


def act(folder: Path, text: str, step: str) -> subprocess.CompletedProcess[str]:
    """Run the action's script on an ecosystem."""
    (folder / "ecosystem.toml").write_text(text)
    inputs = {"FILE": "ecosystem.toml", "STEP": step, "TIMEOUT": "60", "VERSION": "", "ACTION": str(ROOT)}
    return subprocess.run(
        [ROOT / ".ci/action"],
        cwd=folder,
        env={**os.environ, **inputs, "PIDONE": PIDONE},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("step", ["smoke", "check"])
def test_a_good_ecosystem_passes(tmp_path: Path, step: str) -> None:
    """Without an annotation."""
    done = act(tmp_path, GOOD, step)
    assert done.returncode == 0, done.stdout
    assert "::error" not in done.stdout


@pytest.mark.parametrize(
    ("text", "step", "said"),
    [(BAD, "smoke", "trial"), (WRONG, "check", "agrs"), (GOOD, "preach", "expected")],
)
def test_what_is_wrong_becomes_an_annotation(tmp_path: Path, text: str, step: str, said: str) -> None:
    """At the file, with the line that tells it, and the job fails."""
    done = act(tmp_path, text, step)
    assert done.returncode != 0
    annotations = [line for line in done.stdout.splitlines() if line.startswith("::error")]
    assert any(said in line for line in annotations), done.stdout


def test_the_action_names_its_script_and_inputs() -> None:
    """Every variable of the script is an input."""
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    (step,) = action["runs"]["steps"]
    assert {name.upper() for name in action["inputs"]} | {"ACTION"} == set(step["env"])
    script = (ROOT / ".ci/action").read_text()
    assert all(f"${name}" in script or f"${{{name}" in script for name in step["env"])
    assert ".ci/action" in step["run"]


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("ecosystem.toml", True),
        ("services/ecosystem.config.js", True),
        ("ecosystem.yml", True),
        ("package.json", False),
        ("my-ecosystem.toml.bak", False),
    ],
)
def test_the_hook_takes_ecosystems(name: str, taken: bool) -> None:  # noqa: FBT001 (a case)
    """And nothing else."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert bool(re.search(hook["files"], name)) is taken
    assert hook["entry"].split()[:2] == ["pidone", "check"]


def test_the_devcontainer_sets_itself_up() -> None:
    """By what is there."""
    made = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    script, target = re.findall(r"\.ci/\w+|\.venv/\.ready", made["postCreateCommand"])
    assert os.access(ROOT / script, os.X_OK)
    assert "$(VENV)/.ready:" in (ROOT / "Makefile").read_text()
    assert target
