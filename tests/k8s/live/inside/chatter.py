"""One member of a room, ten messages a second over a WebSocket; runs in a pod, until its stdin ends.

Joins at the first address; when it is sent away it comes back at the second, asking for what it has missed.
Prints `{"started": true}` when it is in, and in the end the codes it was sent away with and what became of
its messages.
"""

import argparse
import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence

from common import say, until_stdin_ends
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

EVERY_S = 0.1
ARRIVAL_S = 300.0
"""How long the last word may take on a slow, busy machine before it counts as lost."""


class Member:
    """What one member knows."""

    def __init__(self, room: str) -> None:
        """Nothing yet."""
        self.room = room
        self.said = 0
        self.acknowledged: set[int] = set()
        self.heard: list[int] = []
        self.codes: list[int] = []
        self.refused = 0
        self._news = asyncio.Event()

    async def converse(self, host: str) -> None:
        """Speak and listen until the connection ends."""
        after = max(self.heard, default=0)
        address = f"ws://{host}/rooms/{self.room}?author=ann&after={after}"
        # Without pings: who is slow to answer them has not gone.
        async with connect(address, proxy=None, ping_interval=None) as socket:
            speaking = asyncio.create_task(self._speak(socket))
            try:
                async for frame in socket:
                    self._take(json.loads(frame))
            except ConnectionClosed:
                pass  # an end without a closing handshake; the code says so
            finally:
                speaking.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
                    await speaking
            self.codes.append(socket.close_code or 1006)

    async def _speak(self, socket: ClientConnection) -> None:
        while True:
            self.said += 1
            await socket.send(json.dumps({"key": f"k{self.said}", "text": f"message {self.said}"}))
            await asyncio.sleep(EVERY_S)

    def _take(self, frame: dict[str, object]) -> None:
        sequence = frame.get("seq")
        if frame["type"] == "ack" and isinstance(sequence, int):
            self.acknowledged.add(sequence)
        if frame["type"] == "message" and isinstance(sequence, int):
            self.heard.append(sequence)
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for frames until it holds."""
        while not condition():
            self._news.clear()
            await self._news.wait()

    async def hear_oneself(self) -> None:
        """Wait until a word that is acknowledged from now on has come back, and with it all before it."""
        known = len(self.acknowledged)
        await self.until(lambda: len(self.acknowledged) > known)
        last = max(self.acknowledged)
        await self.until(lambda: last in self.heard)

    async def stay(self, first: str, second: str) -> None:
        """Join, and come back whenever it was sent away."""
        host = first
        while True:
            try:
                await self.converse(host)
            except (OSError, InvalidHandshake):
                self.refused += 1
                await asyncio.sleep(EVERY_S)
            host = second

    def report(self) -> dict[str, object]:
        """Whether anything acknowledged was not heard, or anything was heard twice or out of order."""
        return {
            "said": self.said,
            "acknowledged": len(self.acknowledged),
            "lost": sorted(self.acknowledged - set(self.heard)),
            "in_order": self.heard == list(range(1, len(self.heard) + 1)),
            "codes": self.codes,
            "refused": self.refused,
        }


async def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Stay until told to end; the report."""
    member, end = Member(arguments.room), asyncio.Event()
    staying = asyncio.create_task(member.stay(arguments.first, arguments.second))
    await member.until(lambda: bool(member.acknowledged))
    say({"started": True})
    await until_stdin_ends(end)
    with contextlib.suppress(TimeoutError):  # the report tells what is missing
        async with asyncio.timeout(ARRIVAL_S):
            await member.hear_oneself()
    staying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await staying
    return member.report()


def main(argv: Sequence[str] | None = None) -> None:
    """Chat, then say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("room")
    parser.add_argument("first", help="HOST:PORT to join at")
    parser.add_argument("second", help="HOST:PORT to come back to")
    say(asyncio.run(run(parser.parse_args(argv))))


if __name__ == "__main__":
    main()
