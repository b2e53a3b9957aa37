"""Images: bases made of Debian's packages, where no registry can be reached, and those under test."""

import os
import ssl
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from docker.engine import CACHE, install

REPOSITORY = Path(__file__).parents[2]
BASE = "pidone-test/python:3.13"
OLD_BASE = "pidone-test/python:3.11"

SUITES = {BASE: "trixie", OLD_BASE: "bookworm"}
PYTHON_PACKAGES = "ca-certificates,python3,python3-venv"
PLUGINS = {"docker-compose": "docker-compose", "docker-buildx": "docker-buildx"}


class DockerError(Exception):
    """The client refused or failed."""


def docker(*arguments: str, timeout: float = 600, stdin: str = "") -> str:
    """Run the client with this input; its output. Raises DockerError with what it said on stderr."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=timeout, check=False, input=stdin
    )
    if done.returncode:
        raise DockerError(f"{' '.join(done.args)}: {done.returncode}\n{done.stderr[-3000:]}")
    return done.stdout.strip()


def exists(image: str) -> bool:
    """Whether the engine has an image."""
    return (
        subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode
        == 0
    )


def ensure_base(image: str) -> None:
    """Have a small Debian with Python, as the official slim image is; made once, then kept as an archive."""
    if exists(image):
        return
    archive = CACHE / f"{SUITES[image]}.tar"
    if not archive.exists():
        install("debootstrap")
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            _bootstrap(SUITES[image], Path(folder) / "root")
            part = archive.with_suffix(".part")
            subprocess.run(["tar", "-C", f"{folder}/root", "-cf", part, "."], check=True)
            part.rename(archive)
    docker("import", "--change", 'CMD ["python3"]', str(archive), image)


def _bootstrap(suite: str, root: Path) -> None:
    """Debian's smallest variant, without documentation and what apt has downloaded."""
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={PYTHON_PACKAGES}", suite, str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"debootstrap {suite} failed:\n{done.stdout[-3000:]}\n{done.stderr[-1000:]}")
    for folder in (
        "usr/share/doc",
        "usr/share/man",
        "usr/share/locale",
        "var/cache/apt",
        "var/lib/apt/lists",
    ):
        subprocess.run(f"rm -rf '{root}/{folder}/'*", shell=True, check=True)


def ensure_plugins() -> None:
    """Have compose and buildx: plain programs in Debian's packages, put where the client looks for them."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "cli-plugins"
    missing = [name for name in PLUGINS if not _has_plugin(name.removeprefix("docker-"))]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as unpacked:
        fetch = (
            "apt-get update -qq && cd /tmp && apt-get download -qq "
            f"{' '.join(missing)} && for file in *.deb; do dpkg-deb -x $file /out; done"
        )
        docker("run", "--rm", "--volume", f"{unpacked}:/out", BASE, "sh", "-c", fetch)
        for name in missing:
            found = next(Path(unpacked).glob(f"usr/lib*/docker/cli-plugins/{name}"))
            subprocess.run(["install", "-m", "755", str(found), str(folder / name)], check=True)


def _has_plugin(command: str) -> bool:
    return subprocess.run(["docker", command, "version"], capture_output=True, check=False).returncode == 0


def build(target: str, tag: str, *options: str, **arguments: str) -> str:
    """Build one target of the Dockerfile from this checkout; the tag."""
    file = str(REPOSITORY / "docker/Dockerfile")
    _build(REPOSITORY, ["--file", file, "--target", target, *options], tag, arguments)
    return tag


def build_stand_in(
    name: str, tag: str, *, target: str = "", base: str = BASE, context: Path | None = None
) -> str:
    """Build the stand-in for an official image from the folder of that name; it copies from `context`."""
    folder = Path(__file__).parent / "stand_ins" / name
    options = ["--file", str(folder / "Dockerfile"), *(["--target", target] if target else [])]
    _build(context or folder, options, tag, {"BASE_IMAGE": base})
    return tag


def authority() -> str | None:
    """The certificates that this machine trusts, which may be others than those in an image."""
    found = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    return found if found and Path(found).exists() else None


def _build(context: Path, options: list[str], tag: str, arguments: Mapping[str, str]) -> None:
    given = {"BASE_IMAGE": BASE, **arguments}
    secret = ["--secret", f"id=ca,src={found}"] if (found := authority()) else []
    flags = [word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")]
    docker(
        "buildx",
        "build",
        "--quiet",
        "--load",
        *options,
        *flags,
        *secret,
        "--tag",
        tag,
        str(context),
        timeout=900,
    )
