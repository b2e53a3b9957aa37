"""What the Dockerfile and the compose file say, read without an engine."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text()
LABELS = (
    *("title", "description", "authors", "url", "source", "documentation", "licenses"),
    *("version", "revision", "created"),
)
"""https://github.com/opencontainers/image-spec/blob/main/annotations.md"""


def stages() -> Mapping[str, str]:
    """The text of each stage by its name."""
    parts = re.split(r"^FROM \S+ AS (\S+)\n", DOCKERFILE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("target", ["runtime", "bundle", "node"])
def test_an_image_tells_where_it_comes_from(target: str) -> None:
    """Each that is meant to be published, and those made of it inherit it."""
    text = stages()[target]
    found = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', text))
    assert set(found) == set(LABELS)
    assert found["source"] == found["url"] == PROJECT["urls"]["Source"]
    assert found["licenses"] == PROJECT["license"]
    for name in ("version", "revision", "created"):
        assert found[name] == f"${{{name.upper()}}}"
        assert re.search(rf"^ARG {name.upper()}$", text, re.MULTILINE)


def test_an_image_is_of_the_version_of_the_project() -> None:
    """Where nobody says otherwise."""
    assert re.findall(r"^ARG VERSION=(\S+)", DOCKERFILE, re.MULTILINE) == [PROJECT["version"]]


def services() -> Mapping[str, Any]:
    """The compose file's."""
    found: Mapping[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


@pytest.mark.parametrize("name", services())
def test_a_service_comes_back_after_a_reboot_and_starts_on_any_host(name: str) -> None:
    """`on-failure` stays down after an orderly stop; the engine refuses `cpus` that a host does not have."""
    service = services()[name]
    assert service["restart"] == "unless-stopped"
    assert "cpus" not in service
    quota = re.sub(r"\$\{BACKEND_CPUS:-(\d+)\}", r"\1", str(service["cpu_quota"]))
    assert int(quota) % 100_000 == 0
