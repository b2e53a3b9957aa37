#!/usr/bin/env python3
"""What a release is made by, here as in the workflow: `release.py STEP`. Nothing but the standard library.

check [TAG]                the version is the same everywhere, and the changelog has it
notes                      what the changelog says of it
distributions FOLDER       sdist and wheels, reproducible, checked
bundle FOLDER              the bundle of this machine's architecture as an archive, with its checksum
images REPOSITORY          all images of this architecture, pushed as REPOSITORY:TAG-ARCHITECTURE
manifests REPOSITORY       one tag for all architectures, of what `images` has pushed
dry-run                    everything but what leaves this machine
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).resolve().parents[1]
PLACES = {
    "pyproject.toml": r'^version = "(.+)"$',
    "runtime/pidone/__init__.py": r'^__version__ = "(.+)"$',
    "docker/Dockerfile": r"^ARG VERSION=(.+)$",
    "k8s/chart/Chart.yaml": r"^version: (.+)$",
}
TARGETS = {"runtime": "", "bundle": "bundle", "node": "node"}
"""The published targets of the Dockerfile and how their tags begin; docs/docker.md names them."""
COMPILERS = {"x86_64": "musl-gcc", "aarch64": "aarch64-linux-gnu-gcc"}
"""For the static launcher in the wheel of an architecture; Debian's musl-tools and gcc-aarch64-linux-gnu
with libc6-dev-arm64-cross."""
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class ReleaseError(Exception):
    """It cannot be released like this."""


def version() -> str:
    """The project's."""
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return found


def check(tag: str | None = None) -> None:
    """Raise ReleaseError unless everything is of one version, a released one if there is a tag."""
    wanted = version()
    for name, pattern in PLACES.items():
        found = re.findall(pattern, (ROOT / name).read_text(), re.MULTILINE)
        if found != [wanted]:
            raise ReleaseError(f"{name}: expected the version {wanted}, found {found}")
    if tag is not None and tag != f"v{wanted}":
        raise ReleaseError(f"the tag {tag} is not that of the version {wanted}: v{wanted}")
    notes()


