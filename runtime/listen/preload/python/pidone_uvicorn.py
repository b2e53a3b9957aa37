"""Lets uvicorn finish its connections when it is told to stop.

Its own shutdown closes every connection without a response in progress at once: those it has just accepted,
and keep-alive ones whose next request is on its way. So before that, each answer says `Connection: close`
for a while, and clients let go themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from typing import Any

import pidone_environment

_idle_s = 2.0
"""Keep-alive connections that stay silent so long are cut by uvicorn's own shutdown."""
with contextlib.suppress(ValueError):
    _idle_s = float(os.environ.get(pidone_environment.DRAIN_IDLE, _idle_s))
_POLL_S = 0.02


_own_fromfd = socket.fromfd


def install_with_descriptor() -> None:
    """Wait for `uvicorn --fd N` to take its socket: it binds nothing, so there is no other sign of it."""
    setattr(socket, "fromfd", _fromfd)  # noqa: B010 (mypy forbids the plain assignment)


def _fromfd(*args: Any, **kwargs: Any) -> socket.socket:
    install()
    setattr(socket, "fromfd", _own_fromfd)  # noqa: B010
    pidone_environment.leave()
    return _own_fromfd(*args, **kwargs)


def install() -> None:
    """Wrap the shutdown of uvicorn's server if this program has loaded it; once."""
    module = sys.modules.get("uvicorn.server")
    server = getattr(module, "Server", None)
    if server is None or getattr(server.shutdown, "drains", False):
        return
    own_shutdown = server.shutdown

    async def shutdown(self: Any, *args: Any, **kwargs: Any) -> None:
        await _drain(self)
        await own_shutdown(self, *args, **kwargs)

    shutdown.drains = True  # type: ignore[attr-defined]
    server.shutdown = shutdown


async def _drain(server: Any) -> None:
    for listening in getattr(server, "servers", ()):
        listening.close()
    state = getattr(server, "server_state", None)
    headers, connections = getattr(state, "default_headers", None), getattr(state, "connections", None)
    if headers is None or connections is None:  # another uvicorn than the one that was read for this
        return
    headers.append((b"connection", b"close"))
    loop = asyncio.get_running_loop()
    ends = loop.time() + _idle_s
    # Never before one turn: what was accepted in this very moment has not made itself known yet.
    await asyncio.sleep(_POLL_S)
    while connections and not server.force_exit and loop.time() < ends:  # noqa: ASYNC110 (uvicorn has no event)
        await asyncio.sleep(_POLL_S)
