"""What the images install is what the project says it needs."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def locked(name: str) -> dict[str, str]:
    """The version of each package in a lock file."""
    text = (ROOT / "docker" / name).read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


def runtime() -> Sequence[str]:
    """What pidone depends on."""
    found: Sequence[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return found


def backend() -> Sequence[str]:
    """What the sample service depends on."""
    lines = (ROOT / "docker/backend/requirements.txt").read_text().splitlines()
    return [line.partition("#")[0] for line in lines if line.partition("#")[0].strip()]


@pytest.mark.parametrize(
    ("wanted", "lock"), [(runtime(), "requirements.lock"), (backend(), "backend/requirements.lock")]
)
def test_a_lock_has_every_requirement(wanted: Sequence[str], lock: str) -> None:
    """None was forgotten (`docker/lock.sh`), and each locked version is one that is asked for."""
    versions = locked(lock)
    for requirement in map(Requirement, wanted):
        assert requirement.name in versions, requirement
        assert versions[requirement.name] in requirement.specifier, requirement
