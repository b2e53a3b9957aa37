"""What the runtime does with each signal it receives: the defaults, and `[runtime.signals]` over them."""

import signal
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from pidone.record import Record
from pidone.signames import parse_signal


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
    signal.SIGRTMIN + 3: SignalAction.STOP,  # systemd's, and so of images that descend from one with it
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


def reactions(settings: Mapping[str, str]) -> dict[int, Reaction]:
    """The whole map. `settings` has signal names to an action or to another signal's name, validated."""
    map_ = {int(number): Reaction(action, int(number)) for number, action in DEFAULTS.items()}
    for name, wanted in settings.items():
        number = parse_signal(name)
        if wanted in list(SignalAction):
            map_[number] = Reaction(SignalAction(wanted), number)
        else:
            map_[number] = Reaction(SignalAction.FORWARD, parse_signal(wanted))
    return map_
