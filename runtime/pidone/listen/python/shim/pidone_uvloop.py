"""Hears of the servers of uvloop, which listens in C: `listen` of Python's sockets is never called there."""

from __future__ import annotations

from typing import Any, Callable, List

import pidone_imports

servers: List[Any] = []
"""Those that listen."""


def expect(on_server: Callable[[Any], None]) -> None:
    """Have `on_server` called with every server that has begun to listen."""

    def wrap(module: Any) -> None:
        loop = getattr(module, "Loop", None)
        own_create = getattr(loop, "create_server", None)
        if loop is None or own_create is None:  # another version than those this was read for
            return

        async def create_server(self: Any, *args: Any, **kwargs: Any) -> Any:
            server = await own_create(self, *args, **kwargs)
            servers.append(server)
            on_server(server)
            return server

        loop.create_server = create_server

    pidone_imports.expect("uvloop", wrap)
