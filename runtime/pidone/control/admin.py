"""The TCP side, `--admin [HOST:]PORT`: opened first, so that a wrong setting ends the start."""

import os
import socket
from typing import Final, NamedTuple

from pidone.errors import ConfigError, ListenError
from pidone.init.aside import await_answer
from pidone.regular import read_regular

_TOKEN_BYTES: Final = 4096
_KERNEL_BYTES: Final = 64 * 1024
_BACKLOG: Final = 128


class Admin(NamedTuple):
    """A listening socket, its address, and what a client has to bear that may act."""

    sock: socket.socket
    address: str
    token: bytes | None


def open_admin(address: str, token_file: str | None) -> Admin:
    """Listen there. Raises ConfigError for what is wrong as it stands, ListenError for what is taken."""
    token = None if token_file is None else _read_token(token_file)
    sock = _bind(address)
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        # Its clients inherit small buffers: the kernel would keep megabytes for each that does not read.
        sock.setsockopt(socket.SOL_SOCKET, option, _KERNEL_BYTES)
    sock.setblocking(False)
    host, port = sock.getsockname()[:2]
    return Admin(sock, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", token)


def _bind(address: str) -> socket.socket:
    """A port alone means every address: probes and scrapes come from outside of the container."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ConfigError(f"admin = {address!r}: expected [HOST:]PORT")
    is_for_all = host in ("", "*")
    has_both = is_for_all and socket.has_dualstack_ipv6()
    if is_for_all:
        host = "::" if has_both else "0.0.0.0"  # noqa: S104 (what a port alone means)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server(
            (host, int(port)), family=family, backlog=_BACKLOG, dualstack_ipv6=has_both
        )
    except socket.gaierror as error:
        raise ConfigError(f"admin = {address!r}: {error.strerror}") from None
    except OSError as error:
        raise ListenError(f"admin = {address!r}: {os.strerror(error.errno or 0)}") from None


def _read_token(path: str) -> bytes:
    """The token in a file, without the line end."""
    try:
        await_answer(path)
        token = read_regular(path, _TOKEN_BYTES).strip()
    except OSError as error:
        raise ConfigError(f"admin_token_file = {path!r}: {error.strerror}") from None
    if not token:
        raise ConfigError(f"admin_token_file = {path!r}: the file is empty")
    return token
