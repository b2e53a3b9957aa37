"""Every signal of `docker kill --signal`: which reach the app, which stop, which do nothing."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.apps import TELLTALE
from docker.containers import Container, mounted
from harness import eventually

STOPS = {
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGPWR,
    *(signal.SIGRTMIN + n for n in (3, 4, 5, 6)),
}
FORWARDED = {signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT}
READS_AGAIN = {signal.SIGHUP}
FORCED = {signal.SIGKILL, signal.SIGSTOP}
"""Those that the kernel does not ask about, even PID 1, when they come from outside the container."""
WITHOUT_EFFECT = signal.valid_signals() - STOPS - FORWARDED - READS_AGAIN - FORCED


def name_of(number: int) -> str:
    """The name as `docker kill` takes it; real-time signals have numbers only."""
    return signal.Signals(number).name if number in [*signal.Signals] else str(number)


def started(image: str, folder: Path) -> Container:
    """A container whose app tells what it gets, ready for anything."""
    folder.chmod(0o755)  # the container's user is nobody here
    (folder / "ecosystem.toml").write_text(TELLTALE)
    container = Container(image, options=mounted(folder))
    container.expect(message="ready")
    container.expect(event="instance.online")
    return container


@pytest.fixture(scope="module")
def lasting(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """One container for all signals that end nothing."""
    with started(runtime, tmp_path_factory.mktemp("lasting")) as container:
        yield container


def got(container: Container) -> list[str]:
    """What the app has told of signals."""
    said = [record["message"] for record in container.find(app="telltale", stream="stdout")]
    return [line for line in said if line.startswith("got ")]


@pytest.mark.parametrize("number", sorted(FORWARDED), ids=name_of)
def test_forwarded(lasting: Container, number: int) -> None:
    """It reaches the app once, as itself, and the container stays."""
    before = got(lasting)
    lasting.kill(name_of(number))
    lasting.expect(message=f"got {int(number)}")
    assert got(lasting) == [*before, f"got {int(number)}"]
    assert lasting.state["Running"]


@pytest.mark.parametrize("number", sorted(WITHOUT_EFFECT), ids=name_of)
def test_without_effect(lasting: Container, number: int) -> None:
    """Nobody is told and nothing ends: a signal sent after it is forwarded as ever, and alone."""
    before = got(lasting)
    lasting.kill(name_of(number))
    lasting.kill("USR1")
    eventually(lambda: len(got(lasting)) > len(before), "the signal after it")
    assert got(lasting) == [*before, f"got {int(signal.SIGUSR1)}"]
    assert lasting.state["Running"]


@pytest.mark.parametrize("number", sorted(READS_AGAIN), ids=name_of)
def test_reads_again(lasting: Container, number: int) -> None:
    """The ecosystem is read again; an app that has not changed is not touched."""
    before = got(lasting)
    lasting.kill(name_of(number))
    lasting.expect(event="config.reload")
    assert got(lasting) == before
    assert len(lasting.find(event="instance.start")) == 1


@pytest.mark.parametrize("number", sorted(STOPS), ids=name_of)
def test_stops(runtime: str, tmp_path: Path, number: int) -> None:
    """An orderly stop: the app gets its own stop signal, whichever came, and the code is 0."""
    with started(runtime, tmp_path) as container:
        container.kill(name_of(number))
        assert container.wait() == 0
        assert got(container) == [f"got {int(signal.SIGTERM)}"]


def test_kill(runtime: str, tmp_path: Path) -> None:
    """SIGKILL can be handled by nobody: the engine's 137, and nothing of ours."""
    with started(runtime, tmp_path) as container:
        container.kill("KILL")
        assert container.wait() == 137
        assert got(container) == []


def test_stop_and_cont(runtime: str, tmp_path: Path) -> None:
    """SIGSTOP halts PID 1 and nobody else; what comes meanwhile is done after SIGCONT, which is forwarded."""
    with started(runtime, tmp_path) as container:
        container.kill("STOP")
        eventually(
            lambda: (1, "T") in [(pid, state) for pid, state, _ in container.processes()], "PID 1 to halt"
        )
        container.kill("USR2")
        container.kill("CONT")
        container.expect(message=f"got {int(signal.SIGUSR2)}")
        container.expect(message=f"got {int(signal.SIGCONT)}")
        assert container.stop() == 0
