"""The JavaScript stack of a Node process whose loop stands still, by its own inspector.

Node opens that at SIGUSR1 in a thread of its own (src/inspector_agent.cc), which needs no loop; a pause
interrupts JavaScript that computes, and Atomics.wait. It costs a process nothing until then, listens on the
loopback address, and is closed again with the answer. Meanwhile whoever shares that address could run code in
the process: so it is asked only where the app's options allow it. It speaks the Chrome DevTools Protocol:
https://chromedevtools.github.io/devtools-protocol/v8/Debugger/
"""

import asyncio
import json
import os
import signal
from typing import Any, Final

import wsproto
import wsproto.events as ws

from pidone import procfs
from pidone.contracts import Clock
from pidone.ecosystem.spec import Seconds
from pidone.in_time import in_time
from pidone.listen.sockets.holders import listening_ports

PATIENCE: Final[Seconds] = 10.0
"""For all of it; the worker is replaced afterwards, with or without."""
_LOOK: Final[Seconds] = 0.02
_LOOKS: Final = 25
_HOST: Final = "127.0.0.1"
_CHUNK: Final = 65536
_MOST_FRAMES: Final = 50
_MOST_BYTES: Final = 16 << 20
"""Of all that it says: it tells of each script. The process may be anything, and this one shall not grow."""


async def javascript_stack(pid: int, deadlines: Clock) -> str:
    """Where its main thread is, the innermost call first; empty if that cannot be had."""
    try:
        return await in_time(_stack(pid), PATIENCE, deadlines)
    except Exception:  # noqa: BLE001 (whoever is there may answer anything, and it hangs all the same)
        return ""


async def _stack(pid: int) -> str:
    if not _catches(pid, signal.SIGUSR1):
        return ""
    port = await _opened(pid, listening_ports(pid))
    reader, writer = await asyncio.open_connection(_HOST, port)
    try:
        writer.write(f"GET /json/list HTTP/1.1\r\nHost: {_HOST}:{port}\r\nConnection: close\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].split()[0])
        body = await reader.readexactly(min(length, _CHUNK))  # the connection stays open
    finally:
        writer.close()
    url = str(json.loads(body)[0]["webSocketDebuggerUrl"])
    reader, writer = await asyncio.open_connection(_HOST, port)
    try:
        return await _Debugger(reader, writer).stack(f"{_HOST}:{port}", "/" + url.rpartition("/")[2])
    finally:
        writer.close()


async def _opened(pid: int, before: set[int]) -> int:
    """The port of its inspector. It is asked again where another process's was there, and is closed soon."""
    while True:
        os.kill(pid, signal.SIGUSR1)
        for _ in range(_LOOKS):
            if opened := listening_ports(pid) - before:
                return opened.pop()
            await asyncio.sleep(_LOOK)


class _Debugger:
    """One session."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._wire = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self._numbers = 0
        self._text = ""

    async def stack(self, host: str, target: str) -> str:
        """Pause, look, have the inspector closed. The program goes on when the connection ends."""
        self._writer.write(self._wire.send(ws.Request(host=host, target=target)))
        scripts: dict[str, str] = {}
        left = _MOST_BYTES
        while left > 0 and (data := await self._reader.read(_CHUNK)):
            left -= len(data)
            self._wire.receive_data(data)
            for event in self._wire.events():
                if isinstance(event, ws.AcceptConnection):
                    self._ask("Debugger.enable")
                    self._ask("Debugger.pause")
                told = self._told(event)
                if told.get("method") == "Debugger.scriptParsed":
                    scripts[told["params"]["scriptId"]] = told["params"]["url"]
                elif told.get("method") == "Debugger.paused":
                    frames = told["params"]["callFrames"]
                    close = {"callFrameId": frames[0]["callFrameId"], "expression": "process._debugEnd()"}
                    self._ask("Debugger.evaluateOnCallFrame", **close)
                    await self._writer.drain()
                    return "\n".join(_line(frame, scripts) for frame in frames[:_MOST_FRAMES])
        return ""

    def _ask(self, method: str, **parameters: object) -> None:
        self._numbers += 1
        text = json.dumps({"id": self._numbers, "method": method, "params": parameters})
        self._writer.write(self._wire.send(ws.Message(data=text)))

    def _told(self, event: ws.Event) -> dict[str, Any]:
        """A whole message; empty for anything else."""
        if not isinstance(event, ws.TextMessage):
            return {}
        self._text += event.data
        if not event.message_finished:
            return {}
        text, self._text = self._text, ""
        told: dict[str, Any] = json.loads(text)
        return told


def _line(frame: dict[str, Any], scripts: dict[str, str]) -> str:
    """As V8 writes it, https://v8.dev/docs/stack-trace-api."""
    at = frame["location"]
    place = scripts.get(at["scriptId"]) or frame["url"]
    line, column = at["lineNumber"] + 1, at["columnNumber"] + 1
    return f"    at {frame['functionName'] or '<anonymous>'} ({place}:{line}:{column})"


def _catches(pid: int, number: int) -> bool:
    """Whether a signal would not end it: SigCgt of proc(5)."""
    status = procfs.read_text(f"/proc/{pid}/status")
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
