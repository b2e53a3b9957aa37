"""Programs of which nothing is known: what they bind and listen on is seen by the kernel alone."""

import sys
from typing import Any

from listen.fleet import Fleet, Member, app_of

from pidone.ecosystem.spec import AppSpec

HEAD = """
import os, select, signal, socket, struct, sys, time
port, path = int(os.environ.get("PORT", 0)), os.environ.get("SOCKET_PATH", "")
def serve(*servers):
    print("serves", *(server.getsockname() for server in servers), flush=True)
    while True:
        # Not for ever: a signal that comes just before the call is seen by Python's handlers after it only.
        for server in select.select(servers, [], [], 1)[0]:
            server.setblocking(False)
            try:
                client, _ = server.accept()
            except BlockingIOError:
                continue
            client.recv(1000)
            client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n%d %d" % (os.getpid(), servers.index(server)))
            client.close()
"""


def raw(code: str, *, port: int = 0, path: str = "", **keys: Any) -> AppSpec:
    """Python of which nothing is known, nor shimmed."""
    env = {"PORT": str(port), "SOCKET_PATH": path, **keys.pop("env", {})}
    return app_of(sys.executable, "-I", "-S", "-c", HEAD + code, **{"share": "kernel", **keys}, env=env)


def everybody_answers(fleet: Fleet, members: list[Member], ask: Any) -> None:
    """Each is heard sooner or later."""
    heard: set[str] = set()
    wanted = {str(member.pid) for member in members}

    def answered() -> bool:
        heard.update(ask() for _ in range(20))
        return heard == wanted

    fleet.eventually(answered, f"answers of {wanted}; {heard}")
