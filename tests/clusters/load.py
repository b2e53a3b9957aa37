"""A load generator for tests: clients in a thread that ask again and again, and remember every failure."""

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from harness import DEADLINE_S, eventually

_SILENT_S = 1.0
"""A drain lets go of clients that say nothing for 2 s (docs/clusters.md). One of ours that got no processor
for about as long between connect and request has no claim to an answer."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One request that got no complete answer with status 200."""

    phase: str
    """`connect`, `first` (of its connection) or `later`."""
    error: str


class Load:
    """So many clients at once; with `keep_alive` each keeps its connection until the server says close."""

    def __init__(
        self,
        port: int,
        *,
        keep_alive: bool,
        clients: int = 16,
        path: str = "/",
        source: str | None = None,
        pause: float = 0.02,
    ) -> None:
        """`pause` is the time in seconds from an answer to the next request.

        Without one the clients would take the CPU time in which processes start and end.
        """
        self._port = port
        self._keep_alive = keep_alive
        self._clients = clients
        self._path = path
        self._source = None if source is None else (source, 0)
        self._pause = pause
        self._stop = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.bodies: Counter[str] = Counter()
        """How often each body was the answer."""
        self.failures: list[Failure] = []
        self.slowest_s = 0.0
        self.times: list[float] = []
        """Seconds that each request took."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    @property
    def count(self) -> int:
        """Requests that were answered."""
        return self.bodies.total()

    def more(self, count: int) -> None:
        """Wait until so many more were answered."""
        goal = self.count + count
        eventually(lambda: self.count >= goal, f"{goal} answers; {self.count}, {self.failures[:5]}")

    def finish(self) -> list[Failure]:
        """Let every client finish its request; all failures there were."""
        self._stop = True
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), "a client hangs"
        return self.failures

    async def _run(self) -> None:
        await asyncio.gather(*(self._work() for _ in range(self._clients)))

    async def _work(self) -> None:
        while not self._stop:
            phase, began = "connect", time.monotonic()
            silent_s = 0.0
            try:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", self._port, local_addr=self._source
                )
                phase, silent_s = "first", time.monotonic() - began
                try:
                    while await self._ask(reader, writer) and not self._stop:
                        phase = "later"
                finally:
                    writer.close()
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                if phase != "first" or silent_s < _SILENT_S:
                    self.failures.append(Failure(phase, f"{error!r}, silent for {silent_s:.3f} s"))

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection may be used again. Raises for anything but a whole 200."""
        wish = b"" if self._keep_alive else b"Connection: close\r\n"
        begun = time.monotonic()
        writer.write(b"GET " + self._path.encode() + b" HTTP/1.1\r\nHost: test\r\n" + wish + b"\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = head.split(b" ", 2)[1]
        if status != b"200":
            raise ValueError(status.decode())
        body = await _body(reader, head)
        self.times.append(time.monotonic() - begun)
        self.slowest_s = max(self.slowest_s, self.times[-1])
        self.bodies[body.decode()] += 1
        await asyncio.sleep(self._pause)
        return self._keep_alive and head.startswith(b"http/1.1") and b"connection: close" not in head


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n") if b": " in line)
    if b"content-length" in fields:
        return await reader.readexactly(int(fields[b"content-length"]))
    if fields.get(b"transfer-encoding") != b"chunked":
        return await reader.read()
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body
