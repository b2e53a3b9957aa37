"""What we tell whoever started us as a service: systemd, or podman with `--sdnotify=container`.

Protocol: sd_notify(3), sd_watchdog_enabled(3). Sending never waits: one that does not read loses a message.
"""

import os
import socket
import time
from collections.abc import Mapping

_USEC = 1_000_000


class ServiceManager:
    """The socket that $NOTIFY_SOCKET names."""

    def __init__(self, address: str, watchdog_s: float | None = None) -> None:
        """An address that begins with @ is abstract. Nothing is opened before something is said."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._status = ""
        self.ping_every_s = None if watchdog_s is None else watchdog_s / 2
        """How often `alive` is to be said, half of what the manager waits; None: never."""

    @classmethod
    def find(cls, environ: Mapping[str, str]) -> "ServiceManager | None":
        """The one in the environment, if there is one that can be spoken to."""
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):  # vsock: is for virtual machines
            return None
        return cls(address, _watchdog(environ))

    def ready(self) -> OSError | None:
        """Every app is ready, at first or after a reload. Each call returns why it was not heard."""
        return self._say("READY=1", f"MAINPID={os.getpid()}")

    def reloading(self) -> OSError | None:
        """The file is read again; `ready` is said when that is done."""
        return self._say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> OSError | None:
        """A stop has begun."""
        return self._say("STOPPING=1")

    def status(self, text: str) -> OSError | None:
        """One line for people; said when it differs from the last one."""
        line = " ".join(text.split())
        if line == self._status:
            return None
        self._status = line
        return self._say(f"STATUS={line}")

    def extend(self, seconds: float) -> OSError | None:
        """The start or stop that is under way takes this much longer."""
        return self._say(f"EXTEND_TIMEOUT_USEC={round(seconds * _USEC)}")

    def alive(self) -> OSError | None:
        """The loop turns."""
        return self._say("WATCHDOG=1")

    def _say(self, *lines: str) -> OSError | None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto("\n".join(lines).encode(errors="replace"), self._address)
        except OSError as error:  # it is gone, or does not read
            return error
        return None


def _watchdog(environ: Mapping[str, str]) -> float | None:
    text, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID")
    if not text.isdecimal() or len(text) > 18 or int(text) == 0 or pid not in (None, "", str(os.getpid())):
        return None
    return int(text) / _USEC
