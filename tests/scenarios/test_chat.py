"""Scenario 5, chat over two instances."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from harness import DEADLINE_S, eventually, free_port
from scenarios.driving import System, request, running
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

CONFIGS = ["chat/ecosystem.toml", "chat/ecosystem.config.js"]
SERVICE_RESTART = 1012


@pytest.fixture(params=CONFIGS)
def chat(request: pytest.FixtureRequest, redis: str) -> Iterator[tuple[System, int]]:
    """The running system and its port."""
    port = free_port()
    with running(request.param, "--env", "production", PORT=str(port), REDIS_URL=redis) as system:
        system.online("chat", 2)
        yield system, port


def join(stack: contextlib.ExitStack, port: int, room: str, after: int = 0) -> tuple[ClientConnection, str]:
    """A new client, and the instance it landed on."""
    client = stack.enter_context(connect(f"ws://127.0.0.1:{port}/{room}?after={after}", proxy=None))
    return client, str(receive(client, "hello")["instance"])


def join_both(stack: contextlib.ExitStack, port: int, room: str) -> dict[str, ClientConnection]:
    """Clients on both instances, by instance."""
    found: dict[str, ClientConnection] = {}

    def joined() -> bool:
        client, instance = join(stack, port, room)
        found[instance] = client
        return len(found) == 2

    eventually(joined, "clients on both instances")
    return found


def receive(client: ClientConnection, kind: str) -> dict[str, Any]:
    """The next frame of this type."""
    while True:
        frame: dict[str, Any] = json.loads(client.recv(timeout=DEADLINE_S))
        if frame["type"] == kind:
            return frame


def say(client: ClientConnection, text: str) -> int:
    """Send and wait for the acknowledgement; the message's number."""
    client.send(json.dumps({"key": text, "text": text}))
    return int(receive(client, "ack")["seq"])


def test_rooms_span_the_instances(chat: tuple[System, int]) -> None:
    """What is said on one instance is heard on the other, in order."""
    system, port = chat
    with contextlib.ExitStack() as stack:
        here, there = join_both(stack, port, "hall").values()
        assert [say(here, f"line {n}") for n in range(10)] == list(range(1, 11))
        heard = [receive(there, "message") for _ in range(10)]
        assert [(frame["seq"], frame["text"]) for frame in heard] == [(n + 1, f"line {n}") for n in range(10)]
    system.stop()


def test_defaults_come_from_the_environment(chat: tuple[System, int]) -> None:
    """`process.env.X || default`, and what production overrides."""
    _, port = chat
    assert request(port, "/env").body == {
        "NODE_ENV": "production",
        "DB_POOL_MAX": "15",
        "HEALTH_GRACE_MS": "3000",
    }


def test_an_instance_may_die_and_no_acknowledged_message_is_missed(chat: tuple[System, int]) -> None:
    """Clients of the dead instance reconnect to the other at once and continue after the last number."""
    system, port = chat
    with contextlib.ExitStack() as stack:
        clients = join_both(stack, port, "hall")
        victim, survivor = clients["0"], clients["1"]
        acknowledged = [say(victim, f"before {n}") for n in range(5)]
        os.kill(system.pids("chat")[0], signal.SIGKILL)
        with pytest.raises(ConnectionClosed):
            receive(victim, "never")
        acknowledged += [say(survivor, f"during {n}") for n in range(5)]
        again, _ = join(stack, port, "hall", after=3)
        assert [receive(again, "message")["seq"] for _ in range(7)] == acknowledged[3:]
    system.run.expect(event="instance.backoff", app="chat", instance=0, delay_s=4)
    system.run.expect(event="instance.start", app="chat", instance=0, count=2)
    system.stop()


def test_a_stop_tells_every_client(chat: tuple[System, int]) -> None:
    """Sockets are closed with "service restart", and the processes exit by themselves."""
    system, port = chat
    with contextlib.ExitStack() as stack:
        clients = join_both(stack, port, "hall")
        assert system.stop() == ["chat"]
        for client in clients.values():
            with pytest.raises(ConnectionClosed) as end:
                receive(client, "never")
            assert end.value.rcvd is not None
            assert end.value.rcvd.code == SERVICE_RESTART
    assert system.ends() == {("chat", 0): 2}
