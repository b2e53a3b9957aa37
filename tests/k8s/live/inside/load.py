"""Requests at a fixed rate, half of them on kept connections; runs in a pod, until its stdin ends.

Prints `{"started": true}`, and in the end what became of the requests. Where the server closes a kept
connection before it has said a byte, the request is sent once more on a new one, as clients do (RFC 9112,
9.3.1), and counted as `resumed`. Whatever else is not a complete answer below 400 has failed.
"""

import argparse
import asyncio
import collections
import contextlib
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from common import say, until_stdin_ends

TIMEOUT_S = 30.0
"""What people wait for: an answer that is late on a busy machine has not failed."""
CLOSED = (ConnectionError, asyncio.IncompleteReadError)

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class ClosedUnusedError(Exception):
    """The server closed a kept connection before it answered."""


@dataclass
class Tally:
    """What became of the requests."""

    sent: int = 0
    resumed: int = 0
    failed: collections.Counter[str] = field(default_factory=collections.Counter)
    durations_ms: list[float] = field(default_factory=list)

    def report(self, seconds: float) -> dict[str, object]:
        """The numbers, with what failed by its reason."""
        ordered = sorted(self.durations_ms) or [0.0]
        quantiles = {
            name: round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1)
            for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
        }
        return {
            "sent": self.sent,
            "failed": self.failed.total(),
            "reasons": dict(self.failed),
            "resumed": self.resumed,
            "seconds": round(seconds, 1),
            "ms": quantiles,
        }


class Client:
    """Sends one request at a time; keeps its connection or opens one for each."""

    def __init__(self, host: str, port: int, path: str, *, keep: bool) -> None:
        """Talk to this address."""
        self._address = host, port
        self._keep = keep
        manner = "keep-alive" if keep else "close"
        self._request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: {manner}\r\n\r\n".encode()
        self._stream: Stream | None = None

    async def send(self, tally: Tally) -> None:
        """One request, and once more if its kept connection proves closed."""
        began = time.monotonic()
        tally.sent += 1
        try:
            async with asyncio.timeout(TIMEOUT_S):
                try:
                    status = await self._exchange()
                except ClosedUnusedError:
                    tally.resumed += 1
                    status = await self._exchange()
            if status >= 400:
                tally.failed[f"status {status}"] += 1
        except (OSError, EOFError, TimeoutError, ClosedUnusedError) as error:
            self.close()
            tally.failed[f"{type(error).__name__}: {error}"] += 1
        tally.durations_ms.append((time.monotonic() - began) * 1000)

    async def _exchange(self) -> int:
        reused = self._stream is not None and not self._stream[0].at_eof()
        if not reused:
            self.close()
            self._stream = await asyncio.open_connection(*self._address)
        assert self._stream is not None
        reader, writer = self._stream
        try:
            writer.write(self._request)
            first = await reader.readexactly(1)
        except CLOSED:
            self.close()
            if reused:
                raise ClosedUnusedError from None
            raise
        status, stays = await _answer(reader, first)
        if not (stays and self._keep):
            self.close()
        return status

    def close(self) -> None:
        """Let the connection go, if there is one."""
        if self._stream is not None:
            self._stream[1].close()
        self._stream = None


async def _answer(reader: asyncio.StreamReader, first: bytes) -> tuple[int, bool]:
    """The status of a complete answer, and whether the server keeps the connection."""
    head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status_line, _, rest = head.partition("\r\n")
    headers = dict(line.split(": ", 1) for line in rest.strip().split("\r\n"))
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        await reader.readexactly(int(headers.get("content-length", 0)))
    return int(status_line.split()[1]), headers.get("connection") != "close"


async def drive(client: Client, tally: Tally, *, first_at: float, every: float, end: asyncio.Event) -> None:
    """Send at fixed times, whether or not the server keeps up."""
    due = first_at
    while not end.is_set():
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        await client.send(tally)
        due += every
    client.close()


async def address_of(host: str) -> str:
    """Found once, and patiently: names are not what is tried here. Raises OSError."""
    for _ in range(60):
        with contextlib.suppress(socket.gaierror):
            return socket.gethostbyname(host)
        await asyncio.sleep(1)
    return socket.gethostbyname(host)


async def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Send until told to end; the report."""
    tally, end, count = Tally(), asyncio.Event(), arguments.connections
    address = await address_of(arguments.host)
    began = time.monotonic()
    say({"started": True})
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            client = Client(address, arguments.port, arguments.path, keep=number % 2 == 0)
            first_at, every = began + number / arguments.rate, count / arguments.rate
            group.create_task(drive(client, tally, first_at=first_at, every=every, end=end))
        await until_stdin_ends(end)
    return tally.report(time.monotonic() - began)


def main(argv: Sequence[str] | None = None) -> None:
    """Send, then say what became of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--rate", type=float, default=200.0, help="requests per second")
    parser.add_argument("--connections", type=int, default=40)
    say(asyncio.run(run(parser.parse_args(argv))))


if __name__ == "__main__":
    main()
