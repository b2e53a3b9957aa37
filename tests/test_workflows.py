"""The workflows only call what lives here, and nothing that somebody else can change afterwards."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
OURS = re.compile(r"(sudo --preserve-env=PATH env CI=1 )?(make |\.ci/|\.venv/bin/python \.ci/)")
ORDINARY = re.compile(
    r"(git merge-base|gh release create|sudo apt-get install|for target in runtime bundle node; do echo) "
)


@pytest.fixture(params=WORKFLOWS, ids=lambda path: str(path.stem))
def path(request: pytest.FixtureRequest) -> Path:
    """Each of them."""
    found: Path = request.param
    return found


def steps(path: Path) -> Iterator[Mapping[str, Any]]:
    """The steps of all its jobs."""
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        yield from job["steps"]


def test_actions_are_pinned_by_commit(path: Path) -> None:
    """With the version beside it, for people and for Dependabot."""
    lines = [line.strip().removeprefix("- ") for line in path.read_text().splitlines() if "uses:" in line]
    assert lines
    assert [line for line in lines if not PINNED.match(line)] == []


def test_a_job_runs_only_what_can_be_run_here(path: Path) -> None:
    """Targets of make that there are, and scripts that can be executed."""
    targets = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)) | {
        ".venv/.ready"
    }
    for step in steps(path):
        command = step.get("run")
        if command is None or ORDINARY.match(command):
            continue
        assert OURS.match(command), command
        assert set(re.findall(r"\bmake ([\w./-]+)", command)) <= targets
        for script in re.findall(r"\.ci/[\w.]+", command):
            assert (ROOT / script).stat().st_mode & 0o111, script


def test_a_job_may_no_more_than_it_says(path: Path) -> None:
    """By default it only reads, and what it has checked out keeps no token."""
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_ci_does_what_a_checkout_does() -> None:
    """Every target of `.ci/run` is a job, on each Python that the project names."""
    lines = [line for line in (ROOT / ".ci/run").read_text().splitlines() if not line.startswith("#")]
    wanted = set(re.findall(r"\b(?:make|beside) ([a-z][\w-]+)", "\n".join(lines)))
    commands = " ".join(step.get("run", "") for step in steps(ROOT / ".github/workflows/ci.yml"))
    assert wanted <= set(re.findall(r"\bmake ([\w-]+)", commands))
    named = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == named


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not installed")
def test_actionlint_finds_nothing() -> None:
    """In any of them."""
    done = subprocess.run(["actionlint", *WORKFLOWS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
