"""Lets servers finish their connections when they are told to stop; which server this is, its modules tell.

Most servers close whatever has no response in progress as soon as they stop: also connections that they have
just accepted, and keep-alive ones whose next request is on its way. So each of them is made to stop accepting
first, to answer with `Connection: close`, and to go on with its own stop when its clients have let go.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from types import ModuleType

import pidone_environment

_SERVERS = {
    "uvicorn.server": "pidone_uvicorn",
    "aiohttp.web_runner": "pidone_aiohttp",
    "hypercorn.asyncio.run": "pidone_hypercorn",
}
"""By the module that has the stop of a server: it is loaded when the server listens, or it is not used."""

_idle_s = 2.0
"""Clients that keep a connection and say nothing for so long are left to the server's own stop."""
with contextlib.suppress(ValueError):
    _idle_s = float(os.environ.get(pidone_environment.DRAIN_IDLE, _idle_s))
_limit_s = 3 * _idle_s
with contextlib.suppress(ValueError):
    _limit_s = float(os.environ.get(pidone_environment.DRAIN_LIMIT, _limit_s))
_installed: set[str] = set()


def install() -> None:
    """Wrap the stop of every server that is loaded by now; each once."""
    for name, drain in _SERVERS.items():
        module = sys.modules.get(name)
        if module is not None and name not in _installed:
            _installed.add(name)
            with contextlib.suppress(AttributeError):  # another version than those this was read for
                _load(drain).install(module, _idle_s)


def install_last() -> None:
    """The program listens: if nothing of it handles its stop by now, nothing will, and it is done here."""
    _load("pidone_signals").install(_idle_s, _limit_s)


def _load(name: str) -> ModuleType:
    """A neighbour of this file. Its folder is no longer where the program's own imports look."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(here)
