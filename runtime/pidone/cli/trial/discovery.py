"""Where the apps of a running runtime answer HTTP: asked of the kernel, then of the apps.

A port of any address is asked at 127.0.0.1, or at ::1 where it takes IPv6 alone.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from pidone.cli.operate.client import CommandError
from pidone.cli.trial import sockets
from pidone.cli.trial.clients import Ended, Endpoint, HttpConnection
from pidone.ecosystem.spec import Seconds
from pidone.init import proctree

_POLL: Final[Seconds] = 0.05
_ASK_TIME: Final[Seconds] = 2.0
_START_TO_SPEAK: Final[Seconds] = 5.0
"""A server may listen before it answers."""
_ANY: Final = "127.0.0.1"
_LOCAL: Final = (_ANY, "::1", "localhost")


def from_urls(urls: Sequence[str], app: str) -> list[Endpoint]:
    """What a person named. Raises CommandError."""
    return [_from_url(url, app) for url in urls]


def check_urls(urls: Sequence[str]) -> None:
    """Raises CommandError for one that cannot be asked."""
    from_urls(urls, "")


def _from_url(url: str, app: str) -> Endpoint:
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise CommandError(f"--url {url}: {error}", 64) from None
    if parts.scheme not in ("http", "https") or parts.hostname not in _LOCAL:
        raise CommandError(
            f"--url {url}: http://127.0.0.1:PORT/PATH (or https) is needed (a load goes nowhere else)", 64
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Endpoint(app=app, host=parts.hostname, port=port, path=path, tls=parts.scheme == "https")


def listening(app: str, pids: Sequence[int]) -> list[Endpoint]:
    """TCP ports and unix sockets on which processes of an app, or their descendants, listen."""
    family = [each for pid in pids for each in (pid, *proctree.descendants(pid))]
    found = {(_reachable(each.host), each.port) for each in sockets.of(family) if each.listens}
    return [
        *(Endpoint(app=app, host=host, port=port) for host, port in sorted(found)),
        *(Endpoint(app=app, unix=path) for path in sockets.unix_paths(family)),
    ]


def _reachable(ip: str) -> str:
    return {"0.0.0.0": _ANY, "::": _ANY}.get(ip, ip)  # noqa: S104 (the app's own)


def spoken(target: Endpoint) -> Endpoint | None:
    """How something there answers a request, whatever it says: as it is, or by TLS; None: not (yet)."""
    if not target.unix and target.host == _ANY and not _is_open(target):
        target = target.but(host="::1")
    status = _status(target)
    if not target.unix and (not status or status == HTTPStatus.BAD_REQUEST):  # which many say who expect TLS
        secure = target.but(tls=True)
        if _status(secure):
            return secure
    return target if status else None


def _is_open(target: Endpoint) -> bool:
    with suppress(OSError), socket.create_connection((target.host, target.port), _ASK_TIME):
        return True
    return False


def _status(target: Endpoint) -> int:
    """Of one response; 0 if there is none, or if it is no HTTP."""

    async def ask() -> int:
        connection = await HttpConnection.open(target)
        try:
            return await connection.ask(0, close=True)
        finally:
            connection.close()

    async def ask_in_time() -> int:
        async with asyncio.timeout(_ASK_TIME):
            return await ask()

    try:
        return asyncio.run(ask_in_time())
    except Ended as ended:
        return ended.status  # if badly
    except TimeoutError:
        return 0


class Opened:
    """The ports and unix sockets that an app opens after it was called ready, and when."""

    def __init__(self, app: str, ready: float) -> None:
        """Nothing was looked at yet; `ready` is of time.monotonic."""
        self._app = app
        self._ready = ready
        self._after: dict[int | str, Seconds] = {}
        """Each port or path, and the seconds after `ready` when it was seen first; 0 at the first look."""
        self._looked = False
        self.mute: list[Endpoint] = []
        """Those that answer no HTTP."""

    @property
    def late(self) -> dict[int | str, Seconds]:
        """Those that were not there at the first look; no unix socket on which no HTTP is spoken."""
        others = {each.unix for each in self.mute if each.unix}
        return {where: after for where, after in self._after.items() if after and where not in others}

    def wait(self, pids: Callable[[], Sequence[int]], deadline: float) -> list[Endpoint]:
        """Until it listens somewhere: those of its ports that answer HTTP."""
        while not (found := self._look(pids())) and time.monotonic() < deadline:
            time.sleep(_POLL)
        return self._answering(found, deadline)

    def more(self, pids: Sequence[int]) -> list[Endpoint]:
        """Those that answer HTTP of what was opened since the last look."""
        return self._answering(self._look(pids), time.monotonic() + _ASK_TIME)

    def _look(self, pids: Sequence[int]) -> list[Endpoint]:
        after = time.monotonic() - self._ready if self._looked else 0.0
        self._looked = True
        fresh = [each for each in listening(self._app, pids) if each.where not in self._after]
        self._after.update((each.where, after) for each in fresh)
        return fresh

    def _answering(self, targets: Sequence[Endpoint], deadline: float) -> list[Endpoint]:
        """Those that speak HTTP; one that does not is asked again for a while."""
        found: list[Endpoint] = []
        for target in targets:
            until = min(deadline, time.monotonic() + _START_TO_SPEAK)
            while (how := spoken(target)) is None and time.monotonic() < until:
                time.sleep(_POLL)
            if how is None:
                self.mute.append(target)
            else:
                found.append(how)
        return found
