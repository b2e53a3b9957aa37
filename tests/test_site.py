"""The documentation as a site: strict, complete, and without a link into nowhere."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
BESIDE = (
    "README.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "k8s/README.md",
    "examples/README.md",
)
INSTALLED = (
    importlib.util.find_spec("mkdocs") is not None and importlib.util.find_spec("material") is not None
)


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build it as `make docs` does; not quietly, which would count no warning."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=source,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of all that the site is made of."""
    copy = tmp_path / "source"
    shutil.copytree(ROOT / "docs", copy / "docs")
    for name in (*BESIDE, "mkdocs.yml", ".ci/site.py"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.mark.skipif(not INSTALLED, reason="mkdocs-material is not installed")
def test_it_is_built_strictly(source: Path, tmp_path: Path) -> None:
    """Every page is in it, and a link out of docs/ leads to another page or to the repository."""
    site = tmp_path / "site"
    done = build(source, site)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"docker", "kubernetes", "security", "examples"} <= {path.name for path in site.iterdir()}
    page = (site / "docker" / "index.html").read_text()
    assert 'href="../#exit-codes"' in page
    assert "https://github.com/pidone/pidone/blob/main/docker-compose.yml" in page


@pytest.mark.skipif(not INSTALLED, reason="mkdocs-material is not installed")
@pytest.mark.parametrize("link", ["[x](nowhere.md)", "[x](docker.md#nowhere)"])
def test_a_link_into_nowhere_fails(source: Path, tmp_path: Path, link: str) -> None:
    """A page or an anchor that there is not."""
    with (source / "docs/logging.md").open("a") as page:
        page.write(f"\n{link}\n")
    assert build(source, tmp_path / "site").returncode != 0


def test_every_page_is_in_the_navigation() -> None:
    """Also where no site can be built."""
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    named = set(re.findall(r"[\w/.-]+\.md", str(nav)))
    assert {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")} <= named
