"""The process that delivers an alert's webhook."""

import contextlib
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pidone.interpreter import module_argv


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of localhost, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    file = tmp_path / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(file), "-out", str(tmp_path / "certificate.pem")),
        ],
        check=True,
        capture_output=True,
    )
    file.write_text(file.read_text() + (tmp_path / "certificate.pem").read_text())
    return file


@contextlib.contextmanager
def listening(certificate: Path, bodies: list[bytes]) -> Iterator[str]:
    """An HTTPS server that notes what is posted; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"https://localhost:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def deliver(url: str, **env: str) -> int:
    """Run it; its exit code."""
    argv = module_argv("pidone.control.alerts.webhook")
    environ = {"PIDONE_WEBHOOK": url, "PIDONE_BODY": '{"alert": "leak"}', **env}
    return subprocess.run(argv, env=environ, check=False, timeout=20).returncode


def test_https_to_whom_one_trusts_only(certificate: Path) -> None:
    """It is delivered to a server with a certificate that is trusted, and to no other."""
    bodies: list[bytes] = []
    with listening(certificate, bodies) as url:
        assert deliver(url, SSL_CERT_FILE=str(certificate)) == 0
        assert deliver(url) == 1
    assert bodies == [b'{"alert": "leak"}']
