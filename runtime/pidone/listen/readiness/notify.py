"""systemd's notification protocol: READY=1 and what else a service says on $NOTIFY_SOCKET.

Protocol: sd_notify(3), sd_watchdog_enabled(3). A datagram is lines of KEY=value.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from pidone.contracts import Clock, Report, Timer
from pidone.ecosystem.spec import Seconds
from pidone.init import proctree
from pidone.listen.readiness.datagrams import Datagrams, DatagramSender

_USEC: Final = 1_000_000
_STATUS_CHARACTERS: Final = 1000
_PID_DIGITS: Final = 7  # PID_MAX_LIMIT is 1 << 22; Python refuses to make a number of too many digits
_IGNORED: Final = ("ERRNO", "BUSERROR", "VARLINKERROR", "EXIT_STATUS", "MONOTONIC_USEC", "INVOCATION_ID")


class Notify:
    """The notification socket of one process, and its watchdog."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        report: Report,
        deadlines: Clock,
        *,
        label: str,
        watchdog: Seconds | None,
        on_ignored: Callable[[str], None],
        on_leaving: Callable[[], None],
    ) -> None:
        """`watchdog`: the longest silence that the configuration allows. `on_leaving`: the app stops."""
        self._report = report
        self._deadlines = deadlines
        self._on_ignored = on_ignored
        self._on_leaving = on_leaving
        self._watchdog = watchdog
        self._timer: Timer | None = None
        self._is_ready = False
        self._pid = 0
        self._socket = Datagrams(loop, label, on_datagram=self._receive, on_stranger=on_ignored)

    @property
    def env(self) -> Mapping[str, str]:
        """What the process has to know."""
        watchdog = {} if self._watchdog is None else {"WATCHDOG_USEC": str(round(self._watchdog * _USEC))}
        return {"NOTIFY_SOCKET": self._socket.address, **watchdog}

    def spawned(self, pid: int) -> None:
        """Listen to this process."""
        self._pid = pid
        self._socket.spawned(pid)

    def close(self) -> None:
        """The process ended."""
        self._stop_watchdog()
        self._socket.close()
        self._stop_watchdog()  # the last datagram may have set it again

    def _receive(self, data: bytes, _descriptors: list[int], _sender: DatagramSender) -> None:
        # BARRIER=1 and FDSTORE=1 come with descriptors. The barrier is lifted by closing its pipe, which
        # happens as soon as we return; nothing is ever stored.
        fields = parse(data)
        for key in fields.keys() - _HANDLERS.keys() - {"BARRIER", "WATCHDOG_USEC", *_IGNORED}:
            if not key.startswith("X_"):
                self._on_ignored(f"notification {key}=")
        for key, handle in _HANDLERS.items():
            if key in fields:
                handle(self, fields[key])
        if "WATCHDOG_USEC" in fields:
            self._change_watchdog(fields["WATCHDOG_USEC"])

    def _ready(self, value: str) -> None:
        if value != "1":
            return
        self._is_ready = True
        self._report.ready("notify")
        self._feed_watchdog()

    def _status(self, value: str) -> None:
        self._report.status(value[:_STATUS_CHARACTERS])

    def _stopping(self, value: str) -> None:
        if value == "1":
            self._stop_watchdog()
            self._on_leaving()

    def _reloading(self, value: str) -> None:
        if value == "1":
            self._report.status("reloading")

    def _extend(self, value: str) -> None:
        if (seconds := _microseconds(value)) is not None:
            self._report.extend(seconds)

    def _main_pid(self, value: str) -> None:
        pid = int(value) if value.isascii() and value.isdigit() and len(value) <= _PID_DIGITS else 0
        try:
            is_there = pid > 1 and proctree.read(pid) is not None
            is_ours = is_there and self._socket.is_family(pid)
        except OSError as error:  # no descriptor is left; what else the message says still holds
            self._on_ignored(f"MAINPID={value[:20]}: /proc does not tell whose it is: {error.strerror}")
            return
        if not is_there:
            self._on_ignored(f"MAINPID={value[:20]}: no such process")
        elif not is_ours:
            self._on_ignored(f"MAINPID={pid}: not a descendant of {self._pid}")
        else:
            self._report.main_pid(pid)

    def _watch(self, value: str) -> None:
        if value == "trigger":
            self._stop_watchdog()
            self._report.failed("it triggered its own watchdog")
        elif value == "1":
            self._feed_watchdog()

    def _change_watchdog(self, value: str) -> None:
        if (seconds := _microseconds(value)) is not None:
            self._watchdog = seconds or None
            self._feed_watchdog()

    def _feed_watchdog(self) -> None:
        self._stop_watchdog()
        if self._watchdog is not None and self._is_ready:
            self._timer = self._deadlines.call_later(self._watchdog, self._bark)

    def _stop_watchdog(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _bark(self) -> None:
        self._timer = None
        self._report.failed(f"no WATCHDOG=1 for {self._watchdog:g} s")


_HANDLERS: Final[Mapping[str, Callable[[Notify, str], None]]] = {
    "MAINPID": Notify._main_pid,  # noqa: SLF001 (the table is part of the class's module)
    "STATUS": Notify._status,  # noqa: SLF001
    "EXTEND_TIMEOUT_USEC": Notify._extend,  # noqa: SLF001
    "RELOADING": Notify._reloading,  # noqa: SLF001
    "READY": Notify._ready,  # noqa: SLF001
    "STOPPING": Notify._stopping,  # noqa: SLF001
    "WATCHDOG": Notify._watch,  # noqa: SLF001
}


def parse(data: bytes) -> dict[str, str]:
    """The fields of one datagram; the last of equal keys counts, lines without `=` say nothing."""
    fields: dict[str, str] = {}
    for line in data.decode(errors="replace").split("\n"):
        key, equals, value = line.partition("=")
        if equals:
            fields[key] = value
    return fields


def watchdog_of(env: Mapping[str, str]) -> Seconds | None:
    """The watchdog interval that an app's environment asks for by WATCHDOG_USEC."""
    return _microseconds(env.get("WATCHDOG_USEC", "")) or None


def _microseconds(text: str) -> Seconds | None:
    return int(text) / _USEC if text.isascii() and text.isdigit() and len(text) < 20 else None
