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


async def post(host: str, port: int, key: str) -> str:
    """The status line, or why there is none."""
    body = json.dumps({"author": "slow", "key": key, "text": "three seconds"}).encode()
    head = f"POST /rooms/slow/messages HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
    try:
        async with asyncio.timeout(TAKES_S + 10):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:10])
            await asyncio.sleep(TAKES_S)
            writer.write(body[10:])
            answer = await reader.read()
            writer.close()
    except (OSError, TimeoutError) as error:
        return f"{type(error).__name__}: {error}"
    return answer.partition(b"\r\n")[0].decode() or "closed without an answer"


async def run(host: str, port: int) -> dict[str, object]:
    """Begin posts until told to end; when each began, in seconds since 1970, and what became of it."""
    end, began, posts = asyncio.Event(), [], []
    ending = asyncio.create_task(until_stdin_ends(end, 60))
    say({"started": True})
    while not end.is_set():
        began.append(time.time())
        posts.append(asyncio.create_task(post(host, port, f"{time.time_ns()}")))
        await asyncio.sleep(EVERY_S)
    await ending
    outcomes = await asyncio.gather(*posts)
    return {"takes_s": TAKES_S, "posts": list(zip(began, outcomes, strict=True))}


def main(argv: Sequence[str] | None = None) -> None:
    """Post, then say what became of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    arguments = parser.parse_args(argv)
    say(asyncio.run(run(arguments.host, arguments.port)))


if __name__ == "__main__":
    main()
