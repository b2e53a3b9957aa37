"""Telling the supervisor that this process can work now: sd_notify(3), without a library."""

import os
import socket


def notify(state: str) -> None:
    """Send e.g. `READY=1` to `$NOTIFY_SOCKET`; nothing happens where nobody listens for it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
        channel.send(state.encode())
