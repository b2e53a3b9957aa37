"""Hears of the servers of uvloop, which listens in C: `listen` of Python's sockets is never called there."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable, List

NAME = "uvloop"
servers: List[Any] = []
"""Those that listen."""


class Expectation:
    """A finder of modules that only waits for one, and wraps it when it is imported."""

    def __init__(self, on_server: Callable[[Any], None]) -> None:
        """`on_server` is called with every server that has begun to listen."""
        self._on_server = on_server

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        """Leave it to the others, and see to it that what they find is wrapped."""
        if name != NAME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            own_exec = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                own_exec(module)
                self._wrap(module)

            setattr(spec.loader, "exec_module", exec_module)  # noqa: B010 (mypy forbids the plain assignment)
        return spec

    def _wrap(self, module: Any) -> None:
        loop = getattr(module, "Loop", None)
        own_create = getattr(loop, "create_server", None)
        if loop is None or own_create is None:  # another version than those this was read for
            return

        async def create_server(self: Any, *args: Any, **kwargs: Any) -> Any:
            server = await own_create(self, *args, **kwargs)
            servers.append(server)
            on_server(server)
            return server

        on_server = self._on_server
        loop.create_server = create_server


def expect(on_server: Callable[[Any], None]) -> None:
    """Wait for the import, which comes after this: Python has only just started."""
    sys.meta_path.insert(0, Expectation(on_server))
