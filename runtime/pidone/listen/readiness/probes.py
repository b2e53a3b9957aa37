"""Look at a process from outside: does it answer over HTTP, accept a connection, or pass a command?

Until the first success for readiness; for ever, with patience, for health.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from typing import Final, TypeAlias

from pidone.contracts import Clock
from pidone.descriptors import close
from pidone.ecosystem.spec import AppSpec, Probe, Seconds
from pidone.errors import ListenError, is_shortage
from pidone.in_time import in_time

RunCommand: TypeAlias = Callable[[AppSpec, tuple[str, ...]], Awaitable[tuple[int, str]]]
"""Run a command as the app's user in its folder and environment. Cancelling kills it.

Its exit code, and, if it failed, the line it wrote that tells most.
"""

Check: TypeAlias = Callable[[], Awaitable[str]]
"""One look; an empty string is success, anything else says what is wrong. May raise OSError."""

OnLook: TypeAlias = Callable[[str, str, int], None]
"""Told of each look: which probe, what is wrong, how often in a row."""

_INTERVAL: Final[Seconds] = 1.0
_FIRST_PAUSE: Final[Seconds] = 0.02
_GROWTH: Final = 1.5
"""A start that takes long is found out late by at most a third of what it took."""
_CHUNK: Final = 1 << 14
_SUCCESS: Final = range(200, 400)  # as the kubelet's
_LOCALHOST: Final = "127.0.0.1"


def check_of(probe: Probe, app: AppSpec, port: int | None, run_command: RunCommand | None) -> Check:
    """The check that a probe describes; `port` is the app's own. Raises ListenError if it cannot be made."""
    if probe.http is not None:
        host, number, path = _split_url(probe.http, app, port)
        return lambda: _http(host, number, path)
    if probe.tcp is not None:
        host, number = _split_target(probe.tcp, app)
        return lambda: _tcp(host, number)
    if run_command is None:
        raise ListenError(f"{app.name}: exec probes are not available here")
    command = run_command
    return lambda: _exec(command, app, probe.exec)


class NotLooked(str):
    """Why there were no means to look: that is our own trouble, and no one is restarted for it."""

    __slots__ = ()


async def until_ready(
    probe: Probe, check: Check, on_ready: Callable[[], None], on_look: OnLook, deadlines: Clock
) -> None:
    """Look until it succeeds once; the caller limits the time by cancelling."""
    for failures, pause in enumerate(pauses(probe), start=1):
        problem = await look(check, probe.timeout, deadlines)
        on_look("ready", problem, failures if problem else 0)
        if not problem:
            on_ready()
            return
        await asyncio.sleep(pause)


def pauses(probe: Probe) -> Iterator[Seconds]:
    """Between looks for readiness: most programs need a moment, and nobody wants to wait a second."""
    pause = probe.interval or _FIRST_PAUSE
    while True:
        yield pause
        if probe.interval is None:
            pause = min(pause * _GROWTH, _INTERVAL)


async def until_failed(
    probe: Probe, check: Check, on_failed: Callable[[str], None], on_look: OnLook, deadlines: Clock
) -> None:
    """Look every `interval`; `failures` in a row after the `grace` end it."""
    interval = probe.interval or _INTERVAL
    loop = asyncio.get_running_loop()
    counts_from = loop.time() + probe.grace
    failures = 0
    while failures < probe.failures:
        await asyncio.sleep(interval)
        problem = await look(check, probe.timeout, deadlines)
        if not isinstance(problem, NotLooked):
            failures = failures + 1 if problem and loop.time() >= counts_from else 0
        on_look("health", problem, failures)
    on_failed(f"health check failed {failures} times in a row: {problem}")


async def look(check: Check, timeout_s: Seconds, deadlines: Clock) -> str:
    """One check within its time; what is wrong, or an empty string."""
    try:
        return await in_time(check(), timeout_s, deadlines)
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except OSError as error:
        problem = os.strerror(error.errno) if error.errno else str(error)
        return NotLooked(problem) if is_shortage(error) else problem


async def _tcp(host: str, port: int) -> str:
    close(await _connect(host, port))
    return ""


async def _exec(run_command: RunCommand, app: AppSpec, argv: tuple[str, ...]) -> str:
    code, said = await run_command(app, argv)
    return "" if code == 0 else f"{argv[0]} exited with {code}" + (f": {said}" if said else "")


async def _http(host: str, port: int, path: str) -> str:
    import h11  # noqa: PLC0415 (only programs that are probed over HTTP pay for it)

    loop = asyncio.get_running_loop()
    client = h11.Connection(h11.CLIENT)
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    headers = [("Host", authority), ("User-Agent", "pidone-probe"), ("Connection", "close")]
    with closing(await _connect(host, port)) as server:
        request = client.send(h11.Request(method="GET", target=path, headers=headers))
        await loop.sock_sendall(server, request or b"")
        while True:
            try:
                event = client.next_event()
                if event is h11.NEED_DATA:
                    client.receive_data(await loop.sock_recv(server, _CHUNK))
                    continue
            except h11.RemoteProtocolError as error:
                return f"not HTTP: {error}"
            if isinstance(event, h11.Response):
                return "" if event.status_code in _SUCCESS else f"HTTP {event.status_code}"
            if isinstance(event, h11.ConnectionClosed):
                return "closed without an answer"


async def _connect(host: str, port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        opened.setblocking(False)
        await asyncio.get_running_loop().sock_connect(opened, (host, port))
    except BaseException:
        close(opened)
        raise
    return opened


def _split_url(url: str, app: AppSpec, port: int | None) -> tuple[str, int, str]:
    if url.startswith("/"):
        if port is None:
            raise ListenError(f"{app.name}: probe {url} needs a port: write http://127.0.0.1:PORT{url}")
        return _LOCALHOST, port, url
    from urllib.parse import urlsplit  # noqa: PLC0415 (as h11)

    try:
        parts = urlsplit(url)
        number = parts.port or 80
    except ValueError as error:
        raise ListenError(f"{app.name}: probe {url}: {error}") from error
    if parts.scheme != "http" or not parts.hostname:
        raise ListenError(f"{app.name}: probe {url}: only http:// URLs are supported; use exec for others")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _address(parts.hostname, app), number, path


def _split_target(target: str, app: AppSpec) -> tuple[str, int]:
    host, _, port = target.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ListenError(f"{app.name}: probe tcp {target!r}: no port")
    return _address(host.strip("[]") or _LOCALHOST, app), int(port)


def _address(host: str, app: AppSpec) -> str:
    """An IP address as it is, `localhost` as 127.0.0.1: looking up names would block the loop."""
    if host == "localhost":
        return _LOCALHOST
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return host
    raise ListenError(f"{app.name}: probe of {host!r}: give an IP address or localhost")
