"""What the drains of asyncio servers have in common."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from typing import Any, Callable, Iterable

_POLL_S = 0.02
_HANDSHAKE_S = 0.5
_LENIENCE = 2
"""By how much a limit may be exceeded on a machine that is too busy."""


async def stop_accepting(servers: Iterable[Any]) -> None:
    """Close servers without losing what they have accepted in this very moment.

    Server.close() at once would: asyncio sets up a connection some turns after it was accepted, which fails
    when its server is closed by then. (uvloop's reader is not known by number; it needs no such care.)
    """
    known = list(servers)
    forget(sock.fileno() for server in known for sock in server.sockets or ())
    await asyncio.sleep(_POLL_S)
    for server in known:
        server.close()


def forget(descriptors: Iterable[int]) -> None:
    """Have the loop look at these no more."""
    loop = asyncio.get_running_loop()
    for number in descriptors:
        with contextlib.suppress(RuntimeError, ValueError):  # it belongs to a transport, or is closed
            loop.remove_reader(number)


async def until(is_done: Callable[[], bool], limit_s: float, *, tls: bool) -> None:
    """Wait at most so long, and never less than newcomers need to make themselves known.

    That takes some turns; with TLS the server hears of them after the handshake. Turns are counted, not time:
    where this process got no CPU, its clients may have got none either. But a turn may take as long as ten
    there, and who waits for all of them is killed: `limit_s` is at most a quarter of the time until then.
    """
    turns = math.ceil(limit_s / _POLL_S)
    least = min(math.ceil(_HANDSHAKE_S / _POLL_S), turns) if tls else 1
    ends = time.monotonic() + _LENIENCE * limit_s
    for turn in range(turns):
        await asyncio.sleep(_POLL_S)
        if (turn + 1 >= least and is_done()) or time.monotonic() > ends:
            return
