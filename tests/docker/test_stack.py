"""The compose stack: up and healthy, used by chat clients over all instances, down, and again."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from docker.images import docker
from docker.stack import CPUS, Stack
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
    assert len(instances_of(port, "/health", requests=200)) > 1


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
        assert host["NanoCpus"] > 0, service
        assert docker("exec", facts["ID"], "id", "-u") != "0", service
        environment = "\n".join(inspected["Config"]["Env"])
        assert "s3cret" not in environment, service


def test_everything_survives_a_down_and_an_up(env: dict[str, str]) -> None:
    """What was acknowledged is there after `down` and `up`, and every service stops with 0."""
    with stacks.up("twice", env, forget=False) as first:
        port = first.port("backend", 8000)
        with chat(port, "lasting", "ann") as ann:
            acknowledged = [say(ann, f"k{n}", f"message {n}") for n in range(20)]
        first.compose("stop")
        codes = {service: facts["ExitCode"] for service, facts in first.services().items()}
        assert codes == {"backend": 0, "node-api": 0, "postgres": 0, "redis": 0}
    with stacks.up("twice", env, forget=True) as second:
        port = second.port("backend", 8000)
        with chat(port, "lasting", "bob") as bob:
            assert [receive(bob, "message")["seq"] for _ in acknowledged] == acknowledged
    left = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={second.project}")
    volumes = docker(
        "volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={second.project}"
    )
    assert (left, volumes) == ("", "")