def notes() -> str:
    """The section of this version. Raises ReleaseError if the changelog has none."""
    text = (ROOT / "CHANGELOG.md").read_text()
    section = rf"^## \[{re.escape(version())}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## \[|^\[|\Z)"
    found = re.search(section, text, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise ReleaseError(f"CHANGELOG.md: no section `## [{version()}] - YYYY-MM-DD`, or nothing in it")
    return found[1].strip() + "\n"


def distributions(folder: Path) -> list[Path]:
    """Build all twice, in two places. Raises ReleaseError unless they are the same."""
    missing = [name for name in COMPILERS.values() if shutil.which(name) is None]
    if missing:
        packages = "musl-tools gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
        raise ReleaseError(f"no {', '.join(missing)}: apt-get install {packages}")
    made = [_build(folder), _build(folder / "again")]
    first, second = ({path.name: _digest(path) for path in paths} for paths in made)
    shutil.rmtree(folder / "again")
    if first != second:
        raise ReleaseError(f"two builds differ: {first} {second}")
    inspect(made[0])
    return made[0]


def inspect(paths: Sequence[Path]) -> None:
    """Have each wheel and the sdist looked at by who knows what indexes and installers do not like.

    Raises CalledProcessError.
    """
    wheels = [str(path) for path in paths if path.suffix == ".whl"]
    _run(_tool("check-wheel-contents"), *wheels)
    _run(_tool("twine"), "check", "--strict", *map(str, paths))


def _build(folder: Path) -> list[Path]:
    """From what git has of this commit, so that nothing else is in it.

    A wheel with a native launcher for each architecture, and one for the others, whose `pidone` is a script.
    """
    target = ("--directory", str(folder.resolve()))
    with tempfile.TemporaryDirectory() as source:
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", source], input=archive, check=True)
        for compiler in COMPILERS.values():
            native = {"LAUNCHER": "static", "CC": compiler}
            _run(_tool("hatchling"), "build", "--target", "wheel", *target, cwd=Path(source), environ=native)
        _run(_tool("hatchling"), "build", *target, cwd=Path(source), environ={"CC": "false"})
    return sorted(folder.glob("pidone-*"))


def bundle(folder: Path) -> Path:
    """The archive that an image without an engine's registry can be made of."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"pidone-bundle-{version()}-linux-{architecture()}.tar"
    # SOURCE_DATE_EPOCH is the time of all files of a tar; `rewrite-timestamp` is of images alone.
    _run(*_buildx("bundle"), "--output", f"type=tar,dest={archive}")
    checksum = archive.with_suffix(".tar.sha256")
    checksum.write_text(f"{_digest(archive)}  {archive.name}\n")
    return archive


def tags(target: str) -> list[str]:
    """`0.1.0`, `0.1` and `latest`; of the others `bundle-0.1.0`, `bundle-0.1` and `bundle`."""
    prefix = TARGETS[target]
    full = version()
    numbers = [full, full.rpartition(".")[0]]
    return [f"{prefix}-{each}" for each in numbers] + [prefix] if prefix else [*numbers, "latest"]


def images(repository: str) -> None:
    """Push them, with what they are made of and by whom (SBOM and provenance) attached.

    Needs a builder of its own, as `docker buildx create` and the workflow make one, of BuildKit 0.14.1 on.
    An older one cannot push what has its times rewritten; the engine's own unpacks what it has built, which
    goes with `rewrite-timestamp` in no version.
    """
    for target in TARGETS:
        name = f"{repository}:{tags(target)[0]}-{architecture()}"
        # The image's manifest has the same digest again. The index that joins it to its provenance has not:
        # that tells when it was built.
        output = f"type=image,name={name},push=true,rewrite-timestamp=true"
        _run(*_buildx(target), "--sbom=true", "--provenance=mode=max", "--output", output)


def manifests(repository: str) -> None:
    """Join the architectures under each tag."""
    for target in TARGETS:
        parts = [f"{repository}:{tags(target)[0]}-{each}" for each in ARCHITECTURES.values()]
        names = [word for tag in tags(target) for word in ("--tag", f"{repository}:{tag}")]
        _run("docker", "buildx", "imagetools", "create", *names, *parts)


def digest(repository: str, target: str) -> str:
    """Of the manifest of all architectures."""
    name = f"{repository}:{tags(target)[0]}"
    command = ["docker", "buildx", "imagetools", "inspect", name, "--format", "{{.Manifest.Digest}}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def dry_run() -> None:
    """All that can be done here, and a list of what a tag would publish."""
    check()
    with tempfile.TemporaryDirectory() as scratch:
        found = []
        if all(map(shutil.which, COMPILERS.values())):
            found += distributions(Path(scratch) / "dist")
        else:
            print(f"no {' or '.join(COMPILERS.values())} is here: the wheels were not tried")
        if (
            shutil.which("docker")
            and not subprocess.run(["docker", "info"], check=False, capture_output=True).returncode
        ):
            found.append(bundle(Path(scratch) / "bundle"))
        else:
            print("no engine answers: neither the bundle nor images were tried")
        print(f"\nversion {version()}, notes:\n\n{notes()}")
        for path in found:
            print(f"{_digest(path)}  {path.stat().st_size:>9}  {path.name}")
    for target in TARGETS:
        print(f"image {target}: {', '.join(tags(target))} ({', '.join(ARCHITECTURES.values())})")


def architecture() -> str:
    """This machine's, as images call it."""
    return ARCHITECTURES[platform.machine()]


def _buildx(target: str) -> list[str]:
    """The build of a target of this commit; its date is the commit's, so that it can be repeated."""
    stamp = _git("log", "-1", "--format=%ct")
    created = _git("log", "-1", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%cd")
    facts = {"VERSION": version(), "REVISION": _git("rev-parse", "HEAD"), "CREATED": created}
    given = {**facts, "SOURCE_DATE_EPOCH": stamp}
    given |= {name: os.environ[name] for name in ("BASE_IMAGE", "NODE_IMAGE") if name in os.environ}
    arguments = [word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")]
    if authority := os.environ.get("CA_FILE"):
        arguments += ["--secret", f"id=ca,src={authority}"]
    return ["docker", "buildx", "build", "--file", "docker/Dockerfile", "--target", target, *arguments, "."]


def _git(*words: str) -> str:
    environ = {**os.environ, "TZ": "UTC"}
    done = subprocess.run(["git", *words], cwd=ROOT, env=environ, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _tool(name: str) -> str:
    """A program of this interpreter's environment."""
    return str(Path(sys.executable).with_name(name))


def _run(*command: str, cwd: Path = ROOT, environ: Mapping[str, str] = MappingProxyType({})) -> None:
    print("+", *(f"{name}={value}" for name, value in environ.items()), *command, flush=True)
    stamp = {"SOURCE_DATE_EPOCH": _git("log", "-1", "--format=%ct")}
    subprocess.run(command, cwd=cwd, env={**os.environ, **stamp, **environ}, check=True)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(words: Sequence[str]) -> int:
    """Run one step; its exit code."""
    match words:
        case ["check", *tag] if len(tag) < 2:
            check(*tag)
        case ["notes"]:
            print(notes(), end="")
        case ["distributions", folder]:
            distributions(Path(folder))
        case ["bundle", folder]:
            bundle(Path(folder))
        case ["images", repository]:
            images(repository)
        case ["manifests", repository]:
            manifests(repository)
        case ["digest", repository, target] if target in TARGETS:
            print(digest(repository, target))
        case ["dry-run"]:
            dry_run()
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 64
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ReleaseError as error:
        sys.exit(f"release: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"release: {error}")
