"""What the rights of this process do not allow: told once for each app, with the key and what would help."""

import os

from pidone import capabilities
from pidone.capabilities import Capability
from pidone.contracts import LogSink
from pidone.ecosystem.spec import AppSpec
from pidone.signames import signal_name


class RightsReport:
    """Tells at the first start of an app what it asks for in vain, and later what the kernel refuses."""

    def __init__(self, log: LogSink) -> None:
        """What we may do is read once; None means that it could not be."""
        self._log = log
        self._held = capabilities.effective()
        self._looked_at: set[tuple[object, ...]] = set()
        self._refused: set[tuple[str, str]] = set()

    def look_at(self, app: AppSpec) -> None:
        """Before a start: nothing is kept from being tried."""
        asked = (app.key(), app.uid)
        if asked in self._looked_at:
            return
        self._looked_at.add(asked)
        for key, capability, what in self._missing(app):
            self._tell(app, key, capability, f"{key} = {getattr(app, key)}: {what}")

    def refused(self, app: AppSpec, pid: int, number: int) -> None:
        """EPERM: we are root without CAP_KILL, or a program of ours has become another user."""
        if app.key() in self._refused:
            return
        self._refused.add(app.key())
        owner = _owner(pid)
        whose = "" if owner is None else f" of user {owner}"
        what = f"{signal_name(number)} may not be sent to process {abs(pid)}{whose}"
        self._tell(app, "uid", Capability.KILL, what, pid=abs(pid), level="error")

    def _missing(self, app: AppSpec) -> list[tuple[str, Capability, str]]:
        """Key, capability and what happens without it; what keeps it from being started its start tells."""
        found: list[tuple[str, Capability, str]] = []
        if app.uid in (None, os.geteuid()):
            return found
        if not capabilities.has(Capability.KILL, self._held):
            found.append(("uid", Capability.KILL, "it cannot be signalled, so it will not be asked to stop"))
        if not capabilities.has(Capability.CHOWN, self._held):
            found.append(
                ("uid", Capability.CHOWN, "it cannot open its /dev/stdout, nor a socket that we made")
            )
        return found

    def _tell(
        self,
        app: AppSpec,
        key: str,
        capability: Capability,
        what: str,
        *,
        level: str = "warning",
        pid: int | None = None,
    ) -> None:
        self._log.event(
            level,
            "rights.missing",
            f"{what}; that takes {capability} (in a container: --cap-add {capability.name})",
            setting=key,
            capability=str(capability),
            pid=pid,
            **app.labels(),
        )


def _owner(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{abs(pid)}").st_uid
    except OSError:
        return None
