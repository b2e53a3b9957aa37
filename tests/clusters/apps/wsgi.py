"""A WSGI application: says who it is and what it was made from."""

import os
from collections.abc import Callable, Iterable
from typing import Any


def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer every request alike; gunicorn forks, so who it is is known only here."""
    body = f"{os.getpid()} {os.environ.get('GENERATION', '0')}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
