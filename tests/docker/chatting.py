"""Scripted chat clients: they talk without a pause, come back when they are cut, and remember everything."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from harness import DEADLINE_S, eventually
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

PAUSE_S = 0.01
ANSWER_S = DEADLINE_S
RECOVERY_S = 60.0
THE_END = "the end"


@dataclass
class Chatter:
    """One client of a room, in a thread of its own."""

    port: int
    room: str
    author: str
    acknowledged: dict[str, int] = field(default_factory=dict)
    """The number in the room of each message of its own that the service has taken, by its key."""
    heard: list[dict[str, Any]] = field(default_factory=list)
    """The messages of the room, in the order in which they came."""
    instances: set[str] = field(default_factory=set)
    """Who it has talked to."""
    setbacks: Counter[str] = field(default_factory=Counter)
    """What went wrong on the way, by its kind: it always tries again."""
    _stop: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Have it leave after the answer it waits for."""
        self._stop.set()

    def run(self) -> None:
        """Talk until told to stop; a message is repeated with its key until it is acknowledged."""
        number = 0
        while not self._stop.is_set():
            try:
                with self._connect() as client:
                    while not self._stop.is_set():
                        if self._say(client, f"k{number}"):
                            number += 1
                        self._stop.wait(PAUSE_S)
            except (WebSocketException, OSError) as error:
                self.setbacks[type(error).__name__] += 1
                self._stop.wait(PAUSE_S)

    def catch_up(self) -> list[int]:
        """Join once more and read all that is left; the numbers of everything heard."""
        with self._connect() as client:
            while not self._say(client, THE_END):
                time.sleep(PAUSE_S)
            while not self.heard or self.heard[-1]["seq"] < self.acknowledged[THE_END]:
                self._take(json.loads(client.recv(timeout=ANSWER_S)))
        return [message["seq"] for message in self.heard]

    def _connect(self) -> ClientConnection:
        after = self.heard[-1]["seq"] if self.heard else 0
        where = f"ws://127.0.0.1:{self.port}/rooms/{self.room}?author={self.author}&after={after}"
        client = connect(where, proxy=None, open_timeout=ANSWER_S, close_timeout=1)
        assert client.response is not None
        self.instances.add(client.response.headers["x-instance"])
        return client

    def _say(self, client: ClientConnection, key: str) -> bool:
        """Whether the message was acknowledged. Raises when the connection is lost or nothing answers."""
        client.send(json.dumps({"key": key, "text": key}))
        while True:
            frame = json.loads(client.recv(timeout=ANSWER_S))
            self._take(frame)
            if frame["type"] != "message" and frame["key"] == key:
                return bool(frame["type"] == "ack")

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "message":
            self.heard.append(frame)
        elif frame["type"] == "ack":
            self.acknowledged[frame["key"]] = frame["seq"]
        else:
            assert frame["retry"], frame
            self.setbacks[frame["error"]] += 1


@dataclass(frozen=True)
class Conversation:
    """Several clients in one room."""

    chatters: tuple[Chatter, ...]

    def more(self, count: int) -> None:
        """Wait until every client has so many more messages acknowledged."""
        goals = [len(one.acknowledged) + count for one in self.chatters]

        def reached() -> bool:
            return all(len(one.acknowledged) >= goal for one, goal in zip(self.chatters, goals, strict=True))

        eventually(reached, f"{count} more of each: {[one.setbacks for one in self.chatters]}", RECOVERY_S)

    def check(self) -> int:
        """Nothing acknowledged is lost, doubled or out of order, for anybody; how many messages there are.

        To be called when the clients have stopped.
        """
        heard = [one.catch_up() for one in self.chatters]
        everything = max(heard, key=len)
        assert everything == list(range(1, len(everything) + 1))
        assert all(numbers == everything[: len(numbers)] for numbers in heard)
        stored = {m["seq"]: (m["author"], m["text"]) for one in self.chatters for m in one.heard}
        for one in self.chatters:
            for key, seq in one.acknowledged.items():
                assert stored[seq] == (one.author, key)
        return len(everything)


@contextmanager
def conversation(port: int, room: str, *, clients: int) -> Iterator[Conversation]:
    """So many clients that talk while the block runs."""
    talk = Conversation(tuple(Chatter(port, room, f"author{n}") for n in range(clients)))
    threads = [threading.Thread(target=one.run, name=one.author) for one in talk.chatters]
    for thread in threads:
        thread.start()
    try:
        yield talk
    finally:
        for one in talk.chatters:
            one.stop()
        for thread in threads:
            thread.join(DEADLINE_S)
        assert not any(thread.is_alive() for thread in threads)
