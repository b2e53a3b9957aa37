"""Rules for every test: no process may be left behind."""

import os
from collections.abc import Iterator

import harness
import pytest
from hypothesis import settings


def pytest_configure() -> None:
    harness.become_subreaper()
    os.environ["PIDONE_STRICT"] = "1"  # events that no documentation knows are errors here
    # How long an example takes says how busy the machine is.
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def no_process_left_behind() -> Iterator[None]:
    """A test that leaks a process, dead or alive, is a bug in the test or in pidone."""
    before = set(harness.descendants(os.getpid()))
    yield
    left = {pid: harness.command_of(pid) for pid in harness.descendants(os.getpid()) if pid not in before}
    assert not left, f"processes left behind: {left}"


@pytest.fixture
def root() -> None:
    """Skip where namespaces and other users are out of reach."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
