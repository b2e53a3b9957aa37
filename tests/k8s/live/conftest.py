"""What the tests on a cluster share: the client, and the sample as the overlay `local` has it."""

import os
from collections.abc import Iterator

import pytest
from k8s.live.client import client
from k8s.live.space import Figure, Space, install, settings

collect_ignore_glob = [] if os.environ.get("CLUSTER") in ("ours", "current") else ["test_*.py"]

FIRST = ("test_applied", "test_ends", "test_inside")
"""All overlays start at once, so that most of the waiting is done once. While others leave, tests run that
measure nothing."""

FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session", autouse=True)
def clients() -> Iterator[None]:
    """A pod to call from."""
    with client():
        yield


@pytest.fixture(scope="session")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """The sample with its database and bus, on its way."""
    space = install("local", "local", tmp_path_factory.mktemp("local"), **settings())
    try:
        yield space
    finally:
        space.delete()


@pytest.fixture(scope="session")
def installed(applied: Space) -> Space:
    """The sample with its database and bus, all ready."""
    applied.wait_until_rolled_out()
    return applied


@pytest.fixture
def backend(installed: Space) -> Space:
    """The sample with two pods, both ready."""
    installed.scale(2)
    return installed


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Remember a number for the end of the run."""
    return request.config.stash.setdefault(FIGURES, []).append


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first files first, then all others by name, as ever."""
    items.sort(key=lambda item: FIRST.index(item.path.stem) if item.path.stem in FIRST else len(FIRST))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was measured."""
    for what in terminalreporter.config.stash.get(FIGURES, []):
        terminalreporter.write_line(f"measured: {what}")
