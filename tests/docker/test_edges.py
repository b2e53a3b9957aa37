"""What an engine, an image or whoever runs it may ask of an entrypoint beside the usual."""

import json
import os
from pathlib import Path

import pytest
from docker.apps import SLEEPER, TELLTALE
from docker.containers import PREFIX, Container, Ecosystem
from docker.images import DockerError, docker
from docker.stack import Stack
from harness import eventually

MAX = SLEEPER + 'instances = "max"\n'
PINNED = SLEEPER.replace('"sleeper"', '"pinned"') + 'instances = "max"\nmax_follows = false\n'
LARGE = """
[[apps]]
name = "large"
script = "python3"
interpreter = "none"
max_memory_restart = "50%"
memory_interval = "200ms"
args = ["-uc", "import time; hoard = bytearray(90 << 20); print('large'); time.sleep(3600)"]
"""
OFTEN = "--interval=500ms --timeout=10s --retries=1"


def derived(name: str, *lines: str, base: str) -> str:
    """An image made of another one by these lines; its tag."""
    tag = f"pidone-test/{name}"
    text = "\n".join([f"FROM {base}", *lines])
    docker("buildx", "build", "--quiet", "--load", "--tag", tag, "-", stdin=text)
    return tag


def test_update_of_cpus_is_followed(runtime: str, ecosystem: Ecosystem) -> None:
    """`docker update --cpus`, `--cpuset-cpus`: more instances, fewer, at least one; not what is pinned."""
    with Container(runtime, options=[*ecosystem(MAX + PINNED), "--cpus", "1"]) as container:
        container.expect(event="instance.online", app="pinned")
        container.expect(event="instance.online", app="sleeper")
        first = container.expect(event="instance.start", app="sleeper")

        def count(app: str) -> int:
            listed = json.loads(container.exec("pidone", "ls", "--json"))["apps"]
            (found,) = (each for each in listed if each["name"] == app)
            return len([each for each in found["instances"] if each["state"] == "online"])

        if len(os.sched_getaffinity(0)) > 1:
            docker("update", "--cpus", "2", container.name)
            container.expect(event="host.resize", resource="cpus", now=2)
            eventually(lambda: count("sleeper") == 2, "two instances")
            docker("update", "--cpus", "0.3", container.name)
            container.expect(event="host.resize", resource="cpus", now=1)
            eventually(lambda: count("sleeper") == 1, "one instance")
            docker("update", "--cpus", "2", container.name)
            eventually(lambda: count("sleeper") == 2, "two again")
            docker("update", "--cpuset-cpus", str(min(os.sched_getaffinity(0))), container.name)
            eventually(lambda: count("sleeper") == 1, "one processor to be enough for one")
        assert count("pinned") == 1
        assert first["pid"] not in [each["pid"] for each in container.find(event="instance.exit")]
        assert container.stop() == 0


def test_memory_that_shrinks_below_an_app_is_told_once(runtime: str, ecosystem: Ecosystem) -> None:
    """`docker update --memory`: 50 % of less is below its size, and no replacement would help."""
    options = [*ecosystem(LARGE), "--memory", "400m", "--memory-swap", "400m"]
    with Container(runtime, options=options) as container:
        container.expect(message="large")
        container.expect(event="instance.online")  # its limit is known by then
        docker("update", "--memory", "150m", "--memory-swap", "150m", container.name)
        assert container.expect(event="host.resize", resource="memory")["now"] == 150 << 20
        container.expect(event="instance.memory", app="large")
        container.expect(message="large", count=2)
        container.expect(event="config.warning", app="large", level="warning")
        assert len(container.find(event="instance.start")) <= 3  # pauses of 30 s and more from now on
        assert container.state["Running"]
        assert container.stop() == 0


@pytest.mark.parametrize("name", ["SIGPWR", "37", "SIGINT", "SIGQUIT"])
def test_an_inherited_stop_signal_stops_in_order(runtime: str, ecosystem: Ecosystem, name: str) -> None:
    """`docker stop` sends what the base image says, be it meant for systemd (37 is SIGRTMIN+3) or LXC."""
    image = derived(f"stop-{name.lower()}", f"STOPSIGNAL {name}", base=runtime)
    with Container(image, options=ecosystem(TELLTALE)) as container:
        container.expect(message="ready")
        assert container.stop(30) == 0
        assert [each["message"] for each in container.find(app="telltale", stream="stdout")] == [
            "ready",
            "got 15",
        ]


def test_a_stop_signal_that_a_terminal_sends_too(runtime: str, ecosystem: Ecosystem) -> None:
    """SIGWINCH of an Apache base stops nothing; the record says what to set, and so set it stops."""
    image = derived("stop-sigwinch", "STOPSIGNAL SIGWINCH", base=runtime)
    with Container(image, options=ecosystem(TELLTALE)) as container:
        container.expect(message="ready")
        assert container.stop(3) == 137
        told = container.expect(event="runtime.signal", signal="SIGWINCH")
        assert 'SIGWINCH = "stop" in [runtime.signals]' in told["message"]
    meant = TELLTALE + '\n[runtime.signals]\nSIGWINCH = "stop"\n'
    with Container(image, options=ecosystem(meant)) as container:
        container.expect(message="ready")
        assert container.stop(30) == 0


