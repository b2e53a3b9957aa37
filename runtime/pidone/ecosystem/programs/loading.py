"""Programs that listen before they can answer, by their own sources: what they say when they can.

Next.js listens first and loads the application then (packages/next/src/server/lib/start-server.ts, 13 to 16);
what is accepted meanwhile waits for that.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pidone.ecosystem.problems import Scope
from pidone.ecosystem.spec import Balance, Readiness

_SAYS: Final = r"\bReady in |\bstarted server on |\bListening on port "
_STARTER: Final = b"next/dist/server/lib/start-server"
_MOST_READ: Final = 65_536
_STANDALONE: Final = "server.js"


def told_by_a_line(
    argv: Sequence[str], values: Mapping[str, Any], cwd: Path, scope: Scope
) -> dict[str, object]:
    """Keys of a known program in a cluster: no client is sent there until it says that it can answer."""
    if any(key in values for key in ("ready", "wait_ready", "share")) or not _is_next(argv, cwd):
        return {}
    balance: Balance = values.get("balance", Balance.SPREAD)
    scope.notice(
        "Next.js listens before it can answer: it is ready when it says so, and gets connections from then "
        f'on (balance = "{balance}"); ready = "listen" if clients shall wait in it',
        "script",
    )
    return {"ready": Readiness(log=_SAYS), "balance": balance}


def _is_next(argv: Sequence[str], cwd: Path) -> bool:
    for number, word in enumerate(argv[:3]):
        name = os.path.basename(word)
        if name == "next" and "start" in argv[number + 1 :]:
            return True
        if name == _STANDALONE and _is_standalone(cwd / word):
            return True
    return False


def _is_standalone(script: Path) -> bool:
    """Whether a script is what `output: "standalone"` writes; an app that cannot be read is not known."""
    try:
        with open(script, "rb") as file:
            return _STARTER in file.read(_MOST_READ)
    except OSError:
        return False
