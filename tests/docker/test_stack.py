"""The compose stack: up and healthy, used by chat clients over all instances, down, and again."""

import json
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from http.client import HTTPException
from pathlib import Path

import pytest
from docker.containers import PREFIX
from docker.images import REPOSITORY, docker
from docker.stack import CPUS, Stack
from docker.terminal import Terminal
from harness import Running, eventually
from sample.service import receive, say
from websockets.sync.client import ClientConnection, connect

from docker import stack as stacks


@pytest.fixture(scope="module")
def stack(stack_env: dict[str, str]) -> Iterator[Stack]:
    """A stack for the tests that only use it."""
    with stacks.up("used", stack_env, forget=True) as stack:
        yield stack


def chat(port: int, room: str, author: str, after: int = 0) -> ClientConnection:
    """Join a room."""
    return connect(f"ws://127.0.0.1:{port}/rooms/{room}?author={author}&after={after}", proxy=None)


def instances_of(port: int, path: str, *, requests: int) -> set[str]:
    """Which instances answer, each request on a connection of its own."""
    seen = set()
    for _ in range(requests):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            assert response.status == 200
            seen.add(response.headers["x-instance"])
    return seen


def test_clients_on_all_instances_share_their_rooms(stack: Stack) -> None:
    """Sixteen clients, spread by the kernel, all hear all messages of all, in one order."""
    port = stack.port("backend", 8000)
    with ExitStack() as members:
        clients = [members.enter_context(chat(port, "hall", f"client{n}")) for n in range(16)]
        for n, client in enumerate(clients):
            assert say(client, "k1", f"I am {n}") == n + 1
        for client in clients[:-1]:
            last = receive(client, "message")
            while last["seq"] < len(clients):
                following = receive(client, "message")
                assert following["seq"] == last["seq"] + 1
                last = following
    ready = [r for r in stack.records("backend") if r.get("event") == "instance.online"]
    assert {r["instance"] for r in ready if r["app"] == "api"} == set(range(CPUS))
    assert len(instances_of(port, "/", requests=200)) > 1


def test_a_plain_node_cluster_shares_its_port(stack: Stack) -> None:
    """Two CPUs, two workers of an unmodified Node server behind one published port."""
    port = stack.port("node-api", 3000)
    assert instances_of(port, "/", requests=200) == {"0", "1"}


def test_containers_are_confined(stack: Stack) -> None:
    """Nobody is root, can become root, or can write outside volumes and tmpfs; limits are set."""
    for service, facts in stack.services().items():
        (inspected,) = json.loads(docker("inspect", facts["ID"]))
        host = inspected["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert host["SecurityOpt"] == ["no-new-privileges:true"], service
        assert host["Memory"] > 0, service
        assert host["CpuQuota"] > 0, service
        assert docker("exec", facts["ID"], "id", "-u") != "0", service
        environment = "\n".join(inspected["Config"]["Env"])
        assert "s3cret" not in environment, service


def test_the_readmes_story(stack: Stack) -> None:
    """`docker compose exec backend pidone ls` has a row for each process; `monit` is live on a terminal."""
    rows = stack.compose("exec", "-T", "backend", "pidone", "ls").splitlines()
    online = [row.split()[1] for row in rows if "online" in row]
    assert sorted(online) == sorted(["aggregator", "worker", *(f"api:{n}" for n in range(CPUS))])
    with Terminal(stack.command("exec", "backend", "pidone", "monit"), stack.environment) as monit:
        for app in (b"api", b"aggregator", b"worker"):
            monit.expect(app)
        monit.type(b"q")
        assert monit.wait() == 0


def meet_everybody(stack: Stack, room: str, when: str) -> list[int]:
    """Clients join one by one until every instance has one, and each says something; the numbers of that."""
    acknowledged: list[int] = []
    met: set[str] = set()
    with ExitStack() as members:
        while len(met) < CPUS:
            assert len(acknowledged) < 100, f"only {met} answer"
            client = members.enter_context(
                chat(stack.port("backend", 8000), room, f"client{len(acknowledged)}")
            )
            assert client.response is not None
            met.add(client.response.headers["x-instance"])
            acknowledged.append(say(client, when, "hello everybody"))
    return acknowledged


def test_up_used_and_down_twice(stack_env: dict[str, str]) -> None:
    """Every instance takes part each time, every service stops with 0, what was acknowledged stays."""
    with stacks.up("twice", stack_env, forget=False) as first:
        acknowledged = meet_everybody(first, "lasting", "first")
        first.compose("stop")
        codes = {service: facts["ExitCode"] for service, facts in first.services().items()}
        assert codes == {"backend": 0, "node-api": 0, "postgres": 0, "redis": 0}
    with stacks.up("twice", stack_env, forget=True) as second:
        acknowledged += meet_everybody(second, "lasting", "second")
        with chat(second.port("backend", 8000), "lasting", "bob") as bob:
            assert [receive(bob, "message")["seq"] for _ in acknowledged] == acknowledged
    left = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={second.project}")
    volumes = docker(
        "volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={second.project}"
    )
    assert (left, volumes) == ("", "")


def test_watch_syncs_sources_as_they_are_saved(stack_env: dict[str, str], tmp_path: Path) -> None:
    """With compose.dev.yml a saved file is in the running service a moment later, of either kind."""
    built_from = (
        "docker",
        "docs",
        "runtime",
        "k8s",
        "pyproject.toml",
        "hatch_build.py",
        "README.md",
        "LICENSE",
    )
    for name in (*built_from, ".dockerignore"):
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "data"))
        else:
            shutil.copy(source, tmp_path)
    files = ("docker-compose.yml", "compose.dev.yml")
    for name in files:
        shutil.copy(REPOSITORY / name, tmp_path)
    composed = ":".join([*files, str(stacks.PATIENT)])
    stack = Stack(f"{PREFIX}watched", {**stack_env, "COMPOSE_FILE": composed}, tmp_path)
    edits = [
        ("backend", 8000, "docker/backend/chat/routes.py", "/health  /ready", "/watched"),
        ("node-api", 3000, "docker/node-api/server.js", "from node", "watched"),
    ]
    try:
        with Running(stack.command("watch"), env=stack.environment, cwd=tmp_path) as watch:
            eventually(lambda: "Watch enabled" in said(watch), "the watch to begin", stacks.UP_S)
            for service, port, file, before, after in edits:
                text = (tmp_path / file).read_text()
                assert before in text
                (tmp_path / file).write_text(text.replace(before, after))
                shows = partial(shown, stack, service, port, after)
                eventually(shows, f"{after} from {service}:\n{said(watch)}", stacks.UP_S)
    finally:
        stack.compose("down", "--volumes")


def said(process: Running) -> str:
    """Everything a process has written so far."""
    return "\n".join(lines.text() for lines in (process.out, process.err) if lines is not None)


def shown(stack: Stack, service: str, port: int, text: str) -> bool:
    """Whether a service answers with the text; not while it restarts."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{stack.port(service, port)}/", timeout=10) as response:
            return text in response.read().decode()
    except (AssertionError, OSError, HTTPException):  # also of a port that is not published at the moment
        return False