def test_the_user_of_the_container_may_be_named(runtime: str, ecosystem: Ecosystem) -> None:
    """`user: 1234:5678` with `group_add`, and `uid = 1234` in the file: that needs no right."""
    text = """
[[apps]]
name = "a"
script = "id"
interpreter = "none"
args = ["-G"]
cwd = "/"
autorestart = false
uid = 1234
"""
    options = [*ecosystem(text), "--user", "1234:5678", "--group-add", "999", "--cap-drop", "ALL"]
    with Container(runtime, options=options) as container:
        assert container.wait() == 0
        container.expect(app="a", stream="stdout", message="5678 999")


def test_a_paused_container_goes_on(runtime: str, ecosystem: Ecosystem) -> None:
    """Nobody is late who could not run, and a limit that has changed meanwhile is followed."""
    app = SLEEPER + 'max_memory_restart = "80%"\nmemory_interval = "200ms"\n'
    with Container(
        runtime, options=[*ecosystem(app), "--memory", "400m", "--memory-swap", "400m"]
    ) as container:
        container.expect(event="instance.online")
        docker("pause", container.name)
        try:
            docker("update", "--memory", "300m", "--memory-swap", "300m", container.name)
        finally:
            docker("unpause", container.name)
        container.expect(event="host.resize", resource="memory", now=300 << 20)
        assert len(container.find(event="instance.start")) == 1
        assert container.stop() == 0


@pytest.mark.parametrize("user", ["4242", "1000670000:0"], ids=["documented", "openshift"])
def test_a_hardened_container_can_be_asked(runtime: str, ecosystem: Ecosystem, user: str) -> None:
    """docs/docker.md literally: no right, nothing to write to; `ls` and `health` answer."""
    hardened = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", user]
    with Container(runtime, options=[*ecosystem(SLEEPER), *hardened]) as container:
        container.expect(event="control.listening")
        container.expect(event="instance.online")
        assert "sleeper" in container.exec("pidone", "ls")
        container.exec("pidone", "health")
        assert not container.find(event="control.error")
        assert container.stop() == 0


def test_no_folder_at_all(runtime: str, ecosystem: Ecosystem) -> None:
    """Nor a network of its own: the socket has no file, and of two containers each operates its own alone."""
    nothing = ["--read-only", "--ipc", "none", "--cap-drop", "ALL", "--user", "4242", "--network", "host"]
    options = [*ecosystem(SLEEPER), *nothing]
    with Container(runtime, options=options) as one, Container(runtime, options=options) as other:
        names = []
        for each in (one, other):
            names.append(each.expect(event="control.listening")["address"])
            each.expect(event="instance.online")
            each.exec("pidone", "health")
            assert "online" in each.exec("pidone", "ls")
            each.exec("pidone", "reload", "all")
            each.expect(event="app.reloaded")
        assert all(name.startswith("@pidone-") for name in names), names
        assert len(set(names)) == 2
        for user in ("4242", "0"):
            with pytest.raises(DockerError, match="another container"):
                docker("exec", "--user", user, one.name, "pidone", "ls", "--socket", names[1])
        assert "online" in docker("exec", "--user", "0", one.name, "pidone", "ls")
        assert one.stop() == 0
        assert "online" in other.exec("pidone", "ls")


def test_exec_under_our_healthcheck_is_healthy(runtime: str) -> None:
    """`FROM pidone` with `exec -- ...` inherits HEALTHCHECK, and there is no runtime to ask."""
    check = f'HEALTHCHECK {OFTEN} CMD ["pidone", "health"]'
    image = derived("exec-healthcheck", check, 'CMD ["exec", "--", "sleep", "3600"]', base=runtime)
    with Container(image) as container:
        eventually(lambda: container.state["Health"]["Status"] == "healthy", "healthy")
        assert container.stop() in (0, 143)


def test_compose_asks_for_no_more_processors_than_there_are(stack_env: dict[str, str]) -> None:
    """Whatever BACKEND_CPUS says, a host with fewer creates the containers."""
    stack = Stack(f"{PREFIX}few", {**stack_env, "BACKEND_CPUS": "64"})
    try:
        stack.compose("create", "backend", "node-api")
        backend = docker("inspect", stack.services()["backend"]["ID"])
        assert json.loads(backend)[0]["HostConfig"]["CpuQuota"] == 6_400_000
    except DockerError as error:
        raise AssertionError(str(error)) from error
    finally:
        stack.compose("down", "--volumes")


def test_a_deleted_user_database(runtime: str, ecosystem: Ecosystem, tmp_path: Path) -> None:
    """An /etc/passwd and /etc/group of no bytes, as hardened images have them: our user has no name."""
    for name in ("passwd", "group"):
        (tmp_path / name).touch()
    mounts = [word for name in ("passwd", "group") for word in ("-v", f"{tmp_path}/{name}:/etc/{name}:ro")]
    with Container(runtime, options=[*ecosystem(SLEEPER), *mounts, "--user", "10001"]) as container:
        container.expect(event="instance.online")
        assert "sleeper" in container.exec("pidone", "ls")
        assert container.stop() == 0
