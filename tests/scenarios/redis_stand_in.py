"""As much of a Redis server as the scenarios need, so that they run where there is none.

Strings, counters, hashes, lists with blocking pops, publish and subscribe; RESP2, everything in memory.
Prints the port it listens on.
"""

import asyncio
import contextlib
import sys
from collections import defaultdict, deque
from collections.abc import Callable
from itertools import islice
from typing import TypeAlias

Reply: TypeAlias = "str | int | list[Reply] | None"


class Store:
    """The data, and who waits for it."""

    def __init__(self) -> None:
        self.strings: dict[str, str] = {}
        self.hashes: dict[str, dict[str, int]] = defaultdict(dict)
        self.lists: dict[str, deque[str]] = defaultdict(deque)
        self.pushed = asyncio.Condition()
        self.subscribers: dict[str, set[asyncio.StreamWriter]] = defaultdict(set)
        self.commands: dict[str, Callable[..., Reply]] = {
            "PING": lambda: "PONG",
            "GET": self.strings.get,
            "SET": self.set,
            "DEL": self.delete,
            "INCR": self.increment,
            "HINCRBY": self.increment_field,
            "HGETALL": self.fields,
            "LRANGE": self.tail,
            "LLEN": lambda key: len(self.lists[key]),
            "PUBLISH": self.publish,
        }

    def set(self, key: str, value: str, *_expiry: str) -> Reply:
        """SET; expiry is longer than any test."""
        self.strings[key] = value
        return "OK"

    def delete(self, key: str) -> Reply:
        """DEL of a string."""
        return int(self.strings.pop(key, None) is not None)

    def increment(self, key: str) -> Reply:
        """INCR."""
        self.strings[key] = str(int(self.strings.get(key, "0")) + 1)
        return int(self.strings[key])

    def increment_field(self, key: str, field: str, by: str) -> Reply:
        """HINCRBY."""
        self.hashes[key][field] = self.hashes[key].get(field, 0) + int(by)
        return self.hashes[key][field]

    def fields(self, key: str) -> Reply:
        """HGETALL: names and values in turn."""
        return [str(part) for pair in self.hashes[key].items() for part in pair]

    def tail(self, key: str, start: str, _stop: str) -> Reply:
        """LRANGE to the end of the list."""
        return [*islice(self.lists[key], int(start), None)]

    def publish(self, channel: str, text: str) -> Reply:
        """PUBLISH."""
        for subscriber in self.subscribers[channel]:
            subscriber.write(encode(["message", channel, text]))
        return len(self.subscribers[channel])

    async def push(self, key: str, *values: str) -> Reply:
        """RPUSH."""
        async with self.pushed:
            self.lists[key].extend(values)
            self.pushed.notify_all()
        return len(self.lists[key])

    async def pop(self, reader: asyncio.StreamReader, key: str, timeout_s: str) -> Reply:
        """BLPOP on one list; a client that died while it waited must not take anything with it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(float(timeout_s) or None), self.pushed:
                await self.pushed.wait_for(lambda: self.lists[key] or reader.at_eof())
                if not reader.at_eof():
                    return [key, self.lists[key].popleft()]
        return None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):  # it left
            while True:
                name, *words = await read_command(reader)
                writer.write(encode(await self.run(name.upper(), words, reader, writer)))
        for subscribers in self.subscribers.values():
            subscribers.discard(writer)
        writer.close()

    async def run(
        self, name: str, words: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Reply:
        """One command."""
        if name == "SUBSCRIBE":
            self.subscribers[words[0]].add(writer)
            return ["subscribe", words[0], 1]
        if name == "RPUSH":
            return await self.push(*words)
        if name == "BLPOP":
            return await self.pop(reader, words[0], words[1])
        return self.commands[name](*words)


async def read_command(reader: asyncio.StreamReader) -> list[str]:
    """An array of bulk strings."""
    count = int((await reader.readuntil(b"\r\n"))[1:])
    words = []
    for _ in range(count):
        length = int((await reader.readuntil(b"\r\n"))[1:])
        words.append((await reader.readexactly(length + 2))[:-2].decode())
    return words


def encode(reply: Reply) -> bytes:
    """A reply in RESP2."""
    match reply:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % reply
        case str():
            return b"$%d\r\n%s\r\n" % (len(reply.encode()), reply.encode())
        case list():
            return b"*%d\r\n" % len(reply) + b"".join(encode(item) for item in reply)


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.start_server(Store().serve, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
