"""Scenario 5, chat over two instances."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from harness import DEADLINE_S, eventually, free_port
from scenarios.driving import HERE, System, request, running
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from pidone.ecosystem.load import load
from pidone.ecosystem.options import LoadOptions

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
    url = f"ws://127.0.0.1:{port}/{room}?after={after}"
    client = stack.enter_context(connect(url, proxy=None, open_timeout=DEADLINE_S))
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


def test_a_reload_and_no_acknowledged_message_is_missed(chat: tuple[System, int]) -> None:
    """Clients are told to reconnect, do so, and continue after the last number they have seen."""
    system, port = chat
    acknowledged: list[int] = []
    seen: list[int] = []
    with contextlib.ExitStack() as stack:
        clients = join_both(stack, port, "hall")
        acknowledged += [say(clients["0"], f"before {n}") for n in range(3)]
        seen += [receive(clients["1"], "message")["seq"] for _ in range(3)]
        before = system.pids("chat")
        system.command("reload", "chat")
        assert not set(system.pids("chat").values()) & set(before.values())
        for client in clients.values():
            with pytest.raises(ConnectionClosed) as end:
                receive(client, "never")
            assert end.value.rcvd is not None
            assert end.value.rcvd.code == SERVICE_RESTART
        writer, _ = join(stack, port, "hall", after=3)
        acknowledged += [say(writer, f"after {n}") for n in range(3)]
        reader, _ = join(stack, port, "hall", after=seen[-1])
        seen += [receive(reader, "message")["seq"] for _ in range(3)]
    assert seen == acknowledged
    system.stop()


def test_the_management_script(chat: tuple[System, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything its owners do with it."""
    system, port = chat

    def manage(*words: str) -> str:
        return system.command(*words, program=str(HERE / "chat/manage.sh")).stdout

    assert "online" in manage("status")
    assert "listens" in manage("logs", "20")
    assert "chat" in manage("info")
    manage("scale", "3")
    eventually(lambda: system.states("chat") == ["online"] * 3, "three instances")
    manage("scale", "2")
    manage("restart")
    manage("reload")
    manage("reset")
    manage("stop")
    assert system.states("chat") == ["stopped"] * 2
    manage("start")
    eventually(lambda: system.states("chat") == ["online"] * 2, "both online")
    monkeypatch.setenv("PORT", str(port))
    assert json.loads(manage("redis"))["redis"] == "PONG"
    manage("save", str(system.folder / "saved.toml"))
    assert 'name = "chat"' in (system.folder / "saved.toml").read_text()
    assert "scale N" in manage("help")
    manage("delete")
    assert system.run.wait() == 0


def test_its_log_files(chat: tuple[System, int]) -> None:
    """Out and both, one of each for the two instances."""
    system, _ = chat
    for file in ("chat-out.log", "chat.log"):
        eventually(partial(system.logged, file, "listens on", 2), f"both instances in {file}")
    system.stop()


def test_alerts_are_set() -> None:
    """On memory, CPU, error rate and uptime."""
    ecosystem = load(HERE / CONFIGS[0], LoadOptions())
    conditions = {
        name
        for alert in ecosystem.alerts
        for name in ("memory", "cpu", "error_rate", "not_ready_for")
        if getattr(alert, name) is not None
    }
    assert conditions == {"memory", "cpu", "error_rate", "not_ready_for"}
