"""Looking at a service until it answers: in a forked child, where looking up a name may block.

getaddrinfo(3) takes as long as the slowest name server, and TLS needs a library of 4.5 MB: neither belongs in
the process that looks after the apps. A child looks at one service, tells each time what was wrong in a line,
and ends when the service has answered. It ends too when nobody reads any more (SIGPIPE).
"""

import os

from pidone.csignal import signal
from pidone.supervise.run.loading import fork_helper

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 5.0
"""How long one connection or answer may take."""
ANSWERED = b"+"
_LONGEST = 200
_SUCCESS = range(200, 400)  # as the probes'


def start_look(service: str, interval_s: float) -> tuple[int, int]:
    """A child that looks: its pid, and the pipe it writes lines into. Raises OSError."""

    def child(write: int) -> None:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        while problem := look(service):
            os.write(write, problem.encode(errors="replace") + b"\n")
            _sleep(interval_s)
        os.write(write, ANSWERED + b"\n")

    return fork_helper(child)


def look(service: str) -> str:
    """One look; why it does not answer, in one line of at most 200 characters, or an empty text."""
    scheme, _, rest = service.partition("://")
    try:
        problem = _LOOKS[scheme](rest if scheme in ("unix", "file") else service)
    except OSError as error:
        problem = _in_words(error)
    except ValueError as error:  # what a server said is not HTTP, or a name cannot be one
        problem = str(error) or type(error).__name__
    return " ".join(problem.split())[:_LONGEST]


def _tcp(url: str) -> str:
    import socket  # noqa: PLC0415 (in the child only)
    from urllib.parse import urlsplit  # noqa: PLC0415

    parts = urlsplit(url)
    socket.create_connection((parts.hostname, parts.port), PATIENCE_S).close()
    return ""


def _unix(path: str) -> str:
    import socket  # noqa: PLC0415 (as above)

    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(path)
    return ""


def _file(path: str) -> str:
    """Anything of that name: whoever makes it decides what it is."""
    os.stat(path)
    return ""


def _http(url: str) -> str:
    """A GET whose answer is 200 to 399; a redirection is an answer."""
    from base64 import b64encode  # noqa: PLC0415 (as above)
    from http.client import HTTPConnection, HTTPException, HTTPSConnection  # noqa: PLC0415
    from urllib.parse import unquote, urlsplit  # noqa: PLC0415

    parts = urlsplit(url)
    kind: Callable[..., HTTPConnection] = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    client = kind(parts.hostname, parts.port, timeout=PATIENCE_S)
    headers = {"User-Agent": "pidone-wait", "Connection": "close"}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + b64encode(login.encode()).decode()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        client.request("GET", target, headers=headers)
        status = client.getresponse().status
    except HTTPException as error:
        return f"not HTTP: {error or type(error).__name__}"
    finally:
        client.close()
    return "" if status in _SUCCESS else f"HTTP {status}"


_LOOKS: "dict[str, Callable[[str], str]]" = {
    "tcp": _tcp,
    "unix": _unix,
    "file": _file,
    "http": _http,
    "https": _http,
}


def _in_words(error: OSError) -> str:
    """As people know it: errno's text, or what the resolver or TLS says."""
    if isinstance(error, TimeoutError):
        return f"no answer within {PATIENCE_S:g} s"
    message = getattr(error, "verify_message", "")  # of ssl.SSLCertVerificationError
    if message:
        return f"TLS: {message}"
    if type(error).__name__.startswith("SSL"):
        return f"TLS: {getattr(error, 'reason', None) or error.strerror or error}"
    return error.strerror or str(error) or type(error).__name__


def _sleep(seconds: float) -> None:
    from time import sleep  # noqa: PLC0415 (as above)

    sleep(seconds)
