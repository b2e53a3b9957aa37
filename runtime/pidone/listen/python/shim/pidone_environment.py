"""What the shim needs of the environment, and how it leaves it: as the user wrote it."""

from __future__ import annotations

import os

SHARE = "PIDONE_SHARE"
"""Where the runtime answers bind()."""
DRAIN_IDLE = "PIDONE_DRAIN_IDLE"
"""Seconds that a drain waits for silent clients."""
DRAIN_LIMIT = "PIDONE_DRAIN_LIMIT"
"""Seconds that a drain may take altogether, where the program has no stop of its own."""
HEARTBEAT = "PIDONE_HEARTBEAT"
"""Where the runtime hears that there is progress, and how often it wants to, in seconds."""


def leave() -> None:
    """The server is up; what it starts from now on is no server and needs nothing of this."""
    os.environ.pop(SHARE, None)
    os.environ.pop(DRAIN_IDLE, None)
    os.environ.pop(DRAIN_LIMIT, None)
    os.environ.pop(HEARTBEAT, None)
    here = os.path.dirname(os.path.abspath(__file__))
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != here]
    if paths:
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    else:
        os.environ.pop("PYTHONPATH", None)
