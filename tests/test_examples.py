"""Each example is complete, means what it says, and works where its programs are installed."""

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import PIDONE, free_port
from npm import modules

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/ecosystem.toml"))
MADE_BY_BUILDS = ("server", "dist/main.js", "server.js")
SMOKE_S = 90


def stand_in(path: Path) -> None:
    """A program that there will be in the image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("" if path.suffix == ".js" else "#!/bin/sh\n")
    path.chmod(0o755)


@pytest.fixture
def folder(name: str) -> Iterator[Path]:
    """A copy that every user can read, at ports of its own, so that several may be tried at once."""
    with tempfile.TemporaryDirectory(prefix="pidone-example-") as made:
        Path(made).chmod(0o755)
        yield copied(name, Path(made) / name)


def copied(name: str, copy: Path) -> Path:
    """The example as it is, but for its ports."""
    shutil.copytree(ROOT / "examples" / name, copy)
    ecosystem = (copy / "ecosystem.toml").read_text()
    for port in set(re.findall(r"(?:127\.0\.0\.1|0\.0\.0\.0):(\d{4})", ecosystem)) | {"9000"}:
        free = str(free_port())
        for path in copy.rglob("*"):
            if path.is_file():
                text = path.read_text()
                path.write_text(re.sub(rf"\b{port}\b", free, text))
    return copy


def pidone(folder: Path, *words: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in the example's folder."""
    places = [*([str(path)] if path else []), str(Path(PIDONE).parent), os.environ["PATH"]]
    return subprocess.run(
        [PIDONE, *words, "ecosystem.toml"],
        cwd=folder,
        env={**os.environ, "PATH": ":".join(places)},
        capture_output=True,
        text=True,
        check=False,
        timeout=SMOKE_S,
    )


def test_there_are_ten() -> None:
    """And the index has each."""
    index = (ROOT / "examples/README.md").read_text()
    assert len(EXAMPLES) == 10
    assert all(f"[{name}]({name}/" in index for name in EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_ecosystem_is_right(name: str, folder: Path, tmp_path: Path) -> None:
    """No warning, once the programs of the image are there."""
    for app in tomllib.loads((folder / "ecosystem.toml").read_text())["apps"]:
        script = app["script"]
        if "/" not in script and not (folder / app.get("cwd", ".") / script).exists():
            stand_in(tmp_path / "bin" / script)
        if (
            script.removeprefix("./") in MADE_BY_BUILDS
            and not (folder / app.get("cwd", ".") / script).exists()
        ):
            stand_in(folder / script)
    done = pidone(folder, "check", "--strict", path=tmp_path / "bin")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_dockerfile_is_complete(name: str) -> None:
    """It copies what is there, brings pidone, says whether it is healthy, and is nobody special."""
    folder = ROOT / "examples" / name
    text = (folder / "Dockerfile").read_text()
    assert "COPY --from=ghcr.io/pidone/pidone:bundle /opt/pidone /opt/pidone" in text
    assert 'ENTRYPOINT ["pidone"]' in text
    assert re.search(r"^HEALTHCHECK .*pidone", text, re.MULTILINE)
    assert all(
        re.match(r"scratch$|\S+:\S*\d", base) for base in re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    )
    for line in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE):
        assert all((folder / source).exists() for source in line.split()), line


PYTHON_PACKAGES = {
    "fastapi": ("fastapi", "uvicorn"),
    "flask": ("flask", "gunicorn"),
    "django-celery": ("django", "gunicorn", "celery", "redis"),
}
PROGRAMS = {"go": "go", "monorepo": "node", "php-fpm-nginx": "nginx"}


def prepare(name: str, folder: Path, programs: Path) -> None:
    """What the Dockerfile's RUN lines do, with what this machine has; skips where it has not."""
    programs.mkdir()
    if name in PYTHON_PACKAGES:
        missing = [each for each in PYTHON_PACKAGES[name] if importlib.util.find_spec(each) is None]
        if missing:
            pytest.skip(f"not installed: {missing}")
    elif name == "express-cluster":
        (folder / "node_modules").symlink_to(modules("express-5", "express@5"))
    elif name not in PROGRAMS:
        pytest.skip("built with an engine only")
    elif shutil.which(PROGRAMS[name]) is None:
        pytest.skip(f"no {PROGRAMS[name]}")
    elif name == "go":
        environ = {**os.environ, "CGO_ENABLED": "0"}
        subprocess.run(["go", "build", "-o", "server", "."], cwd=folder, env=environ, check=True)
    elif name == "php-fpm-nginx":
        found = next(Path("/usr/sbin").glob("php-fpm*"), None)
        if found is None:
            pytest.skip("no php-fpm")
        (programs / "php-fpm").symlink_to(found)


@contextmanager
def redis_for(name: str, folder: Path) -> Iterator[None]:
    """The broker that Celery finds under the name `redis`; skips where there is none."""
    if name != "django-celery":
        yield
        return
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server")
    port = str(free_port())
    settings = folder / "mysite/settings.py"
    settings.write_text(settings.read_text().replace("redis:6379", f"127.0.0.1:{port}"))
    broker = subprocess.Popen(["redis-server", "--port", port, "--save", ""], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        broker.terminate()
        broker.wait(SMOKE_S)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_one_line_proves_that_it_works(name: str, folder: Path, tmp_path: Path) -> None:
    """`pidone smoke ecosystem.toml`: ready, answered, stopped in order."""
    prepare(name, folder, tmp_path / "programs")
    with redis_for(name, folder):
        done = pidone(folder, "smoke", path=tmp_path / "programs")
    assert done.returncode == 0, done.stdout + done.stderr
