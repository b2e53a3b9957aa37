"""One question to a server in its own language, on a connection of its own."""

import socket
import struct

from clusters.site import get
from harness import DEADLINE_S


def ask(port: int, speaks: str, path: str) -> str:
    """The answer. Raises OSError, or AssertionError where it is none."""
    if speaks == "http":
        return get(port, path)
    return {"redis": _redis, "fastcgi": _fastcgi, "memcached": _memcached, "mqtt": _mqtt}[speaks](port)


def _memcached(port: int) -> str:
    return _exchange(port, b"version\r\n", b"VERSION ")


def _mqtt(port: int) -> str:
    """CONNECT of MQTT 3.1.1 without a name, and CONNACK: accepted."""
    return _exchange(port, b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", b"\x20\x02\x00\x00")


def _redis(port: int) -> str:
    return _exchange(port, b"PING\r\n", b"+PONG\r\n")


def _fastcgi(port: int) -> str:
    """The ping of php-fpm. Protocol: FastCGI 1.0, BEGIN_REQUEST (1), PARAMS (4), STDIN (5)."""
    variables = {"SCRIPT_NAME": "/ping", "SCRIPT_FILENAME": "/ping", "REQUEST_METHOD": "GET"}
    pairs = b"".join(
        bytes([len(name), len(value)]) + name.encode() + value.encode() for name, value in variables.items()
    )

    def record(kind: int, data: bytes) -> bytes:
        return struct.pack(">BBHHBx", 1, kind, 1, len(data), 0) + data

    wish = record(1, struct.pack(">HB5x", 1, 0)) + record(4, pairs) + record(4, b"") + record(5, b"")
    return _exchange(port, wish, b"pong")


def _exchange(port: int, wish: bytes, expected: bytes) -> str:
    answer = b""
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as server:
        server.sendall(wish)
        while expected not in answer:
            chunk = server.recv(4096)
            assert chunk, f"expected {expected!r}, found {answer!r}"
            answer += chunk
    return answer.decode(errors="replace")
