"""The one event loop: asyncio without the parts PID 1 has no use for."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


def new_event_loop() -> "AbstractEventLoop":
    """An asyncio loop. `ssl` is kept out of its import: 4.5 MB and 20 ms, and no TLS is spoken here."""
    kept_out = "ssl" not in sys.modules
    if kept_out:
        sys.modules["ssl"] = None  # type: ignore[assignment] # makes `import ssl` fail, which asyncio allows for
    try:
        import asyncio  # noqa: PLC0415 (this function decides how it is imported)
    finally:
        if kept_out:
            del sys.modules["ssl"]
    return asyncio.SelectorEventLoop()
