"""What a client notes of a request that nobody answers: how it ended, and how long the server had had it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pidone.cli.trial.answers import Answer, Book, Saw
from pidone.cli.trial.clients import Client, Endpoint, fresh, kept

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HELLO = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


async def first_failure(client: Client, handle: Handler) -> Answer:
    """The first request of a client that was not answered by this server."""
    book, server = Book(), await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        asking = asyncio.ensure_future(client(Endpoint(app="web", host="127.0.0.1", port=port), book))
        try:
            while not (found := [each for each in book.since(0) if each.saw is not Saw.ANSWERED]):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        finally:
            asking.cancel()
    return found[0]


@pytest.mark.parametrize(
    ("client", "kind", "answered"), [(fresh, Saw.RESET, 0), (kept, Saw.DROPPED, 1)], ids=["new", "kept"]
)
def test_it_knows_how_long_the_server_had_it(client: Client, kind: Saw, answered: int) -> None:
    """From the time at which it was sent."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(answered):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HELLO)
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.2)
        writer.close()

    answer = asyncio.run(asyncio.wait_for(first_failure(client, handle), 60))
    assert answer.saw is kind
    assert 0.15 < answer.held <= answer.ended - answer.began


def test_one_that_is_closed_before_it_can_ask_was_never_with_the_server() -> None:
    """Then nothing was in progress."""

    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    assert asyncio.run(asyncio.wait_for(first_failure(fresh, handle), 60)).saw is Saw.RESET
