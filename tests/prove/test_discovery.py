"""Where an app answers, and how: plainly, by TLS, or not at all."""

import contextlib
import os
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


class _Six(HTTPServer):
    address_family = socket.AF_INET6  # socketserver makes it IPv6 alone where the system does not share ports


class _Unix(HTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)  # its own asks for a host name

    def get_request(self) -> "tuple[socket.socket, tuple[str, int]]":
        return self.socket.accept()[0], ("", 0)


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
        with answering(server):
            yield Endpoint(app="web", host="127.0.0.1", port=server.server_port)


@contextlib.contextmanager
def answering(server: HTTPServer) -> Iterator[None]:
    """It runs in a thread."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def test_one_that_refuses_answers() -> None:
    """401, 404, 405 and redirects are answers."""
    with serving() as target:
        assert discovery.spoken(target) == target


def test_one_of_a_unix_socket_answers(tmp_path: Path) -> None:
    """It is found among what the process has, and asked there."""
    path = str(tmp_path / "app.sock")
    server = _Unix(path, _Handler)  # type: ignore[arg-type] # a path is an address
    with server, answering(server):
        found = [each for each in discovery.listening("web", [os.getpid()]) if each.unix == path]
        assert found == [Endpoint(app="web", unix=path)]
        assert discovery.spoken(found[0]) == found[0]


def test_a_unix_socket_that_answers_no_http_is_not_late(tmp_path: Path) -> None:
    """It is that of a control interface, as gunicorn's; a port is, whatever is spoken there."""
    opened = discovery.Opened("web", 0.0)
    with socket.socket(socket.AF_UNIX) as control, socket.socket() as port:
        opened.more([os.getpid()])
        control.bind(str(tmp_path / "control.sock"))
        port.bind(("127.0.0.1", 0))
        control.listen()
        port.listen()
        opened.more([os.getpid()])
        assert opened.late.keys() == {port.getsockname()[1]}


def test_one_of_ipv6_alone_answers() -> None:
    """Any address of it is not 127.0.0.1."""
    with socket.socket(socket.AF_INET6) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError:
            pytest.skip("there is no IPv6")
    server = _Six(("::", 0), _Handler, bind_and_activate=False)
    server.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.server_bind()
    server.server_activate()
    with server, answering(server):
        port = server.server_port
        (found,) = (each for each in discovery.listening("web", [os.getpid()]) if each.port == port)
        assert discovery.spoken(found) == Endpoint(app="web", host="::1", port=port)
        assert Endpoint(app="web", host="::1", port=port).authority == f"[::1]:{port}"


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
