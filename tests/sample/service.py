"""The sample service as its own programs: start them, talk to them over HTTP and WebSockets."""

import json
import socket
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from harness import DEADLINE_S, PYTHON, Running, eventually
from websockets.sync.client import ClientConnection, connect

BACKEND = Path(__file__).parents[2] / "docker/backend"


@dataclass(frozen=True)
class Answer:
    """What an HTTP request came back with."""

    status: int
    body: Any
    instance: str


@dataclass
class Api:
    """One running API instance."""

    process: Running
    port: int

    def request(self, path: str, body: object = None) -> Answer:
        """GET, or POST when there is a body."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", None if body is None else json.dumps(body).encode()
        )
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
                return Answer(response.status, json.load(response), response.headers["x-instance"])
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.load(error), error.headers["x-instance"])

    def post(self, room: str, key: str, text: str = "hello", author: str = "ann") -> Answer:
        """Post a message over HTTP."""
        return self.request(f"/rooms/{room}/messages", {"author": author, "key": key, "text": text})

    def join(self, room: str, author: str, after: int | None = None) -> ClientConnection:
        """Open a WebSocket."""
        query = urlencode({"author": author} if after is None else {"author": author, "after": after})
        url = f"ws://127.0.0.1:{self.port}/rooms/{room}?{query}"
        return connect(url, proxy=None, open_timeout=DEADLINE_S)


@dataclass
class Service:
    """Starts the programs of the service on one database; they end with the test."""

    env: dict[str, str]
    _stack: ExitStack = field(default_factory=ExitStack)

    def start(self, program: str, *args: str, fds: tuple[int, ...] = (), **env: str) -> Running:
        """Run `python -m chat.<program>`."""
        return self._stack.enter_context(
            Running(
                [PYTHON, "-m", f"chat.{program}", *args], cwd=BACKEND, env={**self.env, **env}, pass_fds=fds
            )
        )

    def migrate(self) -> None:
        """Bring the database up to date."""
        assert self.start("migrate").wait() == 0

    def api(self, instance: int = 0, **env: str) -> Api:
        """Start an API instance on a port of its own and wait until it answers."""
        api = self._start_api(instance, env)
        _listens(api.process)
        return api

    def two_apis(self, **env: str) -> tuple[Api, Api]:
        """Instances 0 and 1, started at once."""
        apis = self._start_api(0, env), self._start_api(1, env)
        for api in apis:
            _listens(api.process)
        return apis

    def _start_api(self, instance: int, env: dict[str, str]) -> Api:
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
            fd = listener.fileno()
            process = self.start("api", "--fd", str(fd), fds=(fd,), NODE_APP_INSTANCE=str(instance), **env)
            return Api(process, listener.getsockname()[1])

    def close(self) -> None:
        """End every program."""
        self._stack.close()


def _listens(process: Running) -> None:
    def listens() -> bool:
        assert process.process.poll() is None, process.err and process.err.text()
        return any("listening on" in line for line in process.out or ())

    eventually(listens, "the API listens")


def receive(client: ClientConnection, *kinds: str) -> dict[str, Any]:
    """The next frame of one of these types; others before it are skipped."""
    while True:
        frame: dict[str, Any] = json.loads(client.recv(timeout=DEADLINE_S))
        if frame["type"] in kinds:
            return frame


def say(client: ClientConnection, key: str, text: str = "hello") -> int:
    """Send a message and wait for its acknowledgement; its number in the room."""
    client.send(json.dumps({"key": key, "text": text}))
    ack = receive(client, "ack")
    assert ack["key"] == key
    return int(ack["seq"])


def history(api: Api, room: str) -> list[dict[str, Any]]:
    """All messages of a room, page by page."""
    found: list[dict[str, Any]] = []
    while page := api.request(f"/rooms/{room}/messages?after={len(found)}").body["messages"]:
        found += page
    return found


def counted(api: Api, room: str, kind: str = "messages") -> int:
    """What the aggregator has counted in a room so far."""
    return sum(minute[kind] for minute in api.request(f"/rooms/{room}/stats").body["minutes"])


def wait_counted(api: Api, room: str, number: int) -> None:
    """Wait for the aggregator."""
    eventually(lambda: counted(api, room) >= number, f"{number} messages counted")
