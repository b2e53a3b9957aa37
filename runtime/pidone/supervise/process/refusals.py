"""What the kernel refuses us later: told once for each app, with the key and what would help.

What can be known before is told at the start, from `ecosystem/rights.py`.
"""

import os

from pidone.capabilities import Capability
from pidone.contracts import LogSink
from pidone.ecosystem.spec import AppSpec
from pidone.signames import signal_name


class Refusals:
    """Tells them."""

    def __init__(self, log: LogSink) -> None:
        self._log = log
        self._refused: set[tuple[str, str]] = set()

    def refused(self, app: AppSpec, pid: int, number: int) -> str:
        """EPERM: we are root without CAP_KILL, or a program of ours has become another user. What to say."""
        owner = _owner(pid)
        whose = "" if owner is None else f" of user {owner}"
        told = (
            f"{signal_name(number)} may not be sent to process {abs(pid)}{whose}; that takes"
            f" {Capability.KILL} (in a container: --cap-add {Capability.KILL.name})"
        )
        if app.key() in self._refused:
            return told
        self._refused.add(app.key())
        self._log.event(
            "error",
            "rights.missing",
            told,
            setting="uid",
            capability=str(Capability.KILL),
            pid=abs(pid),
            **app.labels(),
        )
        return told


def _owner(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{abs(pid)}").st_uid
    except OSError:
        return None
