"""Where the API gets its socket: the three ways a supervisor or a person may start it."""

import socket
import urllib.request

from harness import DEADLINE_S, PYTHON, Running, eventually, free_port
from sample.service import BACKEND, Api, Service


def test_instances_share_a_port_by_themselves(migrated: Service) -> None:
    """Without a supervisor, several instances open the same port with SO_REUSEPORT."""
    port = free_port()
    for instance in range(2):
        process = migrated.start("api", "--listen", f"127.0.0.1:{port}", NODE_APP_INSTANCE=str(instance))
        process.expect_line("listening on")
    api = Api(process, port)
    seen: set[str] = set()
    eventually(lambda: len(seen | {api.request("/health").instance}) and _saw_both(seen, api), "both answer")


def test_an_activated_socket_is_used(migrated: Service) -> None:
    """LISTEN_FDS as systemd sets it; LISTEN_PID must be the program's own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        # LISTEN_PID can only be known after the fork, and descriptor 3 only be filled there.
        activate = (
            f"import os, sys; os.dup2({listener.fileno()}, 3); "
            "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); "
            f"os.execv({PYTHON!r}, [{PYTHON!r}, '-m', 'chat.api', '--listen', '127.0.0.1:1'])"
        )
        with Running(
            [PYTHON, "-c", activate], cwd=BACKEND, env=migrated.env, pass_fds=(listener.fileno(),)
        ) as process:
            process.expect_line("listening on")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=DEADLINE_S) as response:
                assert response.status == 200


def _saw_both(seen: set[str], api: Api) -> bool:
    seen.add(api.request("/health").instance)
    return len(seen) == 2
