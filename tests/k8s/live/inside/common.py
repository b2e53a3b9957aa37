"""How a program in the pod talks with the test outside: lines of JSON to it, and the end of stdin from it."""

import asyncio
import contextlib
import json
import sys

LONGEST_S = 3600.0
"""When it ends though nobody hangs up: whoever started it is gone."""


def say(report: object) -> None:
    """A line for the test."""
    print(json.dumps(report), flush=True)  # noqa: T201 - stdout is the channel


async def until_stdin_ends(end: asyncio.Event) -> None:
    """Set the event when the test hangs up, or has gone."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_S):
            await reader.read()
    end.set()
