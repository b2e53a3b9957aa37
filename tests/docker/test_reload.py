"""Rolling reloads of the stack's services under load, through the ports that are published on 127.0.0.1."""

from collections.abc import Iterator

import pytest
from clusters.load import Load
from docker.chatting import conversation
from docker.stack import CPUS, NODE_CPUS, Stack

from docker import stack as stacks

ROUNDS = 2


@pytest.fixture(scope="module")
def stack(stack_env: dict[str, str]) -> Iterator[Stack]:
    """A stack of its own: the instances change."""
    with stacks.up("reloaded", stack_env, forget=True) as stack:
        yield stack


@pytest.mark.parametrize("keep_alive", [False, True], ids=["close", "keep-alive"])
@pytest.mark.parametrize(
    ("service", "app", "port", "count", "path"),
    # Not /health of the backend: a check of it that takes longer than a second is a refusal.
    [
        ("backend", "api", 8000, CPUS, "/rooms/hall/messages"),
        ("node-api", "node-api", 3000, NODE_CPUS, "/health"),
    ],
    ids=["backend", "node-api"],
)
def test_no_request_fails(
    stack: Stack, service: str, app: str, port: int, count: int, path: str, *, keep_alive: bool
) -> None:
    """Every instance is replaced again and again by `docker compose exec`, and every request is answered."""
    begun = len(stack.find(service, event="instance.start", app=app))
    with Load(stack.port(service, port), keep_alive=keep_alive, path=path) as load:
        for _ in range(ROUNDS):
            load.more(200)
            stack.compose("exec", "-T", service, "pidone", "reload", app)
        load.more(200)
        assert load.finish() == []
    assert len(stack.find(service, event="instance.start", app=app)) - begun == ROUNDS * count
    assert stack.find(service, event="instance.kill") == []


def test_chat_clients_come_back_and_miss_nothing(stack: Stack) -> None:
    """WebSockets are told to reconnect, land on successors, and continue where they were."""
    with conversation(stack.port("backend", 8000), "reloaded", clients=16) as talk:
        talk.more(10)
        stack.compose("exec", "-T", "backend", "pidone", "reload", "api")
        talk.more(10)
    talk.check()
    assert all(one.setbacks for one in talk.chatters), "everybody had to reconnect"
