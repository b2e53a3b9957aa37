"""Posts whose bodies take three seconds, four more each second; runs in a pod, until its stdin ends.

Those that have begun by then are finished. Prints `{"started": true}`, and in the end what became of them.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence

from common import say, until_stdin_ends

TAKES_S = 3.0
EVERY_S = 0.25
PATIENCE_S = 60.0


class Post:
    """One of them, with the seconds since 1970 between which it was under way."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.began: float | None = None
        """When the server said that it waits for the body (100 Continue); before that it has no duty."""
        self.sent: float | None = None
        """When all of the body was written: later than three seconds where this program had no processor."""
        self.outcome = "not begun"
        """The status line, or why there is none."""

    async def play(self, host: str, port: int, key: str) -> None:
        """Send it."""
        body = json.dumps({"author": "slow", "key": key, "text": "three seconds"}).encode()
        head = f"POST /rooms/slow/messages HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        expectation = f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
        try:
            async with asyncio.timeout(TAKES_S + PATIENCE_S):
                reader, writer = await asyncio.open_connection(host, port)
                writer.write((head + expectation).encode())
                self.outcome = status_of(await reader.readuntil(b"\r\n\r\n"))
                if " 100 " not in self.outcome:
                    return
                self.began = time.time()
                writer.write(body[:10])
                await asyncio.sleep(TAKES_S)
                writer.write(body[10:])
                self.sent = time.time()
                self.outcome = status_of(await reader.read()) or "closed without an answer"
                writer.close()
        except (OSError, EOFError, TimeoutError) as error:
            self.outcome = f"{type(error).__name__}: {error}"


def status_of(answer: bytes) -> str:
    """Its first line."""
    return answer.partition(b"\r\n")[0].decode()


async def run(host: str, port: int) -> dict[str, object]:
    """Begin posts until told to end; what became of those that the server took up."""
    end = asyncio.Event()
    posts: list[Post] = []
    playing: list[asyncio.Task[None]] = []
    ending = asyncio.create_task(until_stdin_ends(end))
    say({"started": True})
    while not end.is_set():
        posts.append(Post())
        playing.append(asyncio.create_task(posts[-1].play(host, port, f"{time.time_ns()}")))
        await asyncio.sleep(EVERY_S)
    await ending
    await asyncio.gather(*playing)
    return {"takes_s": TAKES_S, "posts": [vars(post) for post in posts if post.began is not None]}


def main(argv: Sequence[str] | None = None) -> None:
    """Post, then say what became of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    arguments = parser.parse_args(argv)
    say(asyncio.run(run(arguments.host, arguments.port)))


if __name__ == "__main__":
    main()
