"""`health`: asked every few seconds in every container, so that it imports nothing but the socket.

An interpreter that does nothing takes 10 ms; click and an HTTP client would make 100 of that.
"""

import os
from collections.abc import Sequence

from pidone.cli.operate.scarcity import give_way
from pidone.cli.registry import INIT_NAMES
from pidone.control import peers, socket_file
from pidone.descriptors import occupy_standard
from pidone.init.bare.output import complain, say

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    from pidone.ecosystem.spec import Seconds

TIMEOUT: "Seconds" = 3.0
_UNHEALTHY = 1
"""Docker reserves every code but 0 and 1."""


def run(words: Sequence[str]) -> int | None:
    """Answer the usual ways to ask; None for what click shall parse, explain or refuse."""
    live = as_json = False
    given, timeout = None, TIMEOUT
    left = iter(words)
    for word in left:
        name, _, value = word.partition("=")
        if word == "--live":
            live = True
        elif word == "--json":
            as_json = True
        elif name == "--socket":
            given = value or next(left, "")
        elif name == "--timeout":
            try:
                timeout = float(value or next(left, ""))
            except ValueError:
                return None
        else:
            return None
    return check(given, live=live, timeout=timeout, as_json=as_json)


def check(given: str | None, *, live: bool, timeout: "Seconds", as_json: bool) -> int:
    """Print what the probe says; the exit code. `given` is the socket, if one is named."""
    give_way()
    occupy_standard()
    path = given or ""
    try:
        path = path or _found()
        status, text = _ask(path, "/livez" if live else "/readyz?verbose", timeout)
    except (OSError, ValueError) as error:
        if given is None and _is_run_as_init():
            status, text = 200, "process 1 is the init of one command, which runs\n"
        else:
            where = f"{path}: " if path else ""
            complain(f"{where}{getattr(error, 'strerror', None) or error}")
            return _UNHEALTHY
    if as_json:
        import json

        say(1, json.dumps({"healthy": status == 200, "details": text.splitlines()}) + "\n")
    else:
        # As `printable`, which would import `re`: no state or name has anything else in it but by malice.
        say(1, "".join(each if each.isprintable() or each == "\n" else "?" for each in text))
    return 0 if status == 200 else _UNHEALTHY


def _ask(path: str, target: str, timeout: "Seconds") -> tuple[int, str]:
    """Status and body. Raises OSError, and ValueError for what is no HTTP.

    HTTP/1.0 (RFC 1945): the answer ends with the connection, whatever its framing.
    """
    with peers.connect(path, timeout) as connection:
        connection.sendall(f"GET {target} HTTP/1.0\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.partition(b" ")[2][:3]
    if not status.isdigit():
        raise ValueError("does not speak pidone's language" if answer else "the runtime hung up")
    return int(status), body.decode(errors="replace")


def _is_run_as_init() -> bool:
    """Whether process 1 is the init of one command, and there as long as that is, and ours.

    An image's HEALTHCHECK holds for whatever is run in it, and there nobody answers on a socket.
    """
    try:
        with open("/proc/1/cmdline", "rb") as file:
            words = file.read().decode(errors="replace").split("\0")
    except OSError:  # no /proc, or none of ours
        return False
    names = [word.removeprefix("pidone=").rpartition("/")[2] for word in words]
    for at, (word, name) in enumerate(zip(words, names, strict=True), start=1):
        if name in INIT_NAMES and at > 1:  # ours begins with an interpreter; a foreign one is in front of us
            return True
        # `-X pidone=NAME` says what we were called; what we were told follows the program.
        if name in ("pidone", "pidone-direct") and not word.startswith("pidone="):
            from pidone.cli.first_word import is_init_of_one

            return is_init_of_one(words[at:-1])  # the last word ends with a NUL too
    return False


def _found() -> str:
    found = socket_file.find(os.environ)
    if not found:
        raise ValueError(socket_file.none_found(os.environ))
    return found[0]
