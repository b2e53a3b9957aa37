"""Programs whose graceful stop is another signal than SIGTERM, by their own manuals.

httpd(8) "Stopping and Restarting", nginx.org "Controlling nginx", php-fpm(8), HAProxy's management guide 4,
PostgreSQL "Shutting Down the Server", uWSGI "Signals for controlling uWSGI", SIGNALS of unicorn,
of Rainbows!, Mojo::Server::Hypnotoad "MANAGER SIGNALS", angie's manual, lighttpd(8): 1.4 also ends with 1 at
SIGTERM where a client is connected.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Final

from pidone.record import Record

_CUTS: Final = "it to cut the requests in progress"
_SIGNALS: Final[Mapping[str, tuple[str, str]]] = {
    "httpd": ("SIGWINCH", _CUTS),
    "apache2": ("SIGWINCH", _CUTS),
    "nginx": ("SIGQUIT", _CUTS),
    "openresty": ("SIGQUIT", _CUTS),
    "angie": ("SIGQUIT", _CUTS),
    "lighttpd": ("SIGINT", _CUTS),
    "unicorn": ("SIGQUIT", _CUTS),
    "rainbows": ("SIGQUIT", _CUTS),
    "hypnotoad": ("SIGQUIT", _CUTS),
    "php-fpm": ("SIGQUIT", _CUTS),
    "haproxy": ("SIGUSR1", _CUTS),
    "postgres": ("SIGINT", "it to wait for every session to end by itself"),
    "uwsgi": ("SIGINT", "it to load its application again, which is what it does then"),
}
_CARRIERS: Final = ("ruby", "perl", "bundle", "exec")
"""Words before the program: cluster mode starts the interpreter of a script's first line."""
_VERSION: Final = "0123456789."
_DIES_ON_TERM: Final = "--die-on-term"
_BUSYBOX: Final = "busybox"  # its httpd is another one


class GracefulSignal(Record):
    """How a known program stops in order."""

    program: str
    signal: str
    otherwise: str
    """What SIGTERM would mean."""


def graceful_signal(argv: Sequence[str]) -> GracefulSignal | None:
    """That of the program of this command line; None where SIGTERM is right, as far as is known."""
    program = next((word for word in argv if not _carries(word)), "")
    name = program.rpartition("/")[2]
    found = _SIGNALS.get(name) or _SIGNALS.get(name.rstrip(_VERSION))
    if found is None or _DIES_ON_TERM in argv or os.path.basename(os.path.realpath(program)) == _BUSYBOX:
        return None
    return GracefulSignal(program, *found)


def _carries(word: str) -> bool:
    return word.startswith("-") or word.rpartition("/")[2].rstrip(_VERSION) in _CARRIERS
