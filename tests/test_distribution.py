"""What an installation gets: the package and nothing beside it, the same bytes each time."""

import email.parser
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from email.message import Message
from pathlib import Path

import pytest
from compiling import compiles

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
INCLUDED = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"]
EPOCH = "1700000000"


def checkout(folder: Path) -> Path:
    """A copy of what the distributions are made of, without caches."""
    for name in INCLUDED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "node_modules", "results", "data")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            folder.mkdir(exist_ok=True, parents=True)
            shutil.copy(source, folder / name)
    return folder


def build(source: Path, target: Path, *kinds: str, **variables: str) -> list[Path]:
    """Build with the same backend as `pip`, offline."""
    environ = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, **variables}
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", str(target), *kinds],
        cwd=source,
        env=environ,
        check=True,
        capture_output=True,
    )
    return sorted(target.iterdir())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Path]]:
    """A wheel and an sdist, of a checkout in which other things lie about as well."""
    folder = tmp_path_factory.mktemp("distribution")
    source = checkout(folder / "source")
    (source / "notes").mkdir()
    (source / "notes" / "secret.txt").write_text("nobody's business")
    (source / "ecosystem.toml").touch()
    sdist, wheel = sorted(build(source, folder / "dist"), key=lambda path: path.suffix)
    yield {"sdist": sdist, "wheel": wheel}
    shutil.rmtree(folder)


def metadata(wheel: Path) -> Message:
    """The wheel's own."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.parser.Parser().parsestr(archive.read(name).decode())


SHARED = (
    "share/bash-completion/completions/pidone",
    "share/fish/vendor_completions.d/pidone.fish",
    "share/man/man1/pidone.1",
    "share/zsh/site-functions/_pidone",
)
"""Where man and the shells look below a prefix."""


def test_the_wheel_installs_one_package_and_one_program(built: Mapping[str, Path]) -> None:
    """Nothing called `runtime`, no tests, and each file once."""
    with zipfile.ZipFile(built["wheel"]) as archive:
        names = archive.namelist()
    assert len(names) == len(set(names))
    version = PROJECT["project"]["version"]
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"pidone", f"pidone-{version}.data", f"pidone-{version}.dist-info"}
    scripts = f"pidone-{version}.data/scripts"
    assert sorted(name for name in names if ".data/" in name) == [
        *(f"pidone-{version}.data/data/{path}" for path in SHARED),
        f"{scripts}/pidone",
        f"{scripts}/pidone-direct",
    ]
    tracked = {
        str(path.relative_to(ROOT / "runtime"))
        for path in (ROOT / "runtime/pidone").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if name.startswith("pidone/")} == tracked


def test_an_installation_has_the_package_under_its_own_name_only(
    built: Mapping[str, Path], tmp_path: Path
) -> None:
    """`import pidone` works there, `import runtime` does not, and RECORD names no file twice."""
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check"]
    options += ["--root-user-action=ignore", "--target", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(built["wheel"])], check=True)
    version = PROJECT["project"]["version"]
    installed = {path.name for path in tmp_path.iterdir()}
    assert installed == {"pidone", f"pidone-{version}.dist-info", "bin", "share"}
    assert all((tmp_path / path).is_file() for path in SHARED)
    assert {path.name for path in (tmp_path / "bin").iterdir()} == {"pidone", "pidone-direct"}
    record = (tmp_path / f"pidone-{version}.dist-info" / "RECORD").read_text().splitlines()
    files = [line.partition(",")[0] for line in record]
    assert len(files) == len(set(files))
    code = "import pidone, importlib.util as u; print(pidone.__version__, u.find_spec('runtime'))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout.split() == [version, "None"]


def test_the_sdist_has_what_is_listed_and_nothing_else(built: Mapping[str, Path]) -> None:
    """A folder that is not tracked does not travel."""
    with tarfile.open(built["sdist"]) as archive:
        tops = {name.split("/")[1] for name in archive.getnames()}
    assert tops - {"PKG-INFO", ".gitignore"} == set(INCLUDED)


def test_a_wheel_of_the_sdist_is_the_wheel(built: Mapping[str, Path], tmp_path: Path) -> None:
    """Who builds from the sdist gets the same, byte for byte."""
    with tarfile.open(built["sdist"]) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    (wheel,) = build(source, tmp_path / "dist", "--target", "wheel")
    assert digest(wheel) == digest(built["wheel"])


def test_two_builds_are_the_same_bytes(built: Mapping[str, Path], tmp_path: Path) -> None:
    """Whenever, wherever and under whatever umask the files were checked out."""
    source = checkout(tmp_path / "elsewhere" / "deeper")
    for path in source.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(path.stat().st_mode & 0o700)
    sdist, wheel = sorted(build(source, tmp_path / "dist"), key=lambda path: path.suffix)
    assert digest(wheel) == digest(built["wheel"])
    assert digest(sdist) == digest(built["sdist"])
    with zipfile.ZipFile(wheel) as archive:  # and SOURCE_DATE_EPOCH is heard
        assert {entry.date_time[0] for entry in archive.infolist()} == {2023}


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_description_on_an_index_has_no_link_into_nowhere(built: Mapping[str, Path]) -> None:
    """Its relative links have become links to this version's files, which are there."""
    text = metadata(built["wheel"]).get_payload()
    assert isinstance(text, str)
    base = f"{PROJECT['project']['urls']['Source']}/blob/v{PROJECT['project']['version']}/"
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    own = [link.removeprefix(base) for link in links if link.startswith(base)]
    raw = f"https://raw.githubusercontent.com/pidone/pidone/v{PROJECT['project']['version']}/"
    pictures = [link.removeprefix(raw) for link in links if link.startswith(raw)]
    assert pictures == ["docs/pictures/monit.svg", "docs/pictures/dashboard.png"]
    assert all((ROOT / picture).stat().st_size < 300_000 for picture in pictures)
    assert len(own) > 5
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert [link for link in own if not (ROOT / link.partition("#")[0]).exists()] == []


