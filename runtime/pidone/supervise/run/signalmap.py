"""What the runtime does with each signal it receives: the defaults, and `[runtime.signals]` over them."""

import signal
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Final

from pidone.record import Record
from pidone.signames import parse_signal, signal_name


class SignalAction(StrEnum):
    """What a signal means to the runtime."""

    STOP = "stop"
    RELOAD = "reload"
    FORWARD = "forward"
    REOPEN = "reopen"
    """Open the log files anew."""
    IGNORE = "ignore"


class Reaction(Record):
    """An action, and for FORWARD the signal that the apps get."""

    action: SignalAction
    number: int = 0


DEFAULTS: Final[Mapping[int, SignalAction]] = {
    signal.SIGTERM: SignalAction.STOP,
    signal.SIGINT: SignalAction.STOP,
    signal.SIGQUIT: SignalAction.STOP,
    signal.SIGPWR: SignalAction.STOP,  # LXC's
    # systemd's halt, poweroff, reboot and kexec (systemd(1)), and so of images that descend from one with it
    **{signal.SIGRTMIN + offset: SignalAction.STOP for offset in (3, 4, 5, 6)},
    signal.SIGHUP: SignalAction.RELOAD,
    signal.SIGUSR1: SignalAction.FORWARD,
    signal.SIGUSR2: SignalAction.FORWARD,
    signal.SIGCONT: SignalAction.FORWARD,
}
"""All others are ignored: PID 1 does not feel them; elsewhere they must not kill us and leave the apps."""


HINTS: Final[Mapping[int, str]] = {
    signal.SIGWINCH: "a terminal was resized, or it is the image's STOPSIGNAL, as httpd's and php-apache's: "
    'then set STOPSIGNAL SIGTERM there, or SIGWINCH = "stop" in [runtime.signals]; apps get it by "forward"'
}
"""Signals that nobody gets unless the file says so, though an image may mean them."""
QUIET: Final = frozenset({signal.SIGALRM, signal.SIGURG})
"""Those that a process sends to itself, or the kernel to the owner of a socket."""


def hint(number: int) -> str:
    """What to tell of a signal that means nothing, once; empty if nothing."""
    if number in QUIET:
        return ""
    return HINTS.get(number) or (
        "if it is the image's STOPSIGNAL, set STOPSIGNAL SIGTERM there, or "
        f'{signal_name(number)} = "stop" in [runtime.signals]; apps get it by "forward"'
    )


def reactions(settings: Mapping[str, str]) -> dict[int, Reaction]:
    """The whole map. `settings` has signal names to an action or to another signal's name, validated."""
    map_ = dict(_defaults())
    for name, wanted in settings.items():
        number = parse_signal(name)
        if wanted in list(SignalAction):
            map_[number] = Reaction(SignalAction(wanted), number)
        else:
            map_[number] = Reaction(SignalAction.FORWARD, parse_signal(wanted))
    return map_


@cache
def _defaults() -> Mapping[int, Reaction]:
    return {int(number): Reaction(action, int(number)) for number, action in DEFAULTS.items()}
