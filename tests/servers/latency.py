"""How long a request takes on a connection that is kept, beside the same server without us.

Both run at the same time and are asked in turns, so that whatever else the machine does meets both alike.
"""

import socket
import statistics
import time
from types import TracebackType
from typing import Self

from harness import DEADLINE_S

WARM_UP = 20


class Kept:
    """One client that keeps its connection as long as the server does."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._request = f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
        self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hang_up()

    def ask(self) -> float:
        """How long one request takes, in seconds."""
        began = time.perf_counter()
        self._socket.sendall(self._request)
        status = self._answers.readline()
        assert status.split(b" ")[1] == b"200", status
        headers: dict[bytes, bytes] = {}
        while line := self._answers.readline().strip():
            name, _, value = line.lower().partition(b":")
            headers[name] = value.strip()
        if headers.get(b"transfer-encoding") == b"chunked":
            while size := int(self._answers.readline(), 16):
                self._answers.read(size + 2)
            self._answers.readline()
        else:
            self._answers.read(int(headers[b"content-length"]))
        took = time.perf_counter() - began
        if headers.get(b"connection") == b"close":
            self._hang_up()
            self._connect()
        return took

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), DEADLINE_S)
        self._answers = self._socket.makefile("rb")

    def _hang_up(self) -> None:
        self._answers.close()
        self._socket.close()


def side_by_side(port: int, other: int, path: str, pairs: int) -> tuple[float, float]:
    """The medians of two servers that are asked in turns, the first one first every other time."""
    times: tuple[list[float], list[float]] = ([], [])
    with Kept(port, path) as one, Kept(other, path) as two:
        for _ in range(WARM_UP):
            one.ask()
            two.ask()
        for number in range(pairs):
            both = ((one, times[0]), (two, times[1]))
            for client, taken in both if number % 2 else reversed(both):
                taken.append(client.ask())
    return statistics.median(times[0]), statistics.median(times[1])
