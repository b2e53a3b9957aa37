"""The scripts of a release: what they refuse, and what they would publish under which names."""

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from compiling import compiles

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / ".ci/release.py"
PLACES = ("docker/Dockerfile", "k8s/chart/Chart.yaml")
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
    for name in (".ci/release.py", "pyproject.toml", "runtime/pidone/__init__.py", *PLACES):
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


@pytest.mark.parametrize("name", ["runtime/pidone/__init__.py", *PLACES])
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


OPTIONS = {"tar": {"type", "dest"}, "image": {"type", "name", "push", "rewrite-timestamp"}}
"""Of BuildKit's exporters, as its README has them. They pass over in silence what they do not know."""


@pytest.fixture
def built(release: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would be run, of a commit of 2026-01-31."""
    commands: list[list[str]] = []
    facts = {"--format=%ct": "1769817600", "--format=%cd": "2026-01-31T00:00:00Z", "HEAD": "c0ffee"}

    def run(*command: str) -> None:
        commands.append([*command])
        for word in command:
            if (dest := word.partition("dest=")[2]) != "":
                Path(dest.partition(",")[0]).write_bytes(b"an archive")

    monkeypatch.setattr(release, "_git", lambda *words: facts[words[-1]])
    monkeypatch.setattr(release, "_run", run)
    for name in ("BASE_IMAGE", "NODE_IMAGE", "CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    return commands


def outputs(command: list[str]) -> list[dict[str, str]]:
    """As buildx reads them."""
    values = [value for name, value in pairwise(command) if name == "--output"]
    return [dict(part.split("=", 1) for part in value.split(",")) for value in values]


def test_images_are_pushed_with_the_times_of_the_commit(release: ModuleType, built: list[list[str]]) -> None:
    """Of each target, with what it is made of and by whom attached; the epoch is its commit's time."""
    release.images("registry.example/pidone")
    assert [command[command.index("--target") + 1] for command in built] == [*release.TARGETS]
    for command, target in zip(built, release.TARGETS, strict=True):
        assert command[:3] == ["docker", "buildx", "build"]
        assert {"--sbom=true", "--provenance=mode=max"} <= {*command}
        assert outputs(command) == [
            {
                "type": "image",
                "name": f"registry.example/pidone:{release.tags(target)[0]}-{release.architecture()}",
                "push": "true",
                "rewrite-timestamp": "true",
            }
        ]
        arguments = [value for name, value in pairwise(command) if name == "--build-arg"]
        assert {"SOURCE_DATE_EPOCH=1769817600", "CREATED=2026-01-31T00:00:00Z"} <= {*arguments}
        assert {"REVISION=c0ffee", f"VERSION={release.version()}"} <= {*arguments}
        assert command.count(".") == 1


def test_the_bundle_is_an_archive_with_the_times_of_the_commit(
    release: ModuleType, built: list[list[str]], tmp_path: Path
) -> None:
    """And has its checksum beside it."""
    archive = release.bundle(tmp_path / "out")
    (command,) = built
    assert outputs(command) == [{"type": "tar", "dest": str(archive)}]
    assert "SOURCE_DATE_EPOCH=1769817600" in command
    assert archive.with_suffix(".tar.sha256").read_text().split() == [
        hashlib.sha256(b"an archive").hexdigest(),
        archive.name,
    ]


def test_exporters_get_options_that_they_know(
    release: ModuleType, built: list[list[str]], tmp_path: Path
) -> None:
    """A wrong one would do nothing, and say nothing."""
    release.images("registry.example/pidone")
    release.bundle(tmp_path / "out")
    given = [output for command in built for output in outputs(command)]
    assert all(output.keys() <= OPTIONS[output["type"]] for output in given)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of all that would be uploaded."""
    missing = [name for name in ("musl-gcc", "aarch64-linux-gnu-gcc") if not compiles(name)]
    missing += ["git"] if shutil.which("git") is None else []
    if missing or not (ROOT / ".git").exists():
        pytest.skip(f"no {missing or 'checkout'}")
    folder = tmp_path_factory.mktemp("released")
    command = [sys.executable, str(SCRIPT), "distributions", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    yield folder
    shutil.rmtree(folder)


def test_a_release_has_a_wheel_for_each_kind_of_machine(released: Path) -> None:
    """And an sdist, and nothing beside."""
    names = sorted(path.name.split("-", 2)[-1] for path in released.iterdir())
    assert [re.sub(r"\d+\.\d+\.\d+", "N", name) for name in names] == [
        "N.tar.gz",
        "py3-none-any.whl",
        *(
            f"py3-none-manylinux_2_17_{each}.manylinux2014_{each}.musllinux_1_1_{each}.whl"
            for each in ("aarch64", "x86_64")
        ),
    ]


@pytest.mark.parametrize(
    ("platform", "wheel"),
    [
        ("manylinux_2_17_x86_64", "x86_64"),
        ("musllinux_1_1_aarch64", "aarch64"),
        ("manylinux_2_17_ppc64le", "any"),
    ],
)
def test_pip_takes_the_native_wheel_where_there_is_one(
    released: Path, tmp_path: Path, platform: str, wheel: str
) -> None:
    """Before that for everybody, which lies beside it; elsewhere it takes that one."""
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", "--only-binary", ":all:"]
    options += ["--find-links", str(released), "--platform", platform, "--dest", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, "pidone"], check=True)
    [taken] = tmp_path.iterdir()
    assert taken.stem.endswith(f"none-{wheel}" if wheel == "any" else f"_{wheel}")


def test_a_wheel_with_something_wrong_in_it_is_not_released(release: ModuleType, tmp_path: Path) -> None:
    """Here a module that nobody can import."""
    wheel = tmp_path / "pidone-1.0.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("pidone/not-a-module.py", "x = 1")
        archive.writestr("pidone-1.0.0.dist-info/RECORD", "")
    release.__dict__["_git"] = lambda *_: "0"
    with pytest.raises(subprocess.CalledProcessError, match="check-wheel-contents"):
        release.inspect([wheel])
