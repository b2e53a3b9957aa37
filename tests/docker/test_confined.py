"""pidone in containers that allow little: users, capabilities, file systems, terminals, other inits."""

import uuid

import pytest
from docker.apps import SLEEPER
from docker.containers import PREFIX, Container, Ecosystem
from docker.images import docker
from docker.terminal import Terminal
from harness import eventually


@pytest.mark.parametrize(
    "options",
    [
        ["--read-only"],
        ["--user", "4242424:4242424"],
        ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"],
        ["--env", "HOME="],
        ["--user", "0"],
        ["--init"],
        ["--network", "none"],
        ["--pids-limit", "16"],
        [
            *("--read-only", "--user", "4242424", "--cap-drop", "ALL", "--network", "none"),
            *("--security-opt", "no-new-privileges", "--memory", "64m", "--pids-limit", "16"),
        ],
    ],
    ids=lambda options: " ".join(options[:2] if len(options) < 6 else ["everything"]),
)
def test_it_starts_and_stops_in_order(runtime: str, ecosystem: Ecosystem, options: list[str]) -> None:
    """Whatever is taken away, apps start, run as the container's user, and stop with 0."""
    with Container(runtime, options=[*ecosystem(SLEEPER), *options]) as container:
        app = container.expect(event="instance.start")
        assert container.exec("cat", f"/proc/{app['pid']}/comm") == "sleep"
        assert container.stop() == 0
        assert container.errors() == ""


def test_home_may_be_missing(runtime: str) -> None:
    """An environment without HOME, PATH's neighbours or a terminal is enough."""
    command = ["env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin", "pidone", "--no-autorestart", "--", "env"]
    with Container(runtime, *command, remove_entrypoint=True) as container:
        assert container.wait() == 0
        said = [record["message"] for record in container.find(stream="stdout")]
        assert not [line for line in said if line.startswith("HOME=")]


def test_the_pid_namespace_may_be_shared(runtime: str, ecosystem: Ecosystem) -> None:
    """`--pid container:` makes it an ordinary process, and it still adopts and stops what it has started."""
    with (
        Container(runtime, "exec", "--", "sleep", "3600") as host,
        Container(runtime, options=[*ecosystem(SLEEPER), "--pid", f"container:{host.name}"]) as container,
    ):
        app = container.expect(event="instance.start")
        assert container.find(event="runtime.start")[0]["pid"] != 1
        assert host.exec("cat", f"/proc/{app['pid']}/comm") == "sleep"
        assert container.stop() == 0
        eventually(lambda: app["pid"] not in [pid for pid, _, _ in host.processes()], "the app to be gone")
        assert host.state["Running"]


def test_a_terminal_gets_readable_lines_and_interrupts(runtime: str, ecosystem: Ecosystem) -> None:
    """With `-it`, lines are text, and ^C typed at the terminal stops in order."""
    name = f"{PREFIX}{uuid.uuid4().hex[:12]}"
    with Terminal(["docker", "run", "--rm", "-it", "--name", name, *ecosystem(SLEEPER), runtime]) as terminal:
        terminal.expect(b"started as pid")
        assert not terminal.shown.lstrip().startswith(b"{")
        terminal.type(b"\x03")
        assert terminal.wait() == 0


def test_exec_is_possible_as_root_and_as_the_user(runtime: str, ecosystem: Ecosystem) -> None:
    """`docker exec` with either user finds the command on the PATH."""
    with Container(runtime, options=ecosystem(SLEEPER)) as container:
        container.expect(event="instance.start")
        for user in ("0", "10001"):
            assert container.exec("pidone", "--version", options=["--user", user]).startswith("pidone ")
    assert docker("ps", "--quiet", "--filter", f"name={container.name}") == ""
