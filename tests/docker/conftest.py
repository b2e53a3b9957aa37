"""The images under test, built once per session from this checkout; no container is left behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.containers import PREFIX, Ecosystem
from docker.measured import Report

from docker import engine, images, stack

MEASURED = pytest.StashKey[list[str]]()

collect_ignore_glob = [] if engine.answers() else ["test_*.py"]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MEASURED] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was measured."""
    if lines := config.stash[MEASURED]:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Report:
    """Print a figure at the end."""
    return lambda figure: pytestconfig.stash[MEASURED].append(figure.line())


@pytest.fixture(scope="session", autouse=True)
def no_container_left_behind() -> Iterator[None]:
    """Containers of tests are named alike; one that is left is removed and reported."""
    yield
    left = images.docker("ps", "--all", "--quiet", "--filter", f"name={PREFIX}").split()
    if left:
        images.docker("rm", "--force", "--volumes", *left)
    assert not left, "containers left behind"


@pytest.fixture(scope="session")
def runtime() -> str:
    """The `runtime` image."""
    return images.build("runtime", "pidone-test/runtime")


@pytest.fixture(scope="session")
def stack_env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The stack's images and settings."""
    return stack.images(tmp_path_factory.mktemp("stack"))


@pytest.fixture
def ecosystem(tmp_path: Path) -> Ecosystem:
    """Write an ecosystem; the options that mount it where the image looks for it."""

    def write(text: str) -> list[str]:
        tmp_path.chmod(0o755)  # the container's user is nobody here
        (tmp_path / "ecosystem.toml").write_text(text)
        return ["--volume", f"{tmp_path}:/app:ro"]

    return write
