"""Where an app answers, and how: plainly, by TLS, or not at all."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pidone.cli.operate.client import CommandError
from pidone.cli.trial import discovery
from pidone.cli.trial.clients import Endpoint


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(certificate: Path | None = None) -> Iterator[Endpoint]:
    """A server that asks for a password, with TLS or without."""
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Endpoint(app="web", host="127.0.0.1", port=server.server_port)
        finally:
            server.shutdown()
            thread.join()


def test_one_that_refuses_answers() -> None:
    """401, 404, 405 and redirects are answers."""
    with serving() as target:
        assert discovery.spoken(target) == target


def test_one_that_speaks_tls_is_asked_so(tmp_path: Path) -> None:
    """Whoever has signed its certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, certificate = str(tmp_path / "key"), str(tmp_path / "certificate")
    options = ("-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=elsewhere")
    command = ["openssl", "req", "-x509", *options, "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    (tmp_path / "both").write_text(Path(key).read_text() + Path(certificate).read_text())
    with serving(tmp_path / "both") as target:
        assert discovery.spoken(target) == target.but(tls=True)


def test_one_that_hangs_up_does_not_answer() -> None:
    """As a database that hears a word it does not know."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listening.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        target = Endpoint(app="db", host="127.0.0.1", port=listening.getsockname()[1])
        assert discovery.spoken(target) is None
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_url_may_be_one_of_tls() -> None:
    """Of this machine only."""
    [target] = discovery.from_urls(["https://127.0.0.1:8443/x?y=1"], "web")
    assert (target.port, target.path, target.tls) == (8443, "/x?y=1", True)
    with pytest.raises(CommandError, match="a load goes nowhere else"):
        discovery.from_urls(["https://192.0.2.1/"], "web")
