"""Rules for every test: no process may be left behind, and what runs beside it is none of its business."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import harness
import hypothesis
import pytest

from pidone.host.cpus import available_cpus

RUN = pytest.StashKey[str]()
"""The folder for control sockets of this process."""

# How long an example takes says more about what else the machine does than about the code.
hypothesis.settings.register_profile(
    "untimed",
    hypothesis.settings(),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("untimed")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means: the CPUs that we may use, by affinity and quota, not those that there are."""
    return available_cpus()


def pytest_configure(config: pytest.Config) -> None:
    harness.become_subreaper()
    os.environ["PIDONE_STRICT"] = "1"  # events that no documentation knows are errors here
    # A module that is written anew within a second, with as many bytes, would be taken for the old one.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    # A shell that put us into the background has had them ignored, and so would be all that we start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    # An app named by app.py is started by the first python3 of the PATH: this one, and not the script of a
    # version manager that looks for it, which takes ten times as long.
    own = os.path.dirname(os.path.realpath(sys.executable))
    os.environ["PATH"] = f"{own}:{os.environ['PATH']}"
    # Runtimes that nobody told where their control socket belongs would meet in /run, and programs believe in
    # these sizes rather than in those of their terminal.
    for name in ("PIDONE_SOCKET", "LINES", "COLUMNS"):
        os.environ.pop(name, None)
    config.stash[RUN] = os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="pidone-run-")
    os.chmod(config.stash[RUN], 0o1777)  # for those that run as somebody else


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[RUN])


@pytest.fixture(autouse=True)
def no_process_left_behind() -> Iterator[None]:
    """A test that leaks a process, dead or alive, is a bug in the test or in pidone."""
    before = set(harness.descendants(os.getpid()))
    yield
    left = {pid: harness.command_of(pid) for pid in harness.descendants(os.getpid()) if pid not in before}
    assert not left, f"processes left behind: {left}"


@pytest.fixture
def port() -> int:
    """A port for nobody else."""
    return harness.free_port()


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder as `tmp_path`, but other users may enter: pytest's own are closed to them."""
    with tempfile.TemporaryDirectory(prefix="pidone-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def root() -> None:
    """Skip where namespaces and other users are out of reach."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
