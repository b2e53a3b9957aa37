"""The scripts of a release: what they refuse, and what they would publish under which names."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / ".ci/release.py"
CHANGELOG = """
## [Unreleased]

## [{version}] - 2026-01-31

### Fixed

- It.

## [0.0.1] - 2026-01-01

Nothing yet.
"""


@pytest.fixture
def release(tmp_path: Path) -> ModuleType:
    """The script in a copy of what it reads."""
    for name in (".ci/release.py", "pyproject.toml", "runtime/pidone/__init__.py", "docker/Dockerfile"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    spec = importlib.util.spec_from_file_location("release", tmp_path / ".ci/release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG.format(version=module.version()))
    return module


def test_this_checkout_can_be_released() -> None:
    """One version everywhere, and the changelog has it."""
    subprocess.run([sys.executable, SCRIPT, "check"], check=True)


def test_notes_are_the_section_of_the_version(release: ModuleType) -> None:
    """Without its neighbours."""
    assert release.notes() == "### Fixed\n\n- It.\n"
    release.check(f"v{release.version()}")


@pytest.mark.parametrize("name", ["runtime/pidone/__init__.py", "docker/Dockerfile"])
def test_a_version_that_was_forgotten_is_refused(release: ModuleType, name: str) -> None:
    """By the name of the file."""
    path = release.ROOT / name
    path.write_text(path.read_text().replace(release.version(), "9.9.9", 1))
    with pytest.raises(release.ReleaseError, match=re.escape(name)):
        release.check()


def test_a_tag_of_another_version_is_refused(release: ModuleType) -> None:
    """And a version that the changelog does not have."""
    with pytest.raises(release.ReleaseError, match=r"v9\.9\.9"):
        release.check("v9.9.9")
    (release.ROOT / "CHANGELOG.md").write_text("## [Unreleased]\n\n- It.\n")
    with pytest.raises(release.ReleaseError, match=r"CHANGELOG\.md"):
        release.check()


def test_a_wrong_command_line_is_told_and_64() -> None:
    """Nothing is done then."""
    done = subprocess.run([sys.executable, SCRIPT, "publish"], capture_output=True, text=True, check=False)
    assert done.returncode == 64
    assert "dry-run" in done.stderr


def test_images_have_the_names_that_the_documents_use(release: ModuleType) -> None:
    """`pidone`, `pidone:bundle`, `pidone:node`, and each with numbers."""
    major_minor = release.version().rpartition(".")[0]
    assert release.tags("runtime") == [release.version(), major_minor, "latest"]
    assert release.tags("bundle") == [f"bundle-{release.version()}", f"bundle-{major_minor}", "bundle"]
    stages = re.findall(r"^FROM \S+ AS (\S+)$", (ROOT / "docker/Dockerfile").read_text(), re.MULTILINE)
    assert set(release.TARGETS) <= set(stages)
    text = (ROOT / "docs/docker.md").read_text()
    assert all(f"pidone:{prefix}" in text for prefix in release.TARGETS.values() if prefix)