def test_metadata_tells_who_what_and_where(built: Mapping[str, Path]) -> None:
    """What an index shows beside the description, in words that indexes know."""
    found = metadata(built["wheel"])
    assert found["Author"] == "The pidone authors"
    assert found["License-Expression"] == "MIT"
    urls = dict(line.split(", ", 1) for line in found.get_all("Project-URL", []))
    assert {"Homepage", "Documentation", "Source", "Changelog", "Issues"} <= set(urls)
    classifiers = found.get_all("Classifier", [])
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in range(11, 15)} <= set(classifiers)
    assert any(each.startswith("Intended Audience ::") for each in classifiers)


def test_no_requirement_has_an_upper_bound(built: Mapping[str, Path]) -> None:
    """They share an environment with an app's: whoever cannot work with the newest has to say so here."""
    requirements = [
        line for line in metadata(built["wheel"]).get_all("Requires-Dist", []) if "extra" not in line
    ]
    assert len(requirements) == len(PROJECT["project"]["dependencies"])
    assert [line for line in requirements if re.search(r"<|==|~=|!=", line)] == []


@pytest.mark.parametrize(
    ("compiler", "machine"), [("musl-gcc", "x86_64"), ("aarch64-linux-gnu-gcc", "aarch64")]
)
def test_a_static_launcher_is_for_every_linux(compiler: str, machine: str, tmp_path: Path) -> None:
    """No loader, no C library; a wheel with the tags of both kinds of distributions."""
    if not compiles(compiler):
        pytest.skip(f"no {compiler} that works")
    if machine == "x86_64" != platform.machine():
        pytest.skip("musl-gcc builds for its own machine")
    [wheel] = build(
        checkout(tmp_path / "source"), tmp_path / "dist", "-t", "wheel", LAUNCHER="static", CC=compiler
    )
    tags = f"manylinux_2_17_{machine}.manylinux2014_{machine}.musllinux_1_1_{machine}"
    assert wheel.name == f"pidone-{PROJECT['project']['version']}-py3-none-{tags}.whl"
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/scripts/pidone"))
        program = archive.read(name)
    assert program.startswith(b"\x7fELF")
    assert b"/ld-" not in program


def test_an_app_image_cannot_break_a_released_wheel(tmp_path: Path) -> None:
    """PYTHONHOME, which only a native program can keep from an interpreter."""
    if shutil.which("musl-gcc") is None:
        pytest.skip("no musl-gcc")
    [wheel] = build(
        checkout(tmp_path / "source"), tmp_path / "dist", "-t", "wheel", LAUNCHER="static", CC="musl-gcc"
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    install = [sys.executable, "-m", "pip", "--python", str(tmp_path / "venv/bin/python"), "install"]
    subprocess.run([*install, "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    environ = {**os.environ, "PYTHONHOME": "/nonexistent", "PYTHONPATH": "/nonexistent"}
    argv = [str(tmp_path / "venv/bin/pidone"), "--version"]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["pidone", PROJECT["project"]["version"]], done.stderr


def test_without_a_compiler_the_wheel_is_for_all(tmp_path: Path) -> None:
    """And has its script once."""
    [wheel] = build(checkout(tmp_path / "source"), tmp_path / "dist", "-t", "wheel", CC="false")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        scripts = [name for name in archive.namelist() if "/scripts/" in name]
        assert [Path(name).name for name in scripts] == ["pidone"]
        assert archive.read(scripts[0]).startswith(b"#!python")
